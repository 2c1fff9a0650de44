"""One trial, from the claim on its folder to the verdict, whatever happens on the way.

Runs beside the training, never inside of it: in the driver for trials on this machine, in the job
for trials that a cluster runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from vit.faults import Refused
from vit.runs.claim import BEAT_SECONDS, Claim, claim
from vit.runs.directory import RunFolder
from vit.runs.disk_full import is_full
from vit.runs.files import read_json, tail_of
from vit.runs.launch import Launched, launch
from vit.runs.links import refuse_links
from vit.runs.silence import Silence
from vit.runs.state import Order, StateDetails
from vit.runs.writing import write_json, write_text

TAIL_LINES, TAIL_BYTES = 15, 20_000
POLL_SECONDS = 0.05
# Nothing is gained by doing these again: the same numbers come out, or the same refusal.
HOPELESS = ("diverged", "refused")
Verdict = Literal["done", "pruned", "paused", "stopped", "failed", "held"]


@dataclass(frozen=True)
class TrialOptions:
    """What whoever runs a trial must know, as plain values that travel to other machines."""

    retries: int = 1  # attempts after the first that failed
    hang_seconds: float = 1800.0
    halve_batch: bool = False
    grace_seconds: float = 60.0  # between the word to stop and the kill
    allow_targets: tuple[str, ...] = ()  # packages that the sweep's command trusts


def run_trial(
    path: Path,
    orders: TrialOptions,
    environment: Mapping[str, str] | None = None,
    must_kill: Callable[[], bool] = lambda: False,
    must_leave: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Trains a planned folder to its end; `held` where somebody else is at it.

    `environment` is added to that of the training, such as the GPUs it may see. Once `must_leave`
    says so, the training saves and ends, its folder says "preempted", and the verdict is
    "stopped": unlike an order it leaves nothing in the folder that would stop the next start.
    Raises Refused where something in the folder leads out of it.
    """
    folder = RunFolder(path)
    refuse_links(path)
    held = _claim_soon(path, orders.grace_seconds)
    if held is None:
        return "held"
    try:
        for attempt in range(orders.retries + 1):
            if folder.is_done():
                return "done"  # whoever had the claim before finished it
            if (asked := take_order(folder)) is not None:
                return asked
            if must_leave():
                folder.set_state("preempted", **folder.spent())
                return "stopped"
            verdict = _attempt(folder, orders, held, dict(environment or {}), must_kill, must_leave)
            kind = folder.state().kind
            if verdict != "failed" or kind in HOPELESS:
                break
            if kind == "out_of_memory" and attempt < orders.retries and orders.halve_batch:
                halve_batch(folder)
        return verdict
    finally:
        held.release()


def _claim_soon(path: Path, grace: float) -> Claim | None:
    """Whoever was stopped a moment ago may still hold it."""
    until = time.monotonic() + grace
    while (held := claim(path)) is None and time.monotonic() < until:
        time.sleep(10 * POLL_SECONDS)
    return held


def take_order(folder: RunFolder) -> Order | None:
    """Carries out an order that came before, or between, the attempts."""
    ordered = folder.ordered()
    if ordered is not None:
        folder.set_state(ordered, **folder.spent())
    return ordered


def forget_order(folder: RunFolder) -> None:
    """Before a new start: whoever was stopped or paused goes on now; only pruned is for good."""
    if folder.ordered() in ("stopped", "paused"):
        (folder.path / "order.json").unlink(missing_ok=True)


def _attempt(
    folder: RunFolder,
    orders: TrialOptions,
    held: Claim,
    environment: dict[str, str],
    must_kill: Callable[[], bool],
    must_leave: Callable[[], bool],
) -> Verdict:
    if not _wait_for_predecessor(folder, orders.grace_seconds, held):
        return "held"
    if folder.is_done():
        return "done"  # it was about to
    oom_kills = _oom_kills()
    started = time.time()
    folder.set_state("running", **folder.spent())
    launched = launch(folder, folder.config(), environment, tuple(orders.allow_targets))
    try:
        note_attempt(folder, started=started, host=os.uname().nodename, pid=launched.pid)
        reason = _watch(launched, folder, orders, held, must_kill, must_leave)
    except BaseException:
        launched.kill()  # nobody would watch over it any more
        raise
    code = launched.exit_code
    verdict = _verdict(folder, code, reason, _oom_kills() > oom_kills)
    state = folder.state()
    note_attempt(
        folder,
        started=started,
        ended=time.time(),
        exit_code=code,
        state=verdict,
        kind=state.kind,
        error=state.error,
    )
    return verdict


def _wait_for_predecessor(folder: RunFolder, grace: float, held: Claim) -> bool:
    """A training whose driver was killed is still saving its checkpoint, for a moment."""
    until = time.monotonic() + grace
    while time.monotonic() < until:
        try:
            with folder.locked():
                return True
        except Refused:
            time.sleep(POLL_SECONDS)
            held.beat()
    return False


