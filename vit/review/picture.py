"""One picture that a run has left, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A file of a run, what it shows in words, and of which sample."""

    file: str
    words: str
    sample: str
