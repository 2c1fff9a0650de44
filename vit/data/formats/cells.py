"""What a cell of a table says: one rule for .tsv, .csv, .jsonl, parquet and sets of the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vit.data.formats.plain_text import is_text

CONTAINERS: dict[Any, str] = {list: "a list", tuple: "a list", dict: "an object", bytes: "bytes"}
NAMED = 5  # rows of one sort that are spelt out


def as_text(value: Any) -> str:
    """A cell as people write it: nothing for a gap, and 3 for the 3.0 that gaps make of it.

    Numbers and truth values are texts as a .csv would have them.
    """
    if value is None or value != value:  # NaN is not itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def cells(
    values: Sequence[Any], what: str, column: object, numbers: Sequence[int] | None = None
) -> tuple[list[str], list[str]]:
    """Each value as text, and what is wrong: gaps, what is no text, what cannot be written down.

    `numbers` are their rows, counted from 1 where there are none; `what` says what is lacking.
    """
    rows = range(1, len(values) + 1) if numbers is None else numbers
    texts: list[str] = []
    gaps: list[int] = []
    rows_by_kind: dict[str, list[int]] = {}
    halves: list[tuple[int, str]] = []
    for row, value in zip(rows, values, strict=True):
        kind = CONTAINERS.get(type(value))
        text = "" if kind else as_text(value)
        texts.append(text)
        if kind:
            rows_by_kind.setdefault(kind, []).append(row)
        elif not text:
            gaps.append(row)
        elif not is_text(text):
            halves.append((row, text))
    wrong = []
    if gaps:
        wrong.append(
            f"row {gaps[0]}: {column} is empty; {len(gaps)} of {len(texts)} rows have no {what}"
            f"{_others(gaps)}. Fill them, or leave these rows out"
        )
    for kind, at in rows_by_kind.items():
        wrong.append(
            f"row {at[0]}: {column} is {kind}; {len(at)} of {len(texts)} rows have {kind} for a "
            f"{what}{_others(at)}. Wanted text or a number"
        )
    if halves:
        row, text = halves[0]
        more = f" ({len(halves)} rows in all)" if len(halves) > 1 else ""
        wrong.append(
            f"row {row}: {text[:40]!r} has half a character (a lone surrogate){more}; write the "
            "whole one, or none"
        )
    return texts, wrong


def _others(rows: list[int]) -> str:
    if len(rows) < 2:
        return ""
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return f" (rows {', '.join(map(str, rows[:NAMED]))}{more})"
