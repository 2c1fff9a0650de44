"""The tables behind the terminal, the page and programs: one report of many runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused, did_you_mean
from vit.review.boards import about, boards, mixed, of_one_way
from vit.review.configurations import Configuration, gather, run_value, so_far, told
from vit.review.costs import COSTS, mean_costs, pareto_front, run_costs
from vit.review.effects import effects
from vit.review.looks import looks
from vit.review.mistakes import mistakes
from vit.review.per_image import per_image
from vit.review.pictures import pictures
from vit.review.ranking import Place, Ranking, choose_metric, rank
from vit.review.reader import Run, Runs, inside
from vit.runs.counted import BEFORE, PICTURES_OWN_SIZE, is_outdated
from vit.sweeps.seeds import interval

SCHEMA_VERSION = 1
ENDED_BADLY = ("failed", "cut off", "stopped", "preempted", "pruned")
LONGEST_LINE = 2_000  # characters of a log line on the page


def report(
    found: Runs,
    sources: Iterable[Path | str],
    *,
    metric: str | None = None,
    mode: str | None = None,
    baseline: str | None = None,
) -> tuple[dict[str, Any], list[Configuration]]:
    """Plain values, and the configurations they tell of, in the same order.

    `baseline` is a run's or a configuration's name. Where neither `metric` nor `mode` is given and
    the runs answer several questions, `boards` holds the tables of each, with their own metric; the
    other tables are then of all runs, and rank those of the first board. `about_boards` says so.
    Raises Refused where the metric was never recorded, or no baseline is called so.
    """
    runs, several, outdated = found.runs, [], ""
    if metric is None and mode is None:
        several = boards(runs)
        several = several if len(several) > 1 else []
    else:
        runs, outdated = of_one_way(runs, choose_metric(runs, metric, mode)[0])
    ranked = several[0].runs if several else runs
    named = _baselines([board.runs for board in several] or [runs], baseline)
    tables, configurations = _tables(runs, ranked, metric, mode, named[0])
    notes = [about(several)] if several else tables["notes"]
    notes = [outdated, *notes] if outdated else notes
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sources": [str(source) for source in sources],
        **tables,
        "notes": [*found.notes, *notes],
        "about_boards": about(several),
        "boards": [
            {"title": board.title, **_tables(board.runs, board.runs, None, None, its)[0]}
            for board, its in zip(several, named, strict=False)
        ],
    }, configurations


def _baselines(several: list[list[Run]], name: str | None) -> list[str | None]:
    """For the runs of each board the id of the configuration that is called so, or None.

    Raises Refused where none of them has one.
    """
    if name is None:
        return [None] * len(several)
    gathered = [gather(runs)[0] for runs in several]
    found = [_called(configurations, name) for configurations in gathered]
    if not any(found):
        known = [each.label for configurations in gathered for each in configurations]
        message = f"nothing is called {name!r}.{did_you_mean(name, known)} There are: "
        raise Refused([Fault("--baseline", message + "; ".join(known[:20]))])
    return found


def _called(configurations: list[Configuration], name: str) -> str | None:
    """The id of the configuration that is called so, or has a run that is."""
    for each in configurations:
        if name in (each.id, each.label) or any(name == run.name for run in each.runs):
            return each.id
    return None


def _tables(
    runs: list[Run],
    ranked_runs: list[Run],
    metric: str | None,
    mode: str | None,
    baseline: str | None,
) -> tuple[dict[str, Any], list[Configuration]]:
    """Tables of `runs`, whose ranking knows only `ranked_runs`; `baseline` is an id."""
    metric, mode = choose_metric(ranked_runs, metric, mode)
    configurations, factors = gather(runs)
    known = {run.group for run in ranked_runs}
    ranking = rank([each for each in configurations if each.id in known], metric, mode, baseline)
    ranked = [place.configuration for place in ranking.places]
    places = {place.configuration.id: place for place in ranking.places}
    configurations = [*ranked, *(each for each in configurations if each.id not in places)]
    rows = [_row(each, places.get(each.id), metric) for each in configurations]
    values = [list(place.values.values()) for place in ranking.places]
    mattered = effects(ranked, factors, values)
    looked_at = ranked[:1] + [each for each in ranked[1:] if each.id == ranking.baseline]
    # Whatever they are ranked by, classes are compared only where they were counted alike.
    alike = [each for each in looked_at if each.runs[0].counted == ranked[0].runs[0].counted]
    numbers = {each.id: at for at, each in enumerate(configurations)}
    return {
        "metric": metric,
        "mode": mode,
        "verdict": {"kind": ranking.kind, "text": ranking.verdict, "advice": ranking.advice},
        "baseline": ranking.baseline,
        "factors": [asdict(factor) for factor in factors],
        "configurations": rows,
        "costs": _costs(rows, mode),
        "effects": None if mattered is None else asdict(mattered),
        "per_image": per_image(ranking),
        "mistakes": mistakes(alike),
        "pictures": pictures(looked_at),
        "looks": looks(looked_at if len(looked_at) > 1 else ranked[:2]),  # side by side
        "runs": [_run_row(run, numbers, metric, mode) for run in runs],
        "failures": [_failure(run) for run in runs if run.state in ENDED_BADLY],
        "again": _again(runs),
        "notes": _notes(runs, ranking),
    }, configurations


def _row(each: Configuration, place: Place | None, metric: str) -> dict[str, Any]:
    test = metric.replace("val/", "test/", 1)
    tested = list(each.values(test).values()) if test != metric else []
    return {
        "id": each.id,
        "label": each.label,
        "settings": {key: _plain(value) for key, value in each.settings.items()},
        "states": dict(Counter(run.state for run in each.runs)),
        "n": len(place.values) if place else 0,
        "values": {str(seed): value for seed, value in place.values.items()} if place else {},
        "mean": place.mean if place else None,
        "half": place.half if place else None,
        "test": None if not tested else dict(zip(("mean", "half"), interval(tested), strict=True)),
        "to_best": asdict(place.to_best) if place and place.to_best else None,
        "p_to_best": place.p_to_best if place else None,
        "to_baseline": asdict(place.to_baseline) if place and place.to_baseline else None,
        "p_to_baseline": place.p_to_baseline if place else None,
        "tied": place.tied if place else False,
        "costs": mean_costs(each),
    }


def _plain(value: Any) -> float | int | str | bool:
    """A setting as a number where it is one."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return told(value)


