"""A sweep's folder: what was asked for, and what has become of each trial.

Plain files on a file system that machines may share. `sweep.json` is written by whoever holds the
sweep's claim; each trial's folder by whoever holds that trial's. A reader needs no claim: every
file is replaced whole.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.continuity import changed_code, changed_data
from vit.runs.counted import BEFORE, differing, ways
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.links import is_inside, link_problem
from vit.runs.shapes import BEGUN_SWEEP, PLANNED_TRIAL, SWEEP, TRIAL, misfit
from vit.runs.writing import write_json
from vit.sweeps.roles import FACTS, Trial
from vit.sweeps.trial_row import TrialRecord, TrialRow, cost, read_row

# sweep.json: what was asked for, and with what code and data; the shape is `SWEEP`.
SweepRecord = dict[str, Any]
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

    def sweep(self) -> SweepRecord:
        """What was asked for. Raises Refused where the folder holds no sweep, or a newer one."""
        record: SweepRecord | None = json_of(self.sweep_file, BEGUN_SWEEP)
        if record is None:
            raise Refused([Fault(str(self.path), "no sweep folder: it holds no sweep.json")])
        return record

    def earlier(self) -> SweepRecord | None:
        """The same as an earlier start has left it; None where there is none that can be read."""
        return read_json(self.sweep_file, SWEEP)

    def enter(self, trial: Trial) -> None:
        """Makes a trial's folder, or leaves the one that is there."""
        folder = trial.folder
        folder.freeze(trial.config)
        if not folder.stamp_file.exists():
            write_json(folder.stamp_file, trial.stamp)
        file = folder.path / "trial.json"
        before = read_json(file) or {}
        same = before.get("id") == trial.id and before.get("overrides") == trial.varies
        if not same or misfit(before, TRIAL):
            write_json(file, {**before, **_planned(trial).to_plain()})

    def rows(self) -> list[TrialRow]:
        """What is known of each trial, in the order they were planned in."""
        return self.read()[0]

    def read(self) -> tuple[list[TrialRow], list[Fault]]:
        """The same, and of each folder of a trial that cannot be read why not."""
        rows: list[TrialRow] = []
        unreadable: list[Fault] = []
        try:
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
        except OSError:
            return [], []
        for entry in entries:
            try:
                if (record := self._record_in(entry)) is not None:
                    rows.append(read_row(RunFolder(Path(entry.path)), record))
            except Refused as refused:
                unreadable += refused.faults
        planned = (self.earlier() or {}).get("trials", [])
        order = {id: at for at, id in enumerate(planned)}
        rows.sort(key=lambda row: (order.get(row.id, len(order)), row.label))
        return _without_outdated(rows), unreadable

    def _record_in(self, entry: os.DirEntry[str]) -> TrialRecord | None:
        """trial.json; None where no trial is there. Raises Refused where it cannot be read."""
        folder = Path(entry.path)
        if entry.is_symlink() and not is_inside(folder, self.path):
            if not folder.is_dir():
                return None
            raise Refused([Fault(entry.path, link_problem(folder, self.path))])
        plain = json_of(folder / "trial.json", PLANNED_TRIAL)
        if plain is None and (folder / "config.yaml").exists():
            message = "holds a run and no trial.json, so it counts for no trial of this sweep"
            raise Refused([Fault(entry.path, message)])
        return None if plain is None else TrialRecord.from_plain(plain)


def _planned(trial: Trial) -> TrialRecord:
    return TrialRecord(
        id=trial.id,
        group=trial.group,
        label=trial.label,
        seed=trial.config["seed"],
        overrides=trial.varies,
        point=trial.point,
        cost=cost(trial.report),
        facts={name: trial.report[name] for name in FACTS if name in trial.report},
    )


def _without_outdated(rows: list[TrialRow]) -> list[TrialRow]:
    """Without the metrics that others have counted in a later way (vit/runs/counted.py).

    `outdated` of a row names them.
    """
    latest: dict[str, str] = {}
    for row in rows:
        for name, way in row.counted.items():
            latest[name] = min(way, latest.get(name, way), key=len)
    compared = []
    for row in rows:
        outdated = [
            metric
            for metric in row.metrics
            if metric.rsplit("/", 1)[-1] in latest and differing(row.counted, latest, [metric])
        ]
        kept = {name: value for name, value in row.metrics.items() if name not in outdated}
        compared.append(replace(row, metrics=kept, outdated=outdated))
    return compared


def counts(rows: Iterable[TrialRow]) -> dict[str, int]:
    """State → trials, in the order a person wants to read them, without the empty ones."""
    counted = Counter(row.state for row in rows)
    return {state: counted[state] for state in STATES if counted[state]}


def changes(before: SweepRecord, now: SweepRecord) -> list[str]:
    """What the trials of a sweep folder would no longer have in common with new ones."""
    found = changed_code(before.get("code"), now["code"])
    for key, fingerprint in now["data"].items():
        found += changed_data(before.get("data", {}).get(key), fingerprint)
    counted, new = ways(before.get("counted")), ways(now.get("counted"))
    if "code" in before and counted != new:
        words = (next(iter(each.values()), BEFORE) for each in (counted, new))
        found.append(f"{', '.join(sorted(counted | new))} counted {', now '.join(words)}")
    if before.get("space") not in (None, now.get("space")):
        found.append("the search space")
    if before.get("objective") not in (None, now["objective"]):
        found.append(f"the objective, which was {before['objective']}")
    return found
