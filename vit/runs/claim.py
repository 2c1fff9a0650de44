"""Who works on a folder: one owner at a time, on any file system that several machines share.

Each owner has a numbered file, and the highest number owns. A file is created whole or not at all
(`link` fails where the name is taken), so of several that try for one number exactly one gets it;
numbers never go down, so nobody can take over from somebody else than they judged. The owner
touches its file; once that is longer ago than the lease, by the clock of the file system itself,
or its process on this very machine is gone, the next number may be taken.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.runs.files import read_json
from vit.runs.links import is_inside, refuse_links
from vit.runs.shapes import CLAIM
from vit.runs.writing import write_json

LEASE_SECONDS = 60.0
NUMBERED = re.compile(r"\d{6,12}\.json")
BEAT_SECONDS = 5.0  # how often an owner should call `beat`
SECOND_LOOK_SECONDS = 6.0  # before a claim is taken over for its age alone


@dataclass(frozen=True)
class Claim:
    """One owner's hold on a folder."""

    file: Path

    def beat(self) -> bool:
        """Tells that the owner lives; False where somebody has taken over meanwhile."""
        if _highest(self.file.parent) != self.file:
            return False
        os.utime(self.file)
        return True

    def release(self) -> None:
        """Lets the next one in at once; on a full disk, once this process has ended."""
        with suppress(OSError):
            write_json(self.file, {**(read_json(self.file) or {}), "released": True})


def claim(folder: Path, lease: float = LEASE_SECONDS) -> Claim | None:
    """The folder's claim, or None where a living owner holds it.

    Raises Refused where the claims lie elsewhere, behind a link.
    """
    claims = folder / ".claims"
    claims.mkdir(parents=True, exist_ok=True)
    refuse_links(claims, folder)
    before = _highest(claims)
    left = True if before is None else _is_left(before)
    if before is not None and left is not True:
        if left is False or not _is_overdue(before, lease):
            return None
        # This machine may have slept with its owner, who has not had the time to touch it.
        time.sleep(SECOND_LOOK_SECONDS)
        if not _is_overdue(before, lease):
            return None
    number = int(before.stem) + 1 if before is not None else 1
    own = claims / f"{number:06}.json"
    staged = claims / f".{secrets.token_hex(8)}"
    write_json(staged, _myself())
    try:
        os.link(staged, own)
    except FileExistsError:
        return None
    finally:
        staged.unlink()
    return Claim(own)


def owner(folder: Path, lease: float = LEASE_SECONDS) -> dict[str, Any] | None:
    """`host` and `pid` of whoever holds the folder now, or None."""
    held = _highest(folder / ".claims")
    if held is None or not is_inside(held, folder) or _is_free(held, lease):
        return None
    return read_json(held, CLAIM)


def _highest(claims: Path) -> Path | None:
    try:
        names = [entry.name for entry in os.scandir(claims)]
    except OSError:
        return None
    names = [name for name in names if NUMBERED.fullmatch(name)]
    return claims / max(names) if names else None


def _is_free(file: Path, lease: float) -> bool:
    """Released, abandoned by a process of this machine that is gone, or silent for too long."""
    left = _is_left(file)
    return _is_overdue(file, lease) if left is None else left


def _is_left(file: Path) -> bool | None:
    """Whether nobody has it any more; None where only the lease can tell."""
    claimed = read_json(file, CLAIM) or {}  # what a power cut left unreadable is judged by its age
    if claimed.get("released"):
        return True
    boot = _boot()
    same_machine = (
        boot and claimed.get("boot") == boot and claimed.get("host") == socket.gethostname()
    )
    if same_machine and "pid" in claimed:
        return _started(claimed["pid"]) != claimed.get("process_started")
    return None


def _is_overdue(file: Path, lease: float) -> bool:
    """Whether it was touched longer ago than the lease, by the clock of the file system."""
    try:
        return _now(file.parent) - file.lstat().st_mtime > lease
    except FileNotFoundError:
        return False  # its owner is releasing it, or the folder goes


def _now(claims: Path) -> float:
    """By the clock of the file system, or of this machine where it may only be read."""
    clock = claims / f".clock-{secrets.token_hex(8)}"
    try:
        clock.touch()
    except OSError:
        return time.time()
    try:
        return clock.stat().st_mtime
    finally:
        clock.unlink(missing_ok=True)


def _myself() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": os.getpid(),
        "process_started": _started(os.getpid()),
    }


def _boot() -> str | None:
    """Tells two containers or machines of one name apart, and a machine from itself restarted.

    None where the system does not tell; then only the lease counts.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
