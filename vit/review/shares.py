"""Where times on the clock cannot be compared: runs that had different shares of a machine.

What can be known is what runs have recorded: devices, processes, threads, machines, and when each
was trained. What else ran on a machine meanwhile, nobody has written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vit.review.run import Run, inside
from vit.runs.shapes import is_number

MOST_NAMED = 3
NOT_KNOWN = "what else ran on these machines is not known"


@dataclass(frozen=True)
class Clock:
    """Why times of these runs are not one measure, a line each; none where nothing speaks
    against it. `together` are the names of runs that shared their machine with others of these."""

    reasons: list[str]
    together: list[str]


def clock_of(runs: Iterable[Run]) -> Clock:
    """Of the runs that have trained at all."""
    trained = [run for run in runs if is_number(run.state_json.get("train_seconds"))]
    reasons = [
        f"{word}: {', '.join(kinds[:MOST_NAMED])}{', …' if len(kinds) > MOST_NAMED else ''}"
        for word, of_run in RECORDED.items()
        if len(kinds := _kinds(trained, of_run)) > 1
    ]
    together = _overlapping(trained)
    if together:
        reasons.append(
            f"{len(together)} of {len(trained)} runs shared their machine with others of these "
            "at the time"
        )
    return Clock([*reasons, NOT_KNOWN] if reasons else [], together)


def is_on_gpu(run: Run) -> bool:
    """Whether it was trained on GPUs that its stamp names."""
    return bool(inside(run.stamp, "hardware", "gpus")) and _accelerator(run) != "cpu"


def processes(run: Run) -> int:
    """Of one run, over all its machines."""
    counts = [inside(run.config, "trainer", key) for key in ("devices", "num_nodes")]
    devices, nodes = (count if isinstance(count, int) and count > 0 else 1 for count in counts)
    return devices * nodes


def _accelerator(run: Run) -> object:
    return inside(run.config, "trainer", "accelerator")


def _device(run: Run) -> str | None:
    hardware = inside(run.stamp, "hardware")
    gpus, cpu = inside(hardware, "gpus"), inside(hardware, "cpu")
    if is_on_gpu(run) and isinstance(gpus, list):
        return str(gpus[0])
    cores = inside(hardware, "cores")
    return None if cpu is None else f"{cpu} with {cores} cores" if cores else str(cpu)


def _host(run: Run) -> str | None:
    host = inside(run.state_json, "owner", "host")
    return host if isinstance(host, str) else None


def _processes(run: Run) -> str | None:
    return str(processes(run)) if run.config.get("trainer") else None


def _threads(run: Run) -> str | None:
    threads = run.config.get("threads")
    return str(threads) if isinstance(threads, int) and not is_on_gpu(run) else None


RECORDED: dict[str, Callable[[Run], str | None]] = {
    "different devices": _device,
    "different machines": _host,
    "different numbers of processes": _processes,
    "different numbers of threads": _threads,
}


def _kinds(runs: list[Run], of_run: Callable[[Run], str | None]) -> list[str]:
    return sorted({kind for run in runs if (kind := of_run(run)) is not None})


def _overlapping(runs: list[Run]) -> list[str]:
    """Names of the runs that were in training while another was on the same machine."""
    spans = sorted(
        (host, began, ended, at)
        for at, run in enumerate(runs)
        for host, began, ended in _spans(run)
    )
    found: set[int] = set()
    latest: dict[str, tuple[float, int]] = {}  # by host: the latest end so far, and whose it is
    for host, began, ended, at in spans:
        until, other = latest.get(host, (-1.0, at))
        if began < until and other != at:
            found |= {at, other}
        if ended > until:
            latest[host] = (ended, at)
    return [run.name for at, run in enumerate(runs) if at in found]


def _spans(run: Run) -> list[tuple[str, float, float]]:
    """Machine, begin and end of each attempt, seconds since 1970; else of its last start."""
    attempts = inside(run.trial, "attempts")
    spans = [
        (each.get("host"), each.get("started"), each.get("ended"))
        for each in (attempts if isinstance(attempts, list) else [])
        if isinstance(each, dict)
    ] or [(_host(run), run.state_json.get("started"), run.state_json.get("updated"))]
    known: list[tuple[str, float, float]] = []
    for host, *ends in spans:
        if isinstance(host, str) and all(map(is_number, ends)):
            began, ended = (float(end or 0) for end in ends)
            known += [(host, began, ended)] * (began < ended)
    return known
