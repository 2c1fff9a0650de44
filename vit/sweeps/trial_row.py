"""One trial as its sweep knows it: trial.json, and the row that tables and programs read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vit.runs.claim import owner
from vit.runs.counted import ways
from vit.runs.directory import SCHEMA_VERSION, RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.record import read_records
from vit.runs.shapes import STATE
from vit.runs.state import RunState
from vit.sweeps.trial import HOPELESS

FINISHED = ("done", "pruned")
Metric = float | int | str | None  # NaN and infinity by their names


@dataclass(frozen=True)
class TrialRecord:
    """trial.json: what was planned, and what came of each attempt."""

    id: str
    group: str  # the same for all seeds of one configuration
    label: str
    seed: int
    overrides: dict[str, str]  # the axes' keys with this trial's values
    point: int = 0  # which proposal of the sampler it belongs to
    cost: float | int | None = None  # GFLOPs of the whole training
    facts: dict[str, Metric] = field(default_factory=dict)
    attempts: list[dict[str, object]] = field(default_factory=list)
    adapted: dict[str, float | int | str] = field(default_factory=dict)  # settings it went on with

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TrialRecord:
        """From a file of the shape `PLANNED_TRIAL`; keys of later versions are left out."""
        return cls(**{name: plain[name] for name in cls.__dataclass_fields__ if name in plain})

    def to_plain(self) -> dict[str, object]:
        """As the file has it: attempts and adapted settings only where there are some."""
        plain: dict[str, object] = {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "group": self.group,
            "label": self.label,
            "point": self.point,
            "seed": self.seed,
            "overrides": self.overrides,
            "cost": self.cost,
            "facts": self.facts,
        }
        later = {"attempts": self.attempts, "adapted": self.adapted}
        return plain | {name: value for name, value in later.items() if value}


@dataclass(frozen=True)
class TrialRow:
    """What is known of one trial, in the order in which programs read it."""

    id: str
    label: str
    group: str
    point: int
    seed: int
    state: str  # as in state.json, or `cut off`: its driver is gone
    overrides: dict[str, str]
    metrics: dict[str, Metric]  # of a pruned or paused trial those of its last validation
    counted: dict[str, str]  # how its metrics were counted, see vit/runs/counted.py
    epochs: int | None
    train_seconds: float | int | None
    attempts: int
    kind: str | None  # of a failure
    error: str | None
    log_tail: list[str]
    adapted: dict[str, float | int | str]
    cost: float | int | None
    run_dir: Path
    outdated: list[str] = field(default_factory=list)  # metrics that others count in a later way

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.run_dir)

    def to_plain(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "run_dir": str(self.run_dir)}


def read_row(folder: RunFolder, record: TrialRecord) -> TrialRow:
    """Raises Refused where the trial's state cannot be read."""
    state = RunState.from_plain(json_of(folder.state_file, STATE) or {})
    name: str = state.name or "planned"
    lost = None
    if name == "running" and owner(folder.path) is None:
        name = "cut off"  # its driver died; the same command goes on with it
    results = folder.results() if name == "done" else _last_validation(folder, name)
    if name == "done" and (not results or folder.goes_on_from_another(state)):
        name, lost = "cut off", folder.lost_results()  # it is tested again
    return TrialRow(
        id=record.id,
        label=record.label,
        group=record.group,
        point=record.point,
        seed=record.seed,
        state=name,
        overrides=record.overrides,
        metrics=results.get("metrics", {}),
        counted=ways(results.get("counted")),
        epochs=results.get("epochs"),
        train_seconds=state.train_seconds,
        attempts=len(record.attempts),
        kind=state.kind,
        error=state.error if name == "failed" else lost,
        log_tail=list(state.log_tail) if name == "failed" else [],
        adapted=record.adapted,
        cost=record.cost,
        run_dir=folder.path,
    )


def _last_validation(folder: RunFolder, state: str) -> dict[str, Any]:
    """Of a pruned or paused trial, in the words of metrics.json."""
    if state not in ("pruned", "paused"):
        return {}
    for record in reversed(read_records(folder.metrics_file)):
        metrics = {k: v for k, v in record.metrics.items() if k.startswith("val/")}
        if metrics:
            counted = (read_json(folder.stamp_file) or {}).get("counted")
            return {"metrics": metrics, "epochs": record.epoch + 1, "counted": counted}
    return {}


def is_over(row: TrialRow | None) -> bool:
    """Whether a trial is left as it is: it ended, or another attempt would end the same."""
    if row is None:
        return False
    return row.state in FINISHED or (row.state == "failed" and row.kind in HOPELESS)


def cost(report: Mapping[str, Any]) -> float:
    """GFLOPs of a whole training, forward and backward, by which times are estimated."""
    images = report.get("steps", 0) * report.get("batch_size", 0)
    return 3 * report.get("gflops_per_image", 0.0) * images
