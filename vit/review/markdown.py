"""Anybody's words within Markdown as GitHub shows it: they stay words, whatever they hold."""

from __future__ import annotations

import html
import re

from vit.terminal import printable

# What CommonMark and GitHub's additions to it give a meaning, where it has one: `_` within a word
# has none.
MEANT = re.compile(
    r"[\\`*\[\]{}|~$#!^@]|(?<![a-z0-9])_|_(?![a-z0-9])|(?<=[a-z]):(?=//)|(?<=www)\.", re.IGNORECASE
)
LONGEST = 200  # letters


def one_line(words: object, most: int = LONGEST) -> str:
    """Without line breaks and what would steer a terminal; cut where it is long."""
    line = " ".join(printable(str(words)).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def text(words: object, most: int = LONGEST) -> str:
    """For a paragraph, a list or a cell of a table."""
    return html.escape(MEANT.sub(r"\\\g<0>", one_line(words, most)), quote=False)


def code(words: str) -> str:
    """A block of code, whose fence is longer than any that it holds."""
    words = printable(words).strip("\n")
    longest = max((len(run) for run in re.findall("`+", words)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{words}\n{fence}"
