"""What Slurm's queue says of our jobs, asked of squeue.

submitit asks sacct, which many clusters (and every one without accounting) answer with an error at
each call: the screen fills with warnings, and a job that was cancelled from outside waits for ever.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
# As of squeue's manual, "JOB STATE CODES": a job in one of these will never run again by itself.
ENDED: tuple[str, ...] = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL")
ENDED = (*ENDED, "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT")
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Standing:
    """One job as the queue has it.

    `state` is Slurm's own word (PENDING, RUNNING, …), or GONE where the queue no longer knows the
    job; `reason` is why it waits (Resources, Priority, QOSMaxJobsPerUserLimit, …), else empty.
    """

    state: str
    reason: str = ""

    @property
    def waits(self) -> bool:
        return self.state in WAITING

    @property
    def ended(self) -> bool:
        return self.state == "GONE" or self.state in ENDED

    def __str__(self) -> str:
        return f"{self.state.lower()}: {self.reason}" if self.reason else self.state.lower()


def standings(job_ids: list[str]) -> dict[str, Standing] | None:
    """The standing of each job by its id (`12`, `12_3` of an array); None: Slurm did not answer.

    A controller that restarts, or is busy, does not answer for a while: that says nothing of jobs.
    """
    if not job_ids:
        return {}
    # By the array's id: asking for thousands of tasks one by one would be a command too long. An
    # id that the queue has forgotten is an error if it is asked for alone, hence the user's jobs.
    command = [
        "squeue",
        f"--user={os.getuid()}",
        "--array",
        "--noheader",
        "--states=all",
        "--format=%i|%T|%r",
    ]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split("|", 2) for line in asked.stdout.splitlines() if line.count("|") >= 2)
    known = {
        number.strip(): Standing(state.strip(), _why(reason)) for number, state, reason in rows
    }
    return {job_id: known.get(job_id, Standing("GONE")) for job_id in job_ids}


def _why(reason: str) -> str:
    """`Resources`; nothing where Slurm says None or tells of itself at length."""
    word = reason.strip()
    return word if re.fullmatch(r"\w+", word) and word != "None" else ""
