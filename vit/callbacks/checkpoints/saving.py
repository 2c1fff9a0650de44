"""How checkpoints are written and read for Lightning: at once, or while training goes on."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from vit.runs.checkpoint import read_checkpoint, write_checkpoint
from vit.runs.shards import drop_unused


@dataclass(frozen=True)
class Keep:
    """What a checkpoint is called beside its own name, and which are removed once it is there."""

    also: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes and reads as vit/runs/checkpoint.py does.

    Lightning stages a file in $TMPDIR instead, which may be another disk: the move is then a copy,
    and a run that is killed meanwhile loses the old checkpoint and the new one.

    `asynchronous` copies the state, as large as the checkpoint, to CPU memory and writes it in a
    thread. One at a time: the next checkpoint, a read and the end of the training wait for it, and
    raise what it raised.
    """

    def __init__(self, asynchronous: bool = False):
        self.background = Background() if asynchronous else None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        keep = storage_options or Keep()
        self.do(lambda held: commit(held, Path(path), keep), checkpoint)

    def do(self, write: Callable[[dict[str, Any]], None], checkpoint: dict[str, Any]) -> None:
        """Calls `write` with the checkpoint, or in the background with a copy of it."""
        self.wait()
        if self.background is None:
            write(checkpoint)
        else:
            held = held_copy(checkpoint)
            self.background.start(lambda: write(held))

    def load_checkpoint(
        self, path: str | Path, map_location: object = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        self.wait()
        return read_checkpoint(Path(path))

    def wait(self) -> None:
        """Until nothing is being written; raises what the write raised."""
        if self.background is not None:
            self.background.wait()


def commit(checkpoint: dict[str, Any], path: Path, keep: Keep) -> None:
    """A checkpoint comes, and then older ones go."""
    try:
        write_checkpoint(checkpoint, path, keep.also)
    except BaseException:
        drop_unused(path.parent)  # the shards it was to name
        raise
    for name in keep.drop:
        path.with_name(name).unlink(missing_ok=True)
    drop_unused(path.parent)


def tidy(folder: Path) -> None:
    """Removes what a killed training left half-written."""
    for part in folder.glob("*.part"):
        part.unlink(missing_ok=True)
    drop_unused(folder)


class Background:
    """One piece of work at a time, in a thread that the process waits for before it ends."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        self.wait()
        self._thread = threading.Thread(target=self._do, args=(work,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Raises, once, what the work raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error


def held_copy(value: object) -> Any:
    """The same nested dicts and lists, with tensors of their own in CPU memory."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        held = copy.copy(value)  # of its own class, with the attributes of a state dict
        for key, inner in value.items():
            held[key] = held_copy(inner)
        return held
    if isinstance(value, list):
        return [held_copy(inner) for inner in value]
    if type(value) is tuple:
        return tuple(held_copy(inner) for inner in value)
    return copy.deepcopy(value)
