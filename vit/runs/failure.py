"""How a training ends: its exit code, and what kind of failure an exception is."""

from __future__ import annotations

from vit.runs.disk_full import disk_is_full

DONE, FAILED, REFUSED, STOPPED, PREEMPTED = 0, 1, 2, 130, 143  # exit codes; two are of signals


def kind_of(problem: BaseException) -> str:
    """The kind of an exception, as the state file says it."""
    text = str(problem).lower()
    if isinstance(problem, FloatingPointError):
        return "diverged"
    if disk_is_full(problem):
        return "disk_full"
    if type(problem).__name__ in ("OutOfMemoryError", "MemoryError") or (
        "out of memory" in text or "can't allocate memory" in text
    ):
        return "out_of_memory"
    return "exception"
