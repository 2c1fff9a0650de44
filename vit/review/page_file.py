"""The page's file: written whole or not at all, and never over another's without a word."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vit.faults import Fault, Refused
from vit.review.online import is_project
from vit.runs.files import reading
from vit.runs.writing import write_text

MARK = re.compile(r'<meta name="vit-report" content="([0-9a-f]{16})">')
TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
HEAD = 8192  # bytes in which both stand
LARGEST_PAGE = 1 << 32
STEPS = 1000  # pixels of height that make one of width


def identity(sources: Iterable[Path | str]) -> str:
    """The same for the same sources, in whatever order and however they are written."""
    names = {
        str(source) if is_project(str(source)) else str(Path(source).resolve())
        for source in sources
    }
    return hashlib.sha256("\0".join(sorted(names)).encode(errors="replace")).hexdigest()[:16]


def refuse_others(out: Path, sources: Iterable[Path | str]) -> None:
    """Raises Refused where a file is there that is no report, or one of other sources."""
    try:
        with reading(out.resolve(), most=LARGEST_PAGE) as opened:
            head = opened.read(HEAD).decode(errors="replace")
    except (FileNotFoundError, RuntimeError):  # none, or a link that leads to itself
        return
    mark, title = MARK.search(head), TITLE.search(head)
    if mark and mark[1] == identity(sources):
        return
    of = f"the report of {html.unescape(title[1])[:200]}" if mark and title else "another file"
    message = f"is {of}; wanted a name that is free. --out FILE names one, --force replaces it"
    raise Refused([Fault(str(out), message)])


def write_page(out: Path, text: str) -> None:
    """Raises Refused where it cannot be written; then what was there stays."""
    try:
        write_text(out.resolve(), text)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Refused([Fault(str(out), f"cannot be written: {why}")]) from error


def number_file(out: Path) -> Path:
    """Beside a page that is being kept fresh: tells it, by its size, which one is the latest.

    A picture, since a page from a disk may load no text from beside it, and a picture runs nothing.
    """
    target = out.resolve()
    return target.with_name(f".{target.stem}.latest.svg")


def tell_number(out: Path, number: int) -> None:
    """To whoever has the page open."""
    width, height = divmod(number, STEPS)
    size = f'width="{width + 1}" height="{height + 1}"'
    with suppress(OSError):  # the page itself is written: it may be opened anew by hand
        write_text(number_file(out), f'<svg xmlns="http://www.w3.org/2000/svg" {size}/>')


def end_following(out: Path) -> None:
    """The page that is there is the last."""
    with suppress(OSError, RuntimeError):
        number_file(out).unlink(missing_ok=True)