def _watch(
    launched: Launched,
    folder: RunFolder,
    orders: TrialOptions,
    held: Claim,
    must_kill: Callable[[], bool],
    must_leave: Callable[[], bool],
) -> str | None:
    """Waits for the end; returns why it was brought about from outside, if it was."""
    reason = None
    kill_at = float("inf")
    last_beat = time.monotonic()
    silence = Silence(folder.heartbeat_file)
    while launched.exit_code is None:
        launched.wait(POLL_SECONDS)
        silence.tick()
        now = time.monotonic()
        if now - last_beat > BEAT_SECONDS:
            last_beat = now
            if not held.beat():
                reason, kill_at = "superseded", now  # somebody took us for dead and goes on
            elif reason is None and silence.seconds() > orders.hang_seconds:
                reason, kill_at = "hung", now + orders.grace_seconds
                launched.stop()
        if reason is None and (ordered := folder.ordered()):
            reason, kill_at = ordered, now + orders.grace_seconds
            launched.stop()
        if reason is None and must_leave():
            reason, kill_at = "preempted", now + orders.grace_seconds
            launched.stop()
        if now >= kill_at or must_kill():
            reason = reason or "stopped"
            launched.kill()
            kill_at = float("inf")
    # A cluster's signal may reach the training itself, which ends before we look again.
    return "preempted" if reason is None and must_leave() else reason


def _verdict(folder: RunFolder, code: int | None, reason: str | None, oom_kill: bool) -> Verdict:
    """What became of the attempt; writes the state where the training could not."""
    if folder.is_done():
        return "done"
    state = folder.state()
    spent: StateDetails = {**folder.spent(), "exit_code": code}
    if reason in ("pruned", "paused", "stopped"):
        if state.name != reason:
            folder.set_state(reason, **spent)  # type: ignore[arg-type]
        return reason  # type: ignore[return-value]
    if reason == "preempted":
        folder.set_state("preempted", **spent)
        return "stopped"
    if reason == "superseded":
        return "held"
    kind, error = state.kind, state.error
    if reason == "hung":
        kind, error = "hung", "no batch was finished for too long (sweep.hang_minutes)"
    elif state.name != "failed":
        kind, error = _death(code, oom_kill)
        if is_full(folder.path):
            kind, error = "disk_full", f"the disk is full, and {error}"
    elif kind is None:
        kind = "exception"
    why: StateDetails = {"kind": kind, "error": error, "log_tail": log_tail(folder)}
    why.update(spent)
    folder.set_state("failed", **why)
    return "failed"


def _death(code: int | None, oom_kill: bool) -> tuple[str, str]:
    """A process that died without a word."""
    if code == 137 and oom_kill:
        return "out_of_memory", "the system killed the process: out of memory"
    if code == 137:
        return "killed", "the process was killed (SIGKILL)"
    if code == 143:
        return "terminated", "somebody else sent SIGTERM; the run can go on"
    if code == 2:
        return "refused", "the run was refused; console.txt tells why"
    return "exited", f"the process ended with {code} and no word"


def note_attempt(folder: RunFolder, *, started: float, **facts: object) -> None:
    """Adds to the attempt that began at `started`, in trial.json."""
    file = folder.path / "trial.json"
    trial = read_json(file) or {}  # whatever else is wrong with it stays
    rows = trial.get("attempts")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    attempts = [row for row in rows if row.get("started") != started]
    before: dict[str, object] = next((row for row in rows if row.get("started") == started), {})
    trial["attempts"] = [*attempts, {**before, "started": started, **facts}]
    write_json(file, trial)


def halve_batch(folder: RunFolder) -> None:
    """Twice the accumulation: half as many images at a time, the same batch for the optimizer."""
    config = folder.written_config()
    trainer = config["trainer"]
    trainer["accumulate_grad_batches"] = 2 * trainer.get("accumulate_grad_batches", 1)
    write_text(folder.config_file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    file = folder.path / "trial.json"
    key = "trainer.accumulate_grad_batches"
    adapted = {key: trainer["accumulate_grad_batches"]}
    folder.last_checkpoint.unlink(missing_ok=True)  # its place in the epoch counts other batches
    write_json(file, {**(read_json(file) or {}), "adapted": adapted})


def log_tail(folder: RunFolder) -> list[str]:
    """The last lines of the log, or of what the process said where it did not come to log."""
    for file in (folder.log_file, folder.console_file):
        if lines := tail_of(file, TAIL_BYTES):
            return lines[-TAIL_LINES:]
    return []


def _oom_kills() -> int:
    """How often the kernel has killed for memory in this machine's or container's group."""
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii").split()
        return int(lines[lines.index("oom_kill") + 1])
    except (OSError, ValueError, IndexError):
        return 0
