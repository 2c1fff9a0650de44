"""Which checkpoints are kept beside last.ckpt and best.ckpt, and by what names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vit.callbacks.checkpoints.saving import Keep


class RecentKept:
    """The last `keep_last` states, and one every so many steps or epochs for good.

    last.ckpt is the newest of `keep_last`; where that is more than 1, each of them is
    step-000300.ckpt as well. The others are milestone-step-000300.ckpt and
    milestone-epoch-0010.ckpt; a milestone at a step that cannot be gone on from (a validation
    follows, gradients are being accumulated) is the next step that can. Only what stands in `kept`
    is ever removed, and only once a newer one is on disk.
    """

    def __init__(
        self,
        keep_last: int = 1,
        keep_every_n_steps: int | None = None,
        keep_every_n_epochs: int | None = None,
    ):
        _at_least_one("keep_last", keep_last)
        _at_least_one("keep_every_n_steps", keep_every_n_steps)
        _at_least_one("keep_every_n_epochs", keep_every_n_epochs)
        self.keep_last = keep_last
        self.every_n_steps = keep_every_n_steps
        self.every_n_epochs = keep_every_n_epochs
        self.kept: list[str] = []  # the oldest first
        self._milestone_due = False

    def passed(self, step: int) -> bool:
        """Whether a milestone is due after this step; it stays so until one is written."""
        if self.every_n_steps and step % self.every_n_steps == 0:
            self._milestone_due = True
        return self._milestone_due

    def entry(self, step: int, epochs_done: int | None) -> Keep | None:
        """What to do with the state about to be written; `epochs_done` at the end of an epoch.

        Asked before the callbacks' states are collected, so that the checkpoint knows of itself.
        """
        also: list[str] = []
        if self._milestone_due:
            also.append(f"milestone-step-{step:06d}.ckpt")
            self._milestone_due = False
        if epochs_done and self.every_n_epochs and epochs_done % self.every_n_epochs == 0:
            also.append(f"milestone-epoch-{epochs_done:04d}.ckpt")
        named = self.keep_last if self.keep_last > 1 else 0
        if named:
            name = f"step-{step:06d}.ckpt"
            self.kept = [*(other for other in self.kept if other != name), name]
            also.append(name)
        more = max(len(self.kept) - named, 0)
        gone, self.kept = self.kept[:more], self.kept[more:]
        return Keep(tuple(also), tuple(gone)) if also or gone else None


class BestKept:
    """The `keep_best` best states: best.ckpt, and where more are kept each by step and score.

    The names are like best-step-000300-0.9847.ckpt; ties keep the earlier.
    """

    def __init__(self, keep_best: int = 1, highest: bool = True):
        _at_least_one("keep_best", keep_best)
        self.keep_best = keep_best
        self.highest = highest
        self.kept: list[tuple[float, str]] = []  # the best first

    def entry(self, step: int, score: float, best: bool) -> tuple[str, Keep | None] | None:
        """The name to write a validated state under, or None where it is not among the best."""
        if self.keep_best == 1 and not self.kept:
            return ("best.ckpt", None) if best else None
        name = f"best-step-{step:06d}-{score:.4f}.ckpt"
        others = [item for item in self.kept if item[1] != name]
        ranked = sorted([*others, (score, name)], key=self._rank)  # stable: the earlier stays
        self.kept, gone = ranked[: self.keep_best], ranked[self.keep_best :]
        drop = tuple(other for _, other in gone if other != name)
        if best:
            return "best.ckpt", Keep((name,) if self.keep_best > 1 else (), drop)
        return (name, Keep(drop=drop)) if (score, name) in self.kept else None

    def _rank(self, item: tuple[float, str]) -> float:
        if math.isnan(item[0]):
            return math.inf
        return -item[0] if self.highest else item[0]


def forget_orphans(folder: Path, pattern: str, kept: Iterable[str], step: int) -> None:
    """Removes what a kill between a write and a removal left: of steps before `step`, not `kept`.

    Later ones are of another branch, where somebody went back to an earlier state.
    """
    names = set(kept)
    for file in folder.glob(pattern):
        numbered = re.search(r"step-(\d+)", file.name)
        if file.name not in names and numbered and int(numbered[1]) < step:
            file.unlink(missing_ok=True)


def number_kept(checkpoint: dict[str, Any], steps: int, epochs: int) -> int:
    """How many checkpoints a run of this policy ends with, at most."""
    count = int(checkpoint.get("keep_last") or 1) + int(checkpoint.get("keep_best") or 1)
    for key, length in (("keep_every_n_steps", steps), ("keep_every_n_epochs", epochs)):
        if checkpoint.get(key):
            count += length // int(checkpoint[key])
    return count


def _at_least_one(key: str, value: int | None) -> None:
    if value is not None and value < 1:
        wanted = "1 or more, or null" if key.startswith("keep_every") else "1 or more"
        raise ValueError(f"checkpoint.{key}={value}; wanted {wanted}.")
