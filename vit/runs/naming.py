"""What a run, a sweep and their folders may be called."""

from __future__ import annotations

import stat
import unicodedata
from pathlib import Path

from vit.faults import Fault

MOST_BYTES = 200  # of a name: file systems take 255, and files beside it are named after it
MOST_OF_PART, MOST_OF_PATH, MOST_PARTS = 255, 3_000, 100
UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control, half of a letter, ends of lines and paragraphs
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # what follows reads backwards
SHOWN = 60  # letters of what is refused


def name_faults(where: str, name: str) -> list[Fault]:
    """A name is a folder's, or several below one another; it never leads out of its home."""
    parts = name.split("/")
    if problem := _unwritable(name):
        message = problem
    elif not name.strip():
        message = "is blank"
    elif any(part.strip() in ("", ".", "..") for part in parts):
        message = "is a path that leads elsewhere; hydra.run.dir (hydra.sweep.dir) chooses a folder"
    elif len(name.encode()) > MOST_BYTES:
        message = f"has {len(name)} letters; wanted at most {MOST_BYTES}"
    else:
        return []
    return [Fault(where, f"{_shown(name)} {message}. Wanted a plain name, such as deep-vit")]


def folder_faults(where: str, folder: Path) -> list[Fault]:
    """Whether there is, or could be made, such a folder; nothing is made."""
    problem = _unwritable(str(folder)) or _too_long(folder) or _no_folder(folder)
    return (
        [Fault(where, f"{_shown(str(folder))} {problem}; choose another folder")] if problem else []
    )


def _unwritable(text: str) -> str | None:
    """Control characters reach terminals, pages and other programs' lists of files."""
    if any(unicodedata.category(letter) in UNSEEN or letter in TURNS for letter in text):
        return "holds a control character, or bytes that are no UTF-8"
    return None


def _too_long(folder: Path) -> str | None:
    whole = str(folder.absolute())
    longest = max((len(part.encode()) for part in folder.parts), default=0)
    if longest > MOST_OF_PART:
        return f"has a part of {longest} bytes; wanted at most {MOST_OF_PART}"
    if len(folder.parts) > MOST_PARTS or len(whole.encode()) > MOST_OF_PATH:
        return f"has {len(folder.parts)} parts and {len(whole)} letters; wanted a shorter path"
    return None


def _no_folder(folder: Path) -> str | None:
    """What stands in the way, at the nearest place where there is anything."""
    for place in (folder, *folder.absolute().parents):
        try:
            status = place.stat()
        except (FileNotFoundError, NotADirectoryError):
            if place.is_symlink():
                return f"cannot be made: {place} is a link to nothing"
            continue
        except OSError as error:  # a link to itself, a place that may not be looked at
            return f"cannot be used: {error.strerror}"
        return None if stat.S_ISDIR(status.st_mode) else f"cannot be made: {place} is no folder"
    return None


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    return ascii(short) if _unwritable(text) else repr(short)
