"""What a person is shown of a sweep: its plan, how it ended, a table of its trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vit.cli.screen import plain_console, scaled

if TYPE_CHECKING:
    from vit.console import PlainTable
    from vit.sweeps.ledger import Ledger
    from vit.sweeps.roles import Objective, Trial
    from vit.sweeps.trial_row import TrialRow

BEST_SHOWN = 5
MOST_ROWS = 40  # of a plan; of a longer one the number of the others is said
WHY = {
    "cut off": "its driver died; the same command goes on",
    "paused": "waits at a rung for the others",
    "pruned": "others were better there",
    "stopped": "the same command goes on",
    "preempted": "by a signal; the same command goes on",
}


def show_plan(
    path: Path,
    trials: list[Trial],
    rows: dict[str, TrialRow],
    notes: list[str],
    *,
    seconds: float,
    jobs: int,
    keeping: int | None,
    searching: str | None = None,
) -> None:
    """Every trial of a sweep: what differs, what it costs, what has become of it before."""
    from rich.text import Text

    from vit.console import PlainTable
    from vit.sweeps.board import clock
    from vit.sweeps.trial_row import cost

    console = plain_console()
    probing = searching is not None and "every point" not in searching
    axes = list(dict.fromkeys(key for trial in trials for key in trial.varies))
    table = PlainTable()
    table.add_column("trial", no_wrap=True)
    for axis in axes:
        table.add_column(Text(axis.split(".")[-1]), overflow="fold")
    unit = trials[0].report.get("unit", "image") if trials else "image"
    each = f"FLOPs/{'img' if unit == 'image' else unit}"
    for name in ("params", each, "steps", "FLOPs", "memory", "time", "state"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in trials[:MOST_ROWS]:
        report = trial.report
        table.add_row(
            Text(trial.id[:8]),
            *(Text(trial.varies.get(key, "")) for key in axes),
            scaled(report["parameters"]),
            scaled(report["gflops_per_image"] * 1e9),
            f"{report['steps']:,}",
            scaled(cost(report) * 1e9),
            f"{scaled(report['memory']['total'])}B" if report.get("memory") else "",
            clock(report["seconds"]) if "seconds" in report else "",
            rows[trial.id].state if trial.id in rows else "corner" if probing else "new",
        )
    console.print(f"sweep {path}", markup=False, style="bold")
    console.print(table)
    if len(trials) > MOST_ROWS:
        console.print(f"… and {len(trials) - MOST_ROWS} more", markup=False)
    for note in notes:
        console.print(note, style="yellow", markup=False)
    for warning in dict.fromkeys(w for trial in trials for w in trial.report["warnings"]):
        console.print(f"warning: {warning}", style="yellow", markup=False)
    total = sum(cost(trial.report) for trial in trials) * 1e9
    what = f"{len(trials)} trials, {scaled(total)} FLOPs of training"
    if searching:
        sound = "the corners of its space are sound" if probing else "all are sound"
        what = f"a search by {searching}; {sound}"
    console.print(f"{what}, checked in {seconds:.1f} s", markup=False)
    if not searching:
        room = scaled(disk(trials, jobs, keeping))
        console.print(f"checkpoints will take about {room}B", markup=False)
    known = [trial.report["seconds"] for trial in trials if "seconds" in trial.report]
    if known and not searching:
        at_once = f"{jobs} at once" if jobs > 1 else "one at a time"
        time = f"{len(known)} to train, about {clock(sum(known))} in all"
        console.print(f"{time}, {clock(sum(known) / jobs)} {at_once}; reading data not counted")


def disk(trials: list[Trial], jobs: int, keeping: int | None) -> float:
    """Bytes of the checkpoints: weights and two moments of the optimizer in float32 in each.

    `keeping` is how many ended trials keep theirs, None for all; what runs has its own as well.
    """
    reports = [trial.report for trial in trials]
    bytes_each = (12.0 * each["parameters"] * each.get("checkpoints", 2) for each in reports)
    sizes = sorted(bytes_each, reverse=True)
    return sum(sizes if keeping is None else sizes[: keeping + jobs])


def sweep_summary(ledger: Ledger, objective: Objective, code: int) -> None:
    """How a sweep ended, its best trials, and what to do next."""

    from vit.sweeps.ledger import counts
    from vit.sweeps.outcomes import finite

    console = plain_console()
    rows = ledger.rows()
    states = ", ".join(f"{count} {state}" for state, count in counts(rows).items())
    console.print(f"\n{states}", markup=False)
    metric = objective.metrics[0]
    done = [row for row in rows if row.state == "done" and finite(row.metrics, metric) is not None]
    groups = grouped(done, objective)
    if any(group.n > 1 for group in groups):
        console.print(groups_table(groups[:BEST_SHOWN], metric))
    elif done:
        console.print(trials_table(sorted_by(done, objective)[:BEST_SHOWN], metric))
    if outdated := [row for row in rows if row.outdated]:
        names = ", ".join(dict.fromkeys(name for row in outdated for name in row.outdated))
        line = f"{len(outdated)} left out: their {names} were counted in a way that is given up"
        console.print(line, markup=False, soft_wrap=True)
    if any(row.state == "failed" for row in rows):
        console.print(f"failed trials: vit sweep status {ledger.path}", markup=False)
        console.print(f"try them again: vit sweep retry {ledger.path}", markup=False)
    if code in (130, 143):
        console.print("stopped; the same command goes on", style="yellow")
    console.print(f"results  {ledger.results_file}", markup=False)


@dataclass(frozen=True)
class SeedMean:
    """One configuration: mean over its seeds and half of the 95 % interval."""

    words: dict[str, str]  # its overrides
    n: int
    mean: float
    half: float | None  # None of a single seed


def grouped(rows: list[TrialRow], objective: Objective) -> list[SeedMean]:
    """The configurations of finished trials, the best first."""
    from vit.sweeps.seeds import interval

    groups: dict[str, list[TrialRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    means = []
    for members in groups.values():
        values = [_value(row, objective.metrics[0]) for row in members]
        words = {k: v for k, v in members[0].overrides.items() if k != "seed"}
        means.append(SeedMean(words, len(values), *interval(values)))
    return sorted(means, key=lambda group: group.mean, reverse=objective.modes[0] == "max")


def groups_table(groups: list[SeedMean], metric: str) -> PlainTable:
    from rich.text import Text

    from vit.console import PlainTable

    table = PlainTable()
    table.add_column("configuration", overflow="fold")
    table.add_column("seeds", justify="right")
    table.add_column(f"{metric}, mean ± 95 %", justify="right")
    for group in groups:
        words = " ".join(f"{key}={value}" for key, value in group.words.items())
        half = "" if group.half is None else f" ± {group.half:.4f}"
        table.add_row(Text(words or "–"), str(group.n), f"{group.mean:.4f}{half}")
    return table


def sorted_by(rows: list[TrialRow], objective: Objective) -> list[TrialRow]:
    metric, largest_first = objective.metrics[0], objective.modes[0] == "max"
    return sorted(rows, key=lambda row: _value(row, metric), reverse=largest_first)


def trials_table(rows: list[TrialRow], metric: str) -> PlainTable:
    """One line a trial: state, metric, epochs, time, and why it failed."""
    from rich.text import Text

    from vit.console import PlainTable
    from vit.sweeps.board import clock

    table = PlainTable()
    test = metric.replace("val/", "test/")
    shown = [name for name in (metric, test) if any(name in row.metrics for row in rows)]
    table.add_column("trial", overflow="fold")
    for name in ("state", *dict.fromkeys(shown), "epochs", "time"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for row in rows:
        table.add_row(
            Text(row.label),
            Text(row.state),
            *(_number(row.metrics.get(name)) for name in dict.fromkeys(shown)),
            "" if row.epochs is None else str(row.epochs),
            clock(row.train_seconds) if row.train_seconds else "",
            Text(
                f"{row.kind}: {row.error}"
                if row.state == "failed"
                else row.error or WHY.get(row.state, "")
            ),
        )
    return table


def _value(row: TrialRow, metric: str) -> float:
    """A metric that is there, and a number."""
    return float(row.metrics[metric] or 0.0)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else ""
