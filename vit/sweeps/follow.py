"""Reads a running trial's record as it grows."""

from __future__ import annotations

from dataclasses import dataclass, field

from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.files import MOST_RECORD_BYTES, reading
from vit.runs.record import read_records, record_of
from vit.sweeps.outcomes import finite
from vit.sweeps.roles import Trial


def validations(folder: RunFolder, metric: str) -> list[tuple[int, float]]:
    """All that a run has recorded: which validation it was, from 1 on, and the metric."""
    values = [finite(record.metrics, metric) for record in read_records(folder.metrics_file)]
    return list(enumerate((value for value in values if value is not None), start=1))


@dataclass
class Follower:
    """What a running trial has recorded so far; one that goes on records some steps again."""

    trial: Trial
    metric: str
    step: int = 0
    epoch: int = 0
    metrics: dict[str, object] = field(default_factory=dict)
    _offset: int = 0
    _validated: dict[int, float] = field(default_factory=dict)
    _reported: int = 0

    def look(self) -> list[tuple[int, float]]:
        """The validations that are new: how many there were before it plus one, and the metric."""
        try:
            with reading(self.trial.folder.metrics_file, most=MOST_RECORD_BYTES) as file:
                file.seek(self._offset)
                text = file.read()
        except (OSError, Refused):
            return []
        whole = text.rfind(b"\n") + 1
        self._offset += whole
        for line in text[:whole].splitlines():
            self._take(line)
        steps = sorted(self._validated)
        new = [(at + 1, self._validated[steps[at]]) for at in range(self._reported, len(steps))]
        self._reported = max(self._reported, len(steps))
        return new

    def _take(self, line: bytes) -> None:
        if (record := record_of(line)) is None:
            return
        self.step, self.epoch = record.step, record.epoch
        self.metrics.update(record.metrics)
        value = record.metrics.get(self.metric)
        if isinstance(value, int | float):
            self._validated[self.step] = float(value)

    @property
    def part_done(self) -> float:
        steps = self.trial.report.get("steps") or 0
        return min(self.step / steps, 1.0) if steps else 0.0