def _costs(rows: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    found = []
    for cost in COSTS:
        towards = 1 if cost.lower_is_better else -1
        points = {
            row["id"]: (towards * row["costs"][cost.name], row["mean"] * (-1) ** (mode == "max"))
            for row in rows
            if row["mean"] is not None and cost.name in row["costs"]
        }
        if len(set(points.values())) > 1:
            found.append({**asdict(cost), "front": pareto_front(points)})
    return found


def _run_row(run: Run, numbers: dict[str, int], metric: str, mode: str) -> dict[str, Any]:
    metrics = {
        name: value
        for name, value in run.metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return {
        "name": run.name,
        "folder": str(run.path),
        "configuration": numbers[run.group],
        "seed": run.seed,
        "state": run.state,
        "value": run_value(run, metric),
        "so_far": so_far(run, metric, mode),
        "epochs": run.results.get("epochs"),
        "metrics": metrics,
        "costs": run_costs(run),
    }


def _failure(run: Run) -> dict[str, Any]:
    kind, error = run.told.get("kind"), run.told.get("error")
    why = {
        "cut off": "its process is gone; the same command goes on with it",
        "stopped": "stopped by hand; the same command goes on with it",
        "preempted": "ended by a signal, as a queue sends it; the same command goes on with it",
        "pruned": "the sweep gave it up: others were better at that point",
    }.get(run.state, "")
    attempts = inside(run.trial, "attempts")
    last = max((int(series.steps[-1]) for series in run.history.values()), default=None)
    return {
        "name": run.name,
        "folder": str(run.path),
        "seed": run.seed,
        "state": run.state,
        "kind": None if kind is None else str(kind),
        "why": str(error) if error else why,
        "last_step": last,
        "attempts": len(attempts) if isinstance(attempts, list) else 0,
        "log_tail": [line[:LONGEST_LINE] for line in run.log_tail],
    }


def _again(runs: list[Run]) -> list[dict[str, Any]]:
    """Each way in which runs were started, once: a sweep's trials share a command."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        stamp = run.stamp
        git = inside(stamp, "git")
        packages, gpus = inside(stamp, "packages"), inside(stamp, "hardware", "gpus")
        told = {
            "command": _text(inside(stamp, "command")),
            "folder": _text(inside(stamp, "folder")),
            "commit": _text(inside(git, "commit")),
            "changed": bool(inside(git, "diff")),
            "vit": _text(inside(stamp, "vit")),
            "python": _text(inside(stamp, "python")),
            "packages": packages if isinstance(packages, dict) else {},
            "cpu": _text(inside(stamp, "hardware", "cpu")),
            "gpus": gpus if isinstance(gpus, list) else [],
            "data": _text(inside(stamp, "data", "fingerprint")),
        }
        kept = found.setdefault(repr(told), {**told, "runs": 0, "first": str(run.path)})
        kept["runs"] += 1
    return list(found.values())


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _notes(runs: list[Run], ranking: Ranking) -> list[str]:
    notes = []
    if ranking.metric.startswith("test/"):
        notes.append("ranked by a test metric: whoever chooses by it has no test left")
    if different := mixed([run for run in runs if run_value(run, ranking.metric) is not None]):
        notes.append(different)
    old = [run for run in runs if is_outdated(run.config, run.counted, ranking.metric)]
    if old:
        names = ", ".join(run.name for run in old[:3]) + (", …" if len(old) > 3 else "")
        notes.append(
            f"{ranking.metric} of {len(old)} ({names}) was counted {BEFORE}, as vit did once: "
            f"compared with none of today's; vit evaluate RUN_DIR measures {PICTURES_OWN_SIZE}"
        )
    without = [r for r in runs if r.state == "done" and run_value(r, ranking.metric) is None]
    if without:
        names = ", ".join(run.name for run in without[:3])
        notes.append(f"done, but without a finite {ranking.metric}: {len(without)} ({names})")
    other = {run.monitor for run in runs if run.monitor and run.monitor[0] != ranking.metric}
    if other:
        names = ", ".join(sorted(name for name, _ in other))
        notes.append(f"some checkpoints were selected by {names}, not by {ranking.metric}")
    twice = Counter((run.group, run.seed) for run in runs if run.state == "done")
    if again := sum(count - 1 for count in twice.values()):
        notes.append(f"the same configuration and seed again: {again}; the later run counts")
    commits = {inside(run.stamp, "git", "commit") for run in runs} - {None}
    if len(commits) > 1:
        notes.append(f"the runs come from {len(commits)} commits; look whether the code differs")
    waiting = sum(run.state in ("planned", "running", "paused") for run in runs)
    if waiting:
        notes.append(f"{waiting} still running or planned: what is said is of those that are done")
    lost = sum(run.state in ("failed", "cut off") for run in runs)
    if lost and ranking.places:
        notes.append(f"{lost} failed or cut off: means are over those that ended well")
    return notes
