"""One config under check: what has been built of it so far, and what has come to light."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from vit.data.core.samples import SampleData
from vit.faults import Fault
from vit.runs.check_report import (
    CheckReport,
    CostReport,
    DataReport,
    DeterminismReport,
    MemoryReport,
    MetricsReport,
    RunReport,
    ScheduleReport,
    TrafficReport,
    TrainingReport,
)
from vit.tasks.spec import TaskSpec

T = TypeVar("T")


class Shared:
    """What was seen of one part of a config, for the next config with the same part."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def find(self, parts: object, look: Callable[[], T]) -> T:
        key = json.dumps(parts, sort_keys=True, default=str)
        if key not in self._known:
            self._known[key] = look()
        answer: T = self._known[key]
        return answer


@dataclass
class Case:
    """What the checks of vit/check/preflight.py, in their order, add to.

    A part of the report is None until its check has run, or where that could not.
    """

    config: dict[str, Any]
    full: bool  # look at every image, not a sample
    run_dir: Path | None
    shared: Shared

    faults: list[Fault] = field(default_factory=list)
    lacking: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)  # keys at the top whose part is not to be built

    data: SampleData | None = None
    data_is_sound: bool = True
    spec: TaskSpec | None = None
    takes_data: bool = False  # the task takes data of this kind
    model: Any = None  # what the spec builds, on the meta device
    model_parts: list[object] = field(default_factory=list)  # of the config; they decide the model

    training: TrainingReport | None = None
    metrics: MetricsReport | None = None
    schedule: ScheduleReport | None = None
    groups: list[dict[str, Any]] | None = None
    checkpoints: int | None = None
    cost: CostReport | None = None
    memory: MemoryReport | None = None
    traffic: TrafficReport | None = None
    determinism: DeterminismReport | None = None
    data_report: DataReport | None = None
    settled: dict[str, str] | None = None
    changes: list[str] | None = None
    init: dict[str, Any] | None = None
    extension: str | None = None

    @property
    def allow(self) -> list[str]:
        """The packages that the user trusts."""
        return self.config.get("allow_targets") or []

    def usable(self, *keys: str) -> bool:
        return self.unusable.isdisjoint(keys)

    def report(self) -> CheckReport:
        run = None if self.faults else self._run()
        return CheckReport(self.faults, self.lacking, self.warnings, run)

    def _run(self) -> RunReport:
        # Where one of these is missing a fault says why.
        assert self.training is not None and self.metrics is not None
        assert self.schedule is not None and self.checkpoints is not None
        assert self.cost is not None and self.data_report is not None
        return RunReport(
            training=self.training,
            metrics=self.metrics,
            schedule=self.schedule,
            checkpoints=self.checkpoints,
            cost=self.cost,
            memory=self.memory,
            data=self.data_report,
            gpus=[torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
            groups=self.groups,
            traffic=self.traffic,
            determinism=self.determinism,
            settled=self.settled or None,
            changes=self.changes,
            init=self.init,
            extension=self.extension,
        )
