"""results.csv: a row a trial, rewritten whole whenever one ends."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from vit.runs.files import read_json
from vit.runs.shapes import STAMP
from vit.runs.writing import write_text
from vit.sweeps.ledger import Ledger
from vit.sweeps.outcomes import best_validation
from vit.sweeps.roles import Objective
from vit.sweeps.trial_row import Metric, TrialRow

FACTS = ("epochs", "train_seconds", "attempts", "adapted", "hardware", "torch", "commit")


@dataclass(frozen=True)
class Result:
    """One row of the file."""

    trial: str
    axes: list[str]  # a value for each, in the order of the columns
    seed: int
    state: str
    metrics: dict[str, Metric]
    epochs: int | None
    train_seconds: float | int | str
    attempts: int
    adapted: str
    hardware: str
    torch: str
    commit: str

    def cells(self, metrics: list[str]) -> list[object]:
        values = [self.metrics.get(name, "") for name in metrics]
        facts = [getattr(self, name) for name in FACTS]
        return [self.trial, *self.axes, self.seed, self.state, *values, *facts]


def write_results(ledger: Ledger, rows: list[TrialRow], objective: Objective) -> None:
    """Overrides, seed, state, metrics, seconds, hardware and commit of every trial."""
    axes = list(dict.fromkeys(key for row in rows for key in row.overrides if key != "seed"))
    results = [_result(row, axes, objective) for row in rows]
    metrics = sorted({name for result in results for name in result.metrics})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["trial", *axes, "seed", "state", *metrics, *FACTS])
    writer.writerows(result.cells(metrics) for result in results)
    write_text(ledger.results_file, buffer.getvalue())


def _result(row: TrialRow, axes: list[str], objective: Objective) -> Result:
    stamp = read_json(row.folder.stamp_file, STAMP) or {}
    hardware = stamp.get("hardware") or {}
    metrics, epochs = row.metrics, row.epochs
    if not metrics and (best := best_validation(row.folder, objective)):
        metrics = {k: v for k, v in best.metrics.items() if k.startswith("val/")}
        epochs = best.epoch + 1
    return Result(
        trial=row.label,
        axes=[_plain(row.overrides.get(key, "")) for key in axes],
        seed=row.seed,
        state=row.state if row.kind is None else f"{row.state} ({row.kind})",
        metrics=metrics,
        epochs=epochs,
        train_seconds=round(row.train_seconds, 1) if row.train_seconds else "",
        attempts=row.attempts,
        adapted=" ".join(f"{key}={value}" for key, value in row.adapted.items()),
        hardware=", ".join(hardware.get("gpus") or [])
        or f"{hardware.get('cores')} cores of {hardware.get('cpu')}",
        torch=stamp.get("packages", {}).get("torch", ""),
        commit=((stamp.get("git") or {}).get("commit") or "")[:12],
    )


def _plain(value: str) -> str:
    """A spreadsheet must not take an override for a formula."""
    return f"'{value}" if value[:1] in ("=", "+", "@") else value
