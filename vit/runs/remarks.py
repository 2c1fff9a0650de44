"""What a person says of a run, its `note` and its `tags`: kept in its folder, part of no number.

Another note on a later call of the same command replaces the one before; a call that says nothing
(null) leaves it. An empty note, or an empty list of tags, takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vit.faults import Fault
from vit.runs.identity import REMARKS
from vit.terminal import printable

MOST_OF_NOTE = 1_000  # characters
MOST_OF_TAG = 64  # characters, as many as W&B takes
MOST_TAGS = 20
SHOWN = 40  # characters of what is refused
LINES = "\n\r\t"


def remark_faults(config: Mapping[str, Any]) -> list[Fault]:
    """What is too long, or would not be shown as it is; of other types the schema tells."""
    faults = []
    note, tags = config.get("note"), config.get("tags")
    if isinstance(note, str) and (problem := _problem(note, MOST_OF_NOTE)):
        faults.append(Fault("note", f"{problem}. Wanted one line of plain text"))
    listed = tags if isinstance(tags, list) else []
    if len(listed) > MOST_TAGS:
        faults.append(Fault("tags", f"are {len(listed):,}; wanted at most {MOST_TAGS}"))
    for tag in listed:
        if not isinstance(tag, str):
            continue
        problem = _problem(tag, MOST_OF_TAG) if tag.strip() else "is blank"
        if problem:
            where = f"{_short(tag)} {problem}"
            faults.append(Fault("tags", f"{where}. Wanted words such as tags=[baseline,paper]"))
    return faults


def note_of(config: Mapping[str, Any]) -> str | None:
    """The note in a config, which may be a stranger's: never longer than a note may be."""
    note = config.get("note")
    return note[:MOST_OF_NOTE] if isinstance(note, str) and note.strip() else None


def tags_of(config: Mapping[str, Any]) -> list[str]:
    """The tags in a config, each once."""
    tags = config.get("tags")
    listed = tags if isinstance(tags, list | tuple) else ()
    words = [tag[:MOST_OF_TAG] for tag in listed if isinstance(tag, str)]
    return list(dict.fromkeys(word for word in words if word.strip()))[:MOST_TAGS]


def said(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of the remarks those that a command makes."""
    return {key: config[key] for key in REMARKS if config.get(key) is not None}


def _problem(text: str, most: int) -> str | None:
    if len(text) > most:
        return f"has {len(text):,} characters; wanted at most {most:,}"
    if printable(text) != text or any(letter in text for letter in LINES):
        return "holds a line break or a control character"
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")
