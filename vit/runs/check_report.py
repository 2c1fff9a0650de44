"""What the check says of a config: its faults, or what the run would be.

Commands read it without torch, so it holds plain values. `to_plain` is the form that goes from
process to process and that `vit check --json` prints; the order of its keys is part of that form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from vit.faults import Fault, Refused

Plain = Mapping[str, Any]  # of a form that JSON knows
T = TypeVar("T")


@dataclass
class TrainingReport:
    """How long a training is, and how its batches are shared out."""

    processes: int
    batch_size: int  # of an optimizer step, all processes together
    micro_batch_size: int  # of one process at a time
    batches_per_epoch: int
    steps_per_epoch: int
    steps: int


@dataclass
class MetricsReport:
    """What validation logs, which way is better, and what nothing can be chosen by."""

    monitors: list[str]
    better: dict[str, str]  # metric → max or min
    signed: list[str]
    counted: dict[str, str] | None = None  # how a metric is counted, where that has changed

    def to_plain(self) -> dict[str, Any]:
        return _without_none(vars(self))


@dataclass
class ScheduleReport:
    """The learning rate at points that are evenly spread over the training."""

    lr: float
    lr_of_points: list[float]


@dataclass
class CostReport:
    """What a model costs, for one sample of the data."""

    parameters: int
    gflops_per_image: float  # forward
    unit: str  # what a sample is called: image, text, …
    facts: dict[str, Any]  # AnyFacts.summary()
    tokens: int | None = None
    trained: int | None = None  # parameters, where `tuning` freezes some

    def to_plain(self) -> dict[str, Any]:
        plain = _without_none(vars(self))
        del plain["facts"]
        names = ("tokens", "trained")
        last: dict[str, Any] = {key: plain.pop(key) for key in names if key in plain}
        return {**plain, **self.facts, **last}


@dataclass
class MemoryReport:
    """Bytes that one process holds at its peak."""

    parameters: int
    gradients: int
    optimizer: int
    average: int
    communication: int
    activations: int

    @property
    def total(self) -> int:
        return sum(vars(self).values())

    def to_plain(self) -> dict[str, int]:
        return {**vars(self), "total": self.total}


@dataclass
class TrafficReport:
    """Bytes of one optimizer step for each process; where weights are sharded, of the shards too.

    `sent_bytes` leave the process; the others take part in a collective. `units` are gathered one
    after another, `shard_bytes` stay with a process, `padding_bytes` fill up all shards together.
    """

    all_reduce_bytes: int
    all_gather_bytes: int
    reduce_scatter_bytes: int
    sent_bytes: int
    units: int | None = None
    shard_bytes: int | None = None
    padding_bytes: int | None = None

    def to_plain(self) -> dict[str, int]:
        return _without_none(vars(self))


@dataclass
class DeterminismReport:
    """What `trainer.deterministic` comes to; no summary of a model that cannot be looked at."""

    summary: str | None


@dataclass
class SplitReport:
    """What one split holds; `further` are the counts that only its kind of data has."""

    images: int  # samples, of whatever kind
    origin: str | None = None
    per_class: dict[str, int] | None = None
    further: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_plain(cls, plain: Plain) -> SplitReport:
        known = ("images", "from", "per_class")
        further = {key: count for key, count in plain.items() if key not in known}
        return cls(plain["images"], plain.get("from"), plain.get("per_class"), further)

    def to_plain(self) -> dict[str, Any]:
        known = {"images": self.images, "from": self.origin, "per_class": self.per_class}
        return {**_without_none(known), **self.further}


@dataclass
class DataReport:
    splits: dict[str, SplitReport]
    fingerprint: str

    @classmethod
    def from_plain(cls, plain: Plain) -> DataReport:
        splits = {name: split for name, split in plain.items() if name != "fingerprint"}
        made = {name: SplitReport.from_plain(split) for name, split in splits.items()}
        return cls(made, plain["fingerprint"])

    def to_plain(self) -> dict[str, Any]:
        splits = {name: split.to_plain() for name, split in self.splits.items()}
        return {**splits, "fingerprint": self.fingerprint}


@dataclass
class RunReport:
    """What a run without faults will be."""

    training: TrainingReport
    metrics: MetricsReport
    schedule: ScheduleReport
    checkpoints: int  # how many are kept at most
    cost: CostReport
    memory: MemoryReport | None  # None where the model cannot be computed without values
    data: DataReport
    gpus: list[str]
    groups: list[dict[str, Any]] | None = None  # of the optimizer, where layers differ
    traffic: TrafficReport | None = None  # of several processes
    determinism: DeterminismReport | None = None  # where it was asked for
    settled: dict[str, str] | None = None  # what the task's settings come to: label → text
    changes: list[str] | None = None  # of the data since the run was begun
    init: dict[str, Any] | None = None  # weights it starts from: see vit/weights, with a `summary`
    extension: str | None = None  # what the epochs of `extend` are, and their learning rate
    seconds: float | None = None  # estimated for the training, where somebody asked

    @classmethod
    def from_plain(cls, plain: Plain) -> RunReport:
        every = {*KEYS, *_keys(TrainingReport), *_keys(MetricsReport), *_keys(CostReport)}
        facts = {key: value for key, value in plain.items() if key not in every}
        memory = plain["memory"]
        return cls(
            training=_made(TrainingReport, plain),
            metrics=_made(MetricsReport, plain),
            schedule=ScheduleReport(**plain["schedule"]),
            checkpoints=plain["checkpoints"],
            cost=_made(CostReport, {**plain, "facts": facts}),
            memory=None if memory is None else _made(MemoryReport, memory),
            data=DataReport.from_plain(plain["data"]),
            gpus=plain["gpus"],
            groups=plain.get("groups"),
            traffic=_made(TrafficReport, plain["communication"])
            if "communication" in plain
            else None,
            determinism=DeterminismReport(plain["deterministic"])
            if "deterministic" in plain
            else None,
            settled=plain.get("settled"),
            changes=plain.get("changes"),
            init=plain.get("init"),
            extension=plain.get("extension"),
            seconds=plain.get("seconds"),
        )

    def to_plain(self) -> dict[str, Any]:
        memory = None if self.memory is None else self.memory.to_plain()
        traffic, exact = self.traffic, self.determinism
        return {
            **vars(self.training),
            **self.metrics.to_plain(),
            "schedule": vars(self.schedule),
            **_without_none({"groups": self.groups}),
            "checkpoints": self.checkpoints,
            **self.cost.to_plain(),
            "memory": memory,
            **({} if traffic is None else {"communication": traffic.to_plain()}),
            **({} if exact is None else {"deterministic": exact.summary}),
            "data": self.data.to_plain(),
            **_without_none({"settled": self.settled}),
            **_without_none({"changes": self.changes, "init": self.init}),
            **_without_none({"extension": self.extension}),
            "gpus": self.gpus,
            **_without_none({"seconds": self.seconds}),
        }


# The keys of a plain RunReport besides those of the parts that are spread out in it.
KEYS = frozenset(
    {
        *("faults", "lacking", "warnings", "schedule", "groups", "checkpoints", "memory"),
        *("communication", "deterministic", "data", "settled", "changes", "init", "extension"),
        *("gpus", "seconds"),
    }
)


@dataclass
class CheckReport:
    """Every fault of a config, or what its run will be.

    `lacking` is what this machine has not, which is a fault only where the run is to train here.
    """

    faults: list[Fault]
    lacking: list[Fault]
    warnings: list[str]
    run: RunReport | None = None  # None where the check came upon faults

    @property
    def sound(self) -> RunReport:
        """What the run will be; raises Refused with the faults where there is no such thing."""
        if self.run is None:
            raise Refused(self.faults)
        return self.run

    @classmethod
    def from_plain(cls, plain: Plain) -> CheckReport:
        return cls(
            [Fault(**fault) for fault in plain["faults"]],
            [Fault(**fault) for fault in plain["lacking"]],
            list(plain["warnings"]),
            RunReport.from_plain(plain) if "steps" in plain else None,
        )

    def to_plain(self) -> dict[str, Any]:
        return {
            "faults": [asdict(fault) for fault in self.faults],
            "lacking": [asdict(fault) for fault in self.lacking],
            "warnings": self.warnings,
            **({} if self.run is None else self.run.to_plain()),
        }


def _keys(part: type) -> list[str]:
    return [each.name for each in fields(part)]


def _made(part: Callable[..., T], plain: Plain) -> T:
    """A part of those values that bear the names of its fields."""
    assert isinstance(part, type)
    return part(**{key: plain[key] for key in _keys(part) if key in plain})


def _without_none(values: Plain) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
