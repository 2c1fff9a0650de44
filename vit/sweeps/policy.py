"""How a sweep is run: everything under `sweep.` in a config. No number of a trial depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from vit.sweeps.roles import Executor, Sampling, SearchSampling
from vit.sweeps.trial import TrialOptions


@dataclass(kw_only=True)
class Policy:
    """Raises ValueError for a value that cannot be meant. conf/sweep/base.yaml has each key."""

    sampler: Sampling
    executor: Executor
    name: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    points: list[str] = field(default_factory=list)
    jobs: int | None = None
    metric: str | list[str] | None = None
    mode: Literal["max", "min"] | list[str] | None = None
    retries: int = 1
    max_failures: int | None = 10
    hang_minutes: float = 30.0
    grace_seconds: float = 60.0
    halve_batch: bool = False
    keep: Literal["all", "best", "none"] = "all"
    keep_best: int = 3

    def __post_init__(self) -> None:
        for key, role in (("sampler", Sampling), ("executor", Executor)):
            part = getattr(self, key)
            if not isinstance(part, role):
                raise ValueError(f"sweep.{key} is {part!r}; wanted a part, as in conf/sweep/.")
        if self.sampler.searches and not isinstance(self.sampler, SearchSampling):
            name = type(self.sampler).__name__
            raise ValueError(f"sweep.sampler: {name} searches, and has no start(space, rows).")
        for key, least in (("jobs", 1), ("retries", 0), ("max_failures", 1), ("keep_best", 1)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"sweep.{key}={value}; wanted {least} or more.")
        for key in ("hang_minutes", "grace_seconds"):
            if not getattr(self, key) > 0:
                raise ValueError(f"sweep.{key}={getattr(self, key)}; wanted more than 0.")

    def orders(self, allow_targets: Iterable[str] = ()) -> TrialOptions:
        return TrialOptions(
            allow_targets=tuple(allow_targets),
            retries=self.retries,
            hang_seconds=self.hang_minutes * 60,
            halve_batch=self.halve_batch,
            grace_seconds=self.grace_seconds,
        )
