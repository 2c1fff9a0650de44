"""A schedule that strikes in one process of a run."""

import os
import signal
from dataclasses import dataclass

from vit.optim.schedules import Constant


@dataclass(kw_only=True)
class OneRank(Constant):
    """At the fifth step, in the process of `rank`: raises, is killed, or hangs."""

    strike: str = "none"
    rank: int = 1

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        if step == 5 and self.strike != "none" and os.environ.get("RANK") == str(self.rank):
            if self.strike == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.strike == "hang":
                signal.pause()
            raise RuntimeError("struck")
        return super().scale(step, total_steps, steps_per_epoch)
