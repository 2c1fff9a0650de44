"""Columns of texts that look as if others were meant: classes first, ids, headers, quotes."""

from __future__ import annotations

from collections import Counter

from vit.data.formats.cells import as_text
from vit.data.formats.text_files import Column, Rows

LOOKED_AT = 1000  # rows
FEWEST = 10  # rows from which something can be inferred
# What people call columns, which no text and no class is.
TEXTS = {"text", "texts", "sentence", "review", "comment", "message", "content", "title", "input"}
CLASSES = {"label", "labels", "class", "category", "target", "tag", "topic", "sentiment", "intent"}
HEADINGS = TEXTS | CLASSES | {"id", "source", "src", "body", "output", "classes", "sentences"}


def better_columns(rows: Rows, target: Column) -> str:
    """What could be done where the target column holds texts or ids instead of classes."""
    some = {column: _some(rows, column) for column in rows.columns}
    classes = [
        column
        for column, cells in some.items()
        if column != target and all(cells) and 2 <= len(set(cells)) <= len(cells) / 4
    ]
    if not classes:
        return "To write a text for each text, data.target=text."
    others = [column for column in some if column != classes[0]]
    text = max(others, key=lambda column: sum(map(len, some[column])))
    return f"Are these the columns? data.input_column={text} data.target_column={classes[0]}"


def without_header(rows: Rows, labels: list[str]) -> list[str]:
    """A fault where the first row names the columns, and is read as a sample."""
    if isinstance(rows.rows[0], dict) or len(labels) < 2 or labels[0] in labels[1:]:
        return []
    heading = [cell.strip().lower() for cell in rows.rows[0]]
    if labels[0].lower() not in HEADINGS and not HEADINGS & set(heading) - {labels[0].lower()}:
        return []
    if not all(cell in HEADINGS or len(cell.split()) == 1 for cell in heading if cell):
        return []
    return [
        f"{rows.file}: the first row ({', '.join(rows.rows[0])}) looks like the names of the "
        "columns: data.header=true."
    ]


def looks_odd(rows: Rows, text: Column, target: Column) -> list[str]:
    """Warnings of texts that are ids while another column holds texts, and of quotation marks."""
    cells = _some(rows, text)
    if len(cells) < FEWEST:
        return []
    lines = []
    quoted = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
    if quoted > len(cells) / 2:
        lines.append(
            f"{rows.file}: {quoted} of {len(cells)} texts stand in quotation marks, which are a "
            "part of them"
        )
    others = [column for column in rows.columns if column not in (text, target)]
    for column in others:
        other = _some(rows, column)
        if all(len(cell.split()) < 2 for cell in cells) and _words(other) > 2 * _words(cells):
            lines.append(
                f"{rows.file}: each text is a single word, such as {cells[0]!r}, while column "
                f"{column!r} has sentences: data.input_column={column}?"
            )
            break
    return lines


def _some(rows: Rows, column: Column) -> list[str]:
    part = Rows(rows.file, rows.rows[:LOOKED_AT], rows.numbers[:LOOKED_AT], rows.names)
    if isinstance(column, int):  # rows may be short where nobody asks for the column
        return [as_text(row[column]) if len(row) > column else "" for row in part.rows]
    return [as_text(value) for value in part.values(column)]


def _words(cells: list[str]) -> float:
    counts = Counter(len(cell.split()) for cell in cells)
    return sum(words * count for words, count in counts.items()) / max(len(cells), 1)
