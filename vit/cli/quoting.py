"""Text as a word of Hydra's grammar."""

from __future__ import annotations

import re

# What Hydra's grammar takes in an unquoted value; a blank, a comma or a bracket would mean more.
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+%@?|")


def quoted(text: str) -> str:
    """As Hydra's grammar reads it back: text that would be another type there stays text."""
    if text and set(text) <= PLAIN and not _reads_as_another_type(text):
        return text
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """The same, whatever it holds."""
    # A backslash counts as one only before a quote, so only those are doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + "\\'" * bool(found[2]), text)
    return f"'{escaped}'"


def _reads_as_another_type(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("null", "true", "false")
    return True
