"""What is wrong with a request, said before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from unicodedata import normalize


@dataclass(frozen=True)
class Fault:
    """One thing to mend: where it is, what came, what was wanted, what to change."""

    where: str  # a config key such as `backbone.depth`, a file, or a command-line word
    message: str

    def __str__(self) -> str:
        named = not self.where or self.message.startswith(self.where)
        return self.message if named else f"{self.where}: {self.message}"


class Refused(Exception):
    """The work was refused before it started; carries every fault that was found.

    `rest` is the config without its misspelt words, where it could be checked for further faults.
    `hint` says behind the faults what could be done about all of them.
    """

    def __init__(self, faults: Sequence[Fault], rest: dict[str, Any] | None = None, hint: str = ""):
        self.faults = list(faults)
        self.rest = rest
        self.hint = hint
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Misfit(ValueError):
    """Raised by a task that is for other data; the check then names a task that is for these."""


NAMED = 5  # of one sort that are spelt out


def shorten(named: Sequence[str]) -> str:
    """The first of them, and how many more."""
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more


def did_you_mean(word: str, known: Iterable[str], alike: float = 0.6) -> str:
    """` Did you mean 'depth'?`, or an empty string where nothing is near."""
    known = list(known)
    form = normalize("NFC", word)
    if other := next((one for one in known if one != word and normalize("NFC", one) == form), None):
        return (
            f" {other!r} differs from it by its Unicode form alone, as é written as one character "
            "or as e with an accent; write both alike."
        )
    near = get_close_matches(word, known, n=1, cutoff=alike)
    return f" Did you mean {near[0]!r}?" if near else ""
