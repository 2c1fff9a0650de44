"""Columns of text files: .txt, .tsv and .jsonl, gzipped or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.data.formats.cells import cells
from vit.data.formats.plain_text import parsed_json, read_text

Column = int | str  # of a .tsv its number from 0, or its name in the header; of a .jsonl a key


@dataclass(eq=False)
class Rows:
    """The rows of a .tsv or .jsonl file, of which each has a list, or else a dictionary."""

    file: Path
    rows: list[Any]
    numbers: list[int]  # of the rows' lines in the file, from 1
    names: list[str]  # of the columns: a header's, or all keys; none where columns have numbers

    @property
    def columns(self) -> list[Column]:
        """All that could be asked for."""
        return [*self.names] or [*range(max(map(len, self.rows), default=0))]

    def values(self, column: Column) -> list[Any]:
        """Of each row what it has there, None where it has nothing.

        Raises ValueError where no row has such a column.
        """
        if self.rows and isinstance(self.rows[0], dict):
            if column not in self.names:
                raise ValueError(
                    f"{self.file}, row {self.numbers[0]} has no {column!r}, only "
                    f"{', '.join(self.names)}. The keys are data.input_column and "
                    "data.target_column."
                )
            return [row.get(column) for row in self.rows]
        if isinstance(column, str):
            if column not in self.names:
                has = f"only {', '.join(self.names)}" if self.names else "no header"
                hint = "" if self.names else ": data.header=true"
                raise ValueError(f"{self.file} has no column {column!r}; it has {has}{hint}.")
            if self.names.count(column) > 1:
                raise ValueError(
                    f"{self.file} has more than one column {column!r}; name it by its number."
                )
            column = self.names.index(column)
        if column < 0:
            raise ValueError(f"{self.file}: column {column}; wanted a number from 0.")
        short = [at for at, row in enumerate(self.rows) if len(row) <= column]
        if short:
            first = self.rows[short[0]]
            hint = _separator(first[0]) if len(first) == 1 else ""
            raise ValueError(
                f"{self.file}, row {self.numbers[short[0]]}: {len(first)} columns; wanted number "
                f"{column}, counted from 0 ({len(short)} rows in all).{hint}"
            )
        return [row[column].strip() for row in self.rows]


def rows_of(file: Path, header: bool = False) -> Rows:
    """What a .tsv or .jsonl file holds, or one with .gz behind it.

    Raises ValueError naming the file, and the row where there is one.
    """
    kind = _kind(file)
    if kind not in (".tsv", ".jsonl"):
        raise ValueError(f"{file}: wanted .tsv or .jsonl (.txt to predict), maybe with .gz.")
    text = _read(file)
    return _of_tsv(text, file, header) if kind == ".tsv" else _of_jsonl(text, file)


def texts_of(file: Path, column: Column = 0, header: bool = False) -> list[str]:
    """Texts alone, without classes or other texts: what a trained run can be asked of.

    Each line of a .txt is one. A .tsv of one column is that column, others and .jsonl files have
    `column`; a .jsonl has the key "text" where the column is a number. Raises ValueError as
    `rows_of`, and for rows without text.
    """
    kind = _kind(file)
    if kind == ".txt":
        rows = _read(file).split("\n")
        texts = [row.strip() for row in (rows if rows[-1] else rows[:-1])]
    else:
        if kind == ".jsonl" and isinstance(column, int):
            column = "text"
        elif kind == ".tsv" and "\t" not in _read(file):
            column = 0
        table = rows_of(file, header)
        texts, wrong = cells(table.values(column), "text", f"column {column!r}", table.numbers)
        if wrong:
            raise ValueError(f"{file}, {wrong[0]}.")
    if not texts:
        raise ValueError(f"{file} holds no rows.")
    if "" in texts:
        raise ValueError(f"{file}: text {texts.index('') + 1} is empty.")
    return texts


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read(file: Path) -> str:
    if not file.is_file():
        raise ValueError(f"{file} is no file.")
    try:
        return read_text(file)
    except ValueError as fault:
        raise ValueError(f"{file} cannot be read as text: {fault}") from None


def _of_tsv(text: str, file: Path, header: bool) -> Rows:
    # By hand: texts hold quotation marks that quote nothing, and fields longer than csv takes.
    found = [
        (number, line.removesuffix("\r").split("\t"))
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip(" \r")
    ]
    rows, numbers = [row for _, row in found], [number for number, _ in found]
    usual = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    if header and rows:
        usual = max(usual, len(rows[0]))
    # A tab within a text would move all that is behind it into the next column.
    long = [at for at, row in enumerate(rows) if len(row) > usual and "".join(row[usual:]).strip()]
    if long:
        raise ValueError(
            f"{file}, row {numbers[long[0]]}: {len(rows[long[0]])} columns, where most have "
            f"{usual} ({len(long)} rows in all). Is there a tab within a text?"
        )
    if not header:
        return Rows(file, rows, numbers, [])
    names = [name.strip() for name in rows[0]] if rows else []
    return Rows(file, rows[1:], numbers[1:], names)


def _of_jsonl(text: str, file: Path) -> Rows:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = parsed_json(line, f"{file}, row {number}")
        except ValueError as fault:
            whole = " Wanted an object a line, not one list of all." * text.lstrip().startswith("[")
            raise ValueError(f"{fault}{whole}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{file}, row {number} is {type(row).__name__}; wanted an object.")
        rows.append(row)
        numbers.append(number)
    return Rows(file, rows, numbers, list(dict.fromkeys(key for row in rows for key in row)))


def _separator(cell: str) -> str:
    """What to say of a row that has one column and looks as if it had more."""
    for mark in (",", ";", "|"):
        if mark in cell:
            return f" Its columns seem to be parted by {mark!r}; wanted tabs."
    return " Wanted a tab between columns."
