"""state.json: how far a run has come, which process trains it, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

State = Literal["planned", "running", "done", "failed", "stopped", "preempted", "pruned", "paused"]
Order = Literal["pruned", "paused", "stopped"]


class TrainedTime(TypedDict, total=False):
    """Seconds of training over all starts of a run, on the wall's clock and the CPU's."""

    train_seconds: float
    cpu_seconds: float


class StateDetails(TrainedTime, total=False):
    """What may stand in state.json beside the state itself, in the file's own form."""

    exit_code: int | None
    error: str | None
    kind: str | None
    log_tail: list[str]
    last_checkpoint: str | None


@dataclass(frozen=True)
class Owner:
    """The process that wrote the state."""

    host: str | None = None
    pid: int | None = None


@dataclass(frozen=True)
class RunState:
    """What state.json says; `name` is None where there is no file that can be read.

    Times are seconds since 1970. `kind` and `error` say why a run failed, `last_checkpoint` what
    the checkpoint held that it ended with (`content_of` of vit/runs/directory.py), `cleaned` that
    `vit clean` took from its checkpoints what a training goes on from.
    """

    name: State | None = None
    started: float | None = None
    updated: float | None = None
    owner: Owner = Owner()
    train_seconds: float | None = None
    cpu_seconds: float | None = None
    exit_code: int | None = None
    kind: str | None = None
    error: str | None = None
    log_tail: tuple[str, ...] = ()
    last_checkpoint: str | None = None
    cleaned: bool = False

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> RunState:
        """From what the file holds, its types checked by `STATE`; keys of a newer vit are left."""
        owner = plain.get("owner") or {}
        last = plain.get("last_checkpoint")
        return cls(
            name=plain.get("state"),
            started=plain.get("started"),
            updated=plain.get("updated"),
            owner=Owner(owner.get("host"), owner.get("pid")),
            train_seconds=plain.get("train_seconds"),
            cpu_seconds=plain.get("cpu_seconds"),
            exit_code=plain.get("exit_code"),
            kind=plain.get("kind"),
            error=plain.get("error"),
            log_tail=tuple(plain.get("log_tail", ())),
            last_checkpoint=None if last is None else str(last),
            cleaned=plain.get("cleaned") is True,
        )

    @property
    def trained_time(self) -> TrainedTime:
        """For the state that follows: without what is not known, or nothing yet."""
        known: TrainedTime = {}
        if self.train_seconds:
            known["train_seconds"] = self.train_seconds
        if self.cpu_seconds:
            known["cpu_seconds"] = self.cpu_seconds
        return known
