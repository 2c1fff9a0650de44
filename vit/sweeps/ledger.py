"""A sweep's folder: what was asked for, and what has become of each trial.

Plain files on a file system that machines may share. `sweep.json` is written by whoever holds the
sweep's claim; each trial's folder by whoever holds that trial's. A reader needs no claim: every
file is replaced whole.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.claim import owner
from vit.runs.continuity import changed_code, changed_data
from vit.runs.counted import BEFORE, differing, ways
from vit.runs.directory import SCHEMA_VERSION, RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.links import is_inside, link_problem
from vit.runs.record import StepRecord, read_records
from vit.runs.shapes import BEGUN_SWEEP, PLANNED_TRIAL, STATE, SWEEP, TRIAL, misfit
from vit.runs.state import RunState
from vit.runs.writing import write_json
from vit.sweeps.roles import FACTS, Objective, Trial
from vit.sweeps.trial import HOPELESS

FINISHED = ("done", "pruned")
STATES = (
    *("running", "planned", "paused", "stopped", "preempted", "cut off"),
    *("done", "pruned", "failed"),
)


@dataclass(frozen=True)
class Ledger:
    """Reads and writes one sweep's folder."""

    path: Path

    @property
    def sweep_file(self) -> Path:
        return self.path / "sweep.json"

    @property
    def results_file(self) -> Path:
        return self.path / "results.csv"

    @property
    def stop_file(self) -> Path:
        """Made by `vit sweep stop`; the driver stops in order when it sees it."""
        return self.path / "stop"

    def sweep(self) -> dict[str, Any]:
        """What was asked for. Raises Refused where the folder holds no sweep, or a newer one."""
        told = json_of(self.sweep_file, BEGUN_SWEEP)
        if told is None:
            raise Refused([Fault(str(self.path), "no sweep folder: it holds no sweep.json")])
        return told

    def enter(self, trial: Trial) -> None:
        """Makes a trial's folder, or leaves the one that is there."""
        folder = trial.folder
        folder.freeze(trial.config)
        if not folder.stamp_file.exists():
            write_json(folder.stamp_file, trial.stamp)
        file = folder.path / "trial.json"
        told = {
            "schema_version": SCHEMA_VERSION,
            "id": trial.id,
            "group": trial.group,
            "label": trial.label,
            "point": trial.point,
            "seed": trial.config["seed"],
            "overrides": trial.varies,
            "cost": cost(trial.report),
            "facts": {name: trial.report[name] for name in FACTS if name in trial.report},
        }
        before = read_json(file) or {}
        same = before.get("id") == trial.id and before.get("overrides") == trial.varies
        if not same or misfit(before, TRIAL):
            write_json(file, {**before, **told})

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each trial, in the order they were planned in."""
        return self.read()[0]

    def read(self) -> tuple[list[dict[str, Any]], list[Fault]]:
        """The same, and of each folder of a trial that cannot be read why not."""
        found: list[dict[str, Any]] = []
        odd: list[Fault] = []
        try:
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
        except OSError:
            return [], []
        for entry in entries:
            try:
                if (told := self._trial_in(entry)) is not None:
                    found.append(row(RunFolder(Path(entry.path)), told))
            except Refused as refused:
                odd += refused.faults
        _leave_outdated_out(found)
        planned = (read_json(self.sweep_file, SWEEP) or {}).get("trials", [])
        order = {id: at for at, id in enumerate(planned)}
        found.sort(key=lambda row: (order.get(row["id"], len(order)), row["label"]))
        return found, odd

    def _trial_in(self, entry: os.DirEntry[str]) -> dict[str, Any] | None:
        """trial.json; None where no trial is there. Raises Refused where it cannot be read."""
        folder = Path(entry.path)
        if entry.is_symlink() and not is_inside(folder, self.path):
            if not folder.is_dir():
                return None
            raise Refused([Fault(entry.path, link_problem(folder, self.path))])
        told = json_of(folder / "trial.json", PLANNED_TRIAL)
        if told is None and (folder / "config.yaml").exists():
            message = "holds a run and no trial.json, so it counts for no trial of this sweep"
            raise Refused([Fault(entry.path, message)])
        return told


def _leave_outdated_out(rows: list[dict[str, Any]]) -> None:
    """Takes from rows the metrics that others have counted in a later way (vit/runs/counted.py).

    `outdated` of a row names them.
    """
    latest: dict[str, str] = {}
    for row in rows:
        for name, own in row["counted"].items():
            latest[name] = min(own, latest.get(name, own), key=len)
    for row in rows:
        kept = row["metrics"]
        wrong = [
            metric
            for metric in kept
            if metric.rsplit("/", 1)[-1] in latest and differing(row["counted"], latest, [metric])
        ]
        row["outdated"] = wrong
        row["metrics"] = {metric: kept[metric] for metric in kept if metric not in wrong}


def is_over(row: dict[str, Any]) -> bool:
    """Whether a trial is left as it is: it ended, or another attempt would end the same."""
    state, kind = row.get("state"), row.get("kind")
    return state in FINISHED or (state == "failed" and kind in HOPELESS)


def row(folder: RunFolder, told: dict[str, Any]) -> dict[str, Any]:
    """One trial as programs and tables read it. Raises Refused where its state cannot be read."""
    state = RunState.from_plain(json_of(folder.state_file, STATE) or {})
    name: str = state.name or "planned"
    lost = None
    if name == "running" and owner(folder.path) is None:
        name = "cut off"  # its driver died; the same command goes on with it
    results = folder.results() if name == "done" else _so_far(folder, name)
    if name == "done" and (not results or folder.goes_on_from_another(state)):
        name, lost = "cut off", folder.lost_results()  # it is tested again
    attempts = told.get("attempts", [])
    return {
        "id": told["id"],
        "label": told["label"],
        "group": told["group"],
        "point": told.get("point", 0),
        "seed": told["seed"],
        "state": name,
        "overrides": told["overrides"],
        "metrics": results.get("metrics", {}),
        "counted": ways(results.get("counted")),
        "epochs": results.get("epochs"),
        "train_seconds": state.train_seconds,
        "attempts": len(attempts),
        "kind": state.kind,
        "error": state.error if name == "failed" else lost,
        "log_tail": list(state.log_tail) if name == "failed" else [],
        "adapted": told.get("adapted", {}),
        "cost": told.get("cost"),
        "run_dir": str(folder.path),
    }


def _so_far(folder: RunFolder, state: str) -> dict[str, Any]:
    """Of a pruned or paused trial what its last validation said."""
    if state not in ("pruned", "paused"):
        return {}
    for record in reversed(read_records(folder.metrics_file)):
        metrics = {k: v for k, v in record.metrics.items() if k.startswith("val/")}
        if metrics:
            counted = (read_json(folder.stamp_file) or {}).get("counted")
            return {"metrics": metrics, "epochs": record.epoch + 1, "counted": counted}
    return {}


def cost(report: dict[str, Any]) -> float:
    """GFLOPs of a whole training, forward and backward, by which times are foretold."""
    images = report.get("steps", 0) * report.get("batch_size", 0)
    return 3 * report.get("gflops_per_image", 0.0) * images


def counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    """State → trials, in the order a person wants to read them, without the empty ones."""
    counted = Counter(row["state"] for row in rows)
    return {state: counted[state] for state in STATES if counted[state]}


def finite(metrics: Mapping[str, Any], name: str) -> float | None:
    """A metric as a number; None where there is none, or only NaN or infinity, kept as text."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def best_validation(folder: RunFolder, objective: Objective) -> StepRecord | None:
    """The best validation record of a trial, finished or not."""
    metric = objective.metrics[0]
    measured = [
        (value, record)
        for record in read_records(folder.metrics_file)
        if (value := finite(record.metrics, metric)) is not None
    ]
    pick = max if objective.modes[0] == "max" else min
    return pick(measured, key=lambda each: each[0], default=(None, None))[1]


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What the trials of a sweep folder would no longer have in common with new ones."""
    told = changed_code(before.get("code"), now["code"])
    for key, fingerprint in now["data"].items():
        told += changed_data(before.get("data", {}).get(key), fingerprint)
    counted, new = (ways(each.get("counted")) for each in (before, now))
    if "code" in before and counted != new:
        words = (next(iter(each.values()), BEFORE) for each in (counted, new))
        told.append(f"{', '.join(sorted(counted | new))} counted {', now '.join(words)}")
    if before.get("space") not in (None, now.get("space")):
        told.append("the search space")
    if before.get("objective") not in (None, now["objective"]):
        told.append(f"the objective, which was {before['objective']}")
    return told
