"""vit diff RUN_A RUN_B: in what two runs differ, and at which step they part."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from vit.cli.screen import plain_console
from vit.faults import Fault, Refused
from vit.review.compared import (
    MetricDifference,
    Number,
    Pair,
    RecordDifference,
    compare_metrics,
)
from vit.review.missing import missing_files
from vit.review.plain import as_plain
from vit.runs.directory import RunFolder
from vit.runs.files import json_of
from vit.runs.fingerprints import Divergence, first_divergence, lines_file, read_fingerprints
from vit.runs.identity import differences
from vit.runs.shapes import STAMP
from vit.terminal import printable

ABOUT = """Say in what two runs differ: config, versions, code and data; metrics; and the first
step at which they part. What is equal is left out.

  vit diff runs/digits-1a2b3c4d runs/again
  vit diff RUN_A RUN_B --tolerance 1e-4      losses and gradient norms up to rounding
  vit diff RUN_A RUN_B --json                for programs

Steps are compared where both runs were trained with watch.fingerprints=true. Exit code 0 where
nothing differs, 1 where something does, or where a file that would show it cannot be read."""
MEANINGS = {
    "samples": "other samples, or in another order: look at seed, data and batch size",
    "pixels": "the same samples with other pixels or tokens: look at augmentation and files",
    "loss": "from the same inputs: look at the weights before it, mixup, dropout, precision, code",
    "gradient_norm": "from the same loss: look at the backward pass, its precision and its order",
    "weights": "after the same gradients: look at the optimizer, its rates and clipping",
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit diff", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_a", type=Path)
    parser.add_argument("run_b", type=Path)
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="relative difference up to which losses and norms are equal; weights then stay out",
    )
    parser.add_argument("--json", action="store_true", help="print the differences as JSON")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.tolerance < 1:
        raise Refused([Fault("--tolerance", f"is {arguments.tolerance}; wanted 0 to below 1")])
    runs = arguments.run_a, arguments.run_b
    compared = compare(*runs, arguments.tolerance)
    if arguments.json:
        print(json.dumps({"schema_version": 1, **as_plain(compared)}, indent=1))
    else:
        _show(compared)
    return 1 if compared else 0


@dataclass(frozen=True)
class RunDifference:
    """In what two runs differ; true where they do, or where it is not known whether they do."""

    config: list[str]  # a line for each difference
    stamp: list[str]
    recorded: RecordDifference
    steps: int | None  # compared; None where a run was trained without fingerprints
    divergence: Divergence | None
    missing: list[str]  # files of which nothing is known

    def __bool__(self) -> bool:
        parts = (self.config, self.stamp, self.recorded, self.divergence, self.missing)
        return any(map(bool, parts))


def compare(run_a: Path, run_b: Path, tolerance: float = 0.0) -> RunDifference:
    """Losses and norms are equal up to a relative `tolerance`."""
    configs = RunFolder(run_a).written_config(), RunFolder(run_b).written_config()
    config = differences(configs[0], configs[1])
    stamp = differences(_of_stamp(run_a), _of_stamp(run_b))
    recorded = compare_metrics(run_a, run_b)
    runs = zip((run_a, run_b), configs, strict=True)
    missing = [line for run, known in runs for line in missing_files(run, known)]
    steps, divergence = None, None
    if all(lines_file(run, 0).is_file() for run in (run_a, run_b)):
        steps = len(read_fingerprints(run_a).keys() & read_fingerprints(run_b).keys())
        divergence = first_divergence(run_a, run_b, tolerance)
    missing = list(dict.fromkeys(missing))
    return RunDifference(config, stamp, recorded, steps, divergence, missing)


def _of_stamp(run: Path) -> dict[str, object]:
    """What of a stamp can change a number."""
    stamp = json_of(RunFolder(run).stamp_file, STAMP) or {}
    git = stamp.get("git") or {}
    hardware = stamp.get("hardware") or {}
    return {
        "commit": git.get("commit"),
        "uncommitted changes": bool(git.get("diff")),
        "vit": stamp.get("vit"),
        "python": stamp.get("python"),
        "packages": stamp.get("packages") or {},
        "cpu": hardware.get("cpu"),
        "gpus": hardware.get("gpus"),
        "data": (stamp.get("data") or {}).get("fingerprint"),
        "counted": stamp.get("counted") or {},
    }


def _show(compared: RunDifference) -> None:
    for line in compared.missing:
        print(printable(f"not compared: {line}"))
    for key, lines in (("config", compared.config), ("stamp", compared.stamp)):
        if lines:
            print(f"{key}: the first run, now the second")
        for line in lines:
            print(f"  {line}")
    known = ", as far as they can be read" if compared.missing else ""
    if not compared.config and not compared.stamp:
        print(f"configs and stamps are equal{known}")
    _show_recorded(compared.recorded, known)
    parted = compared.divergence
    if compared.steps is None:
        print("steps: not compared; train both with watch.fingerprints=true")
    elif parted is None:
        print(f"steps: all {compared.steps:,} that both have are equal")
    else:
        one, other = parted.values
        print(
            f"steps: the first to differ is {parted.step:,} (epoch {parted.epoch}), by "
            f"{parted.by.replace('_', ' ')}: {one}, now {other}"
        )
        print(f"  {MEANINGS[parted.by]}")


def _show_recorded(recorded: RecordDifference, known: str) -> None:
    if not recorded:
        print(f"metrics are equal{known}")
        return
    for name, lengths in (
        ("epochs", recorded.epochs),
        ("optimizer steps", recorded.optimizer_steps),
    ):
        if lengths:
            print(f"{name}: {lengths[0]:,}, now {lengths[1]:,}")
    if recorded.metrics:
        _show_metrics(recorded.metrics)
    if names := recorded.counted_otherwise:
        named = printable(", ".join(names))
        print(f"not compared, since each run counted them in its own way: {named}")
    for which, names in (("first", recorded.only_first), ("second", recorded.only_second)):
        if names:
            print(f"metrics that only the {which} run has: {printable(', '.join(names))}")


def _show_metrics(rows: list[MetricDifference]) -> None:
    from vit.console import PlainTable

    table = PlainTable()
    table.add_column("metrics")
    for heading in ("best: first", "second", "difference", "last: first", "second", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        best = ["", "", ""] if row.best is None else _figures(row.best)
        table.add_row(Text(printable(row.metric)), *best, *_figures(row.last))
    plain_console().print(table)


def _figures(pair: Pair) -> list[str]:
    if pair.difference == 0:
        return [_figure(pair.first), "=", ""]
    return [_figure(pair.first), _figure(pair.second), _figure(pair.difference, "+")]


def _figure(value: Number, sign: str = "") -> str:
    return value if isinstance(value, str) else f"{value:{sign}.4g}"
