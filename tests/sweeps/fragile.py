"""A schedule that now and then kills its process, raises, or leaves; the numbers are Constant's."""

import os
import random
import signal
from dataclasses import dataclass

from vit.optim.schedules import Constant


@dataclass(kw_only=True)
class Fragile(Constant):
    """Strikes with probability `share` an attempt, at a random step of those still to come."""

    share: float = 0.3
    steps: int = 36

    def __post_init__(self) -> None:
        chance = random.SystemRandom()
        self._left = chance.randrange(self.steps) if chance.random() < self.share else None
        self._how = chance.choice(["kill", "raise", "exit"])

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        trial = os.getsid(0) == os.getpid()  # and not the check, which asks for the rates as well
        if self._left is not None and trial:
            self._left -= 1
            if self._left < 0:
                if self._how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self._how == "exit":
                    os._exit(0)
                raise RuntimeError("struck")
        return super().scale(step, total_steps, steps_per_epoch)
