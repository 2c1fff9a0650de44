"""Timing that survives a noisy machine: interleaved rounds, medians, ratios within a round."""

from __future__ import annotations

import ctypes
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, NamedTuple

import torch

Precision = Literal["fp32", "bf16"]

GEMM_SIDE = {"cpu": 1024, "cuda": 8192}  # large enough for the full rate, small enough to repeat
CPU_GEMMS = 8  # one alone is over before the clock is fine enough


class Ratio(NamedTuple):
    """How many times as fast: the median over the rounds, and where the middle 80 % of them lie."""

    median: float
    low: float
    high: float


def clock(device: str, threads: int) -> Callable[[], float]:
    """A clock in seconds for work on this device.

    On a CPU with one thread it runs only while this process does, so work of others on the same
    machine counts less; on an idle machine it agrees with the wall's. On a GPU it waits until the
    device has done what it was given.
    """
    if device != "cpu":

        def when_done() -> float:
            torch.cuda.synchronize(device)
            return time.perf_counter()

        return when_done
    return time.process_time if threads == 1 else time.perf_counter


def keep_freed_memory() -> bool:
    """Lets this process keep what it frees, from now on; False where the C library cannot.

    glibc hands large blocks back to the system and has each page of the next one zeroed again. How
    often depends on the state of the heap, not on the model: a forward pass of ViT-Ti at batch 8
    took from 0 to 28,000 page faults, up to a fifth of its time, and the same model came out as
    0.89 or as 1.01 times another one's speed (torch 2.14.1, one thread, Linux virtual machine).
    """
    if sys.platform != "linux":
        return False
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX in <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    return bool(mallopt(trim_threshold, -1) and mallopt(mmap_max, 0))


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    now: Callable[[], float],
    *,
    warm_up: int = 2,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round; every round calls each of them once.

    What slows the machine for a while then slows them alike, and the order changes from round to
    round, since a contender finds the caches as its predecessor left them. `tell` hears how far
    it is; the warm-up of a compiled model may take minutes.
    """
    for name, run in contenders.items():
        tell(f"warming up {name}")
        for _ in range(warm_up):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        shuffle(order)
        for name in order:
            start = now()
            contenders[name]()
            seconds[name].append(now() - start)
    return seconds


def times_as_fast(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Their seconds over ours, round by round: above 1, ours is the faster."""
    ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
    margin = len(ratios) // 10
    return Ratio(statistics.median(ratios), ratios[margin], ratios[-1 - margin])


def gemm(device: str, dtype: torch.dtype) -> tuple[Callable[[], object], int]:
    """A product of two square matrices, and its operations: the yardstick of this machine."""
    kind = torch.device(device).type
    side, count = GEMM_SIDE[kind], CPU_GEMMS if kind == "cpu" else 1
    a, b = torch.randn(2, side, side, device=device, dtype=dtype)
    out = torch.empty_like(a)

    def run() -> None:
        for _ in range(count):
            torch.mm(a, b, out=out)

    return run, 2 * side**3 * count


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Where a model runs in this precision; its weights stay in float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def machine(device: str) -> str:
    """The processor's name, as far as the system tells it."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
