"""What every bench of models shares: its conditions, the pace of each library, its JSON."""

from __future__ import annotations

import importlib.metadata
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vit.bench.measure import (
    Precision,
    Ratio,
    autocast,
    keep_freed_memory,
    machine,
    times_as_fast,
)

OURS = "ours"
EXTRA = "'vit-experiments[bench]'"  # what pip installs for the libraries that only benches want


@dataclass(kw_only=True)
class Conditions:
    """Under which the rows of a bench are true."""

    bench: ClassVar[str]

    size: str
    batch: int
    rounds: int
    threads: int
    device: str
    precision: Precision
    machine: str
    torch: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        return {"schema_version": 1, "bench": self.bench, **plain(self)}


class BackboneShape(NamedTuple):
    """Width, depth and heads of a backbone of the names that conf/backbone has."""

    dim: int
    depth: int
    heads: int


BACKBONES = {
    "ti": BackboneShape(192, 12, 3),
    "s": BackboneShape(384, 12, 6),
    "b": BackboneShape(768, 12, 12),
}


@dataclass
class ImageRow:
    """How fast one library is at one kind of work on images."""

    work: str  # forward, or step: forward, loss, backward and AdamW
    library: str
    version: str
    images_per_second: float
    ours_is_faster: Ratio | None  # None in our own row


class Pace(NamedTuple):
    """How fast one library was, and how much faster ours."""

    library: str
    version: str
    per_second: float
    ours_is_faster: Ratio | None  # None for ours


def settle(threads: int, device: str) -> dict[str, Any]:
    """Readies this process for good, its threads and its C library; the machine, as a result
    tells it."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    return {
        "threads": threads,
        "device": device,
        "machine": machine(device),
        "torch": torch.__version__,
    }


def paces(
    seconds: Mapping[str, Sequence[float]], packages: Mapping[str, str], samples: int
) -> list[Pace]:
    """Of each library by its package, from the seconds of `interleaved` for so many samples."""
    return [
        Pace(
            name,
            importlib.metadata.version(package),
            samples / statistics.median(seconds[name]),
            None if name == OURS else times_as_fast(seconds[OURS], seconds[name]),
        )
        for name, package in packages.items()
    ]


def evaluation_pass(
    call: Callable[[], object], device: torch.device, precision: Precision
) -> Callable[[], object]:
    """A forward pass in inference mode, under autocast where `precision` asks for it."""

    @torch.inference_mode()
    def run() -> object:
        with autocast(device, precision):
            return call()

    return run


def training_step(
    parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor], *, weight_decay: float
) -> Callable[[], None]:
    """Forward, loss, backward, and torch's fused AdamW, which weighs little."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=weight_decay, fused=True)

    def run() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def plain(value: object) -> Any:
    """Dataclasses and named tuples as dicts, all the way down."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
