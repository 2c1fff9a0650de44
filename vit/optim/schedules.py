"""How the learning rate goes over a training, as pure functions of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class Schedule(ABC):
    """A linear warm-up, and then what the kind says.

    Args:
        warmup_steps: optimizer steps of warm-up; or
        warmup_epochs: epochs of warm-up, parts of one allowed. Not both; 0 and None are none.
        warmup_start: scale at step 0; the first step after the warm-up has scale 1.
        final_lr_scale: scale at the very last step, where the kind lets the rate fall.
    """

    warmup_steps: int | None = None
    warmup_epochs: float | None = None
    warmup_start: float = 0.01
    final_lr_scale: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError(
                f"warmup_steps={self.warmup_steps} and warmup_epochs={self.warmup_epochs} both ask "
                "for a warm-up; set one of them to null."
            )
        for name in ("warmup_steps", "warmup_epochs"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name}={getattr(self, name)}; wanted 0 or more.")
        for name in ("warmup_start", "final_lr_scale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}; wanted a fraction in [0, 1].")

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """What the learning rate of optimizer step `step`, counted from 0, is multiplied by.

        Steps past the end keep the scale of the last one. Raises ValueError where the warm-up is
        longer than the training.
        """
        warmup = self.warmup(total_steps, steps_per_epoch)
        if step < warmup:
            return self.warmup_start + (1 - self.warmup_start) * step / warmup
        falling = max(total_steps - 1 - warmup, 1)
        return self.after_warmup(min((step - warmup) / falling, 1.0))

    def warmup(self, total_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of warm-up."""
        steps = self.warmup_steps or round((self.warmup_epochs or 0) * steps_per_epoch)
        if steps > total_steps:
            key = "warmup_steps" if self.warmup_steps else "warmup_epochs"
            raise ValueError(
                f"the warm-up takes {steps} steps and the whole training {total_steps}; "
                f"lower schedule.{key}, or train for longer. schedule.{key}=0 leaves it out."
            )
        return steps

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """The scale, with `progress` 0 at the end of the warm-up and 1 at the last step."""


@dataclass(kw_only=True)
class Cosine(Schedule):
    """Half a cosine from 1 down to `final_lr_scale`.

    Source: Loshchilov and Hutter 2016, arXiv:1608.03983 (without restarts).
    """

    def after_warmup(self, progress: float) -> float:
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        return self.final_lr_scale + (1 - self.final_lr_scale) * fall


@dataclass(kw_only=True)
class Linear(Schedule):
    """A straight line from 1 down to `final_lr_scale`."""

    def after_warmup(self, progress: float) -> float:
        return 1 + (self.final_lr_scale - 1) * progress


@dataclass(kw_only=True)
class Constant(Schedule):
    """Stays at 1, and falls in a straight line over the last part, if any.

    `cooldown` is that part, as a fraction of what follows the warm-up; 0 for none.

    Source: Hägele et al. 2024, arXiv:2405.18392 (constant rate with cooldown).
    """

    cooldown: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.cooldown <= 1:
            raise ValueError(f"cooldown={self.cooldown}; wanted a fraction in [0, 1].")

    def after_warmup(self, progress: float) -> float:
        if progress <= 1 - self.cooldown or not self.cooldown:
            return 1.0
        return 1 + (self.final_lr_scale - 1) * (progress - (1 - self.cooldown)) / self.cooldown


AGAIN = 0.1  # the scale at which a training goes on whose schedule ended at 0


@dataclass(frozen=True)
class Extended:
    """A schedule that has come to its end, and the rate of the `epochs` that `extend` adds to it.

    They go in a straight line from `start`, a scale as any, to where the schedule ended. None is
    that end itself, so that the rate stays where it was; or, where that is 0 and nothing would be
    learnt, a tenth. What came before is as if nothing followed: the same rates at the same steps.
    """

    schedule: Any  # what has `scale`, ours or the user's own
    epochs: int
    start: float | None = None

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        """As a Schedule's; `total_steps` are those of all epochs."""
        before = self.recipe_steps(total_steps, steps_per_epoch)
        if step < before:
            return float(self.schedule.scale(step, before, steps_per_epoch))
        end = float(self.schedule.scale(before - 1, before, steps_per_epoch))
        start = (end or AGAIN) if self.start is None else self.start
        progress = min((step - before) / max(total_steps - 1 - before, 1), 1.0)
        return start + (end - start) * progress

    def recipe_steps(self, total_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of the training without what was added."""
        return total_steps - self.epochs * steps_per_epoch
