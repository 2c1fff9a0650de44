"""Columns of text files: .txt, .tsv and .jsonl, gzipped or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vit.data.plain_text import parsed_json, read_text, require_text

Column = int | str  # of a .tsv its number from 0, or its name in the header; of a .jsonl a key


def columns_of(file: Path, wanted: Sequence[Column], header: bool = False) -> list[list[str]]:
    """The wanted columns of a .tsv or .jsonl file, or of one with .gz behind it.

    Raises ValueError naming the file, and the row where there is one.
    """
    kind = _kind(file)
    if kind not in (".tsv", ".jsonl"):
        raise ValueError(f"{file}: wanted .tsv or .jsonl (.txt to predict), maybe with .gz.")
    text = _read(file)
    return _of_tsv(text, file, wanted, header) if kind == ".tsv" else _of_jsonl(text, file, wanted)


def texts_of(file: Path, column: Column = 0, header: bool = False) -> list[str]:
    """Texts alone, without classes or other texts: what a trained run can be asked of.

    Each line of a .txt is one. A .tsv of one column is that column, others and .jsonl files have
    `column`; a .jsonl has the key "text" where the column is a number. Raises ValueError as
    `columns_of`, and for a row without text.
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
        texts = columns_of(file, [column], header)[0]
    if not texts:
        raise ValueError(f"{file} holds no rows.")
    if "" in texts:
        raise ValueError(f"{file}: text {texts.index('') + 1} is empty.")
    require_text(texts, str(file))
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


def _of_tsv(text: str, file: Path, wanted: Sequence[Column], header: bool) -> list[list[str]]:
    # By hand: texts hold quotation marks that quote nothing, and fields longer than csv takes.
    rows = [line.removesuffix("\r").split("\t") for line in text.split("\n") if line.strip()]
    names = [name.strip() for name in rows[0]] if header and rows else []
    places = []
    for column in wanted:
        if isinstance(column, str) and column not in names:
            known = f"only {', '.join(names)}" if header else "no header: data.header=true"
            raise ValueError(f"{file} has no column {column!r}; it has {known}.")
        places.append(names.index(column) if isinstance(column, str) else column)
    for number, row in enumerate(rows, start=1):
        if len(row) <= max(places):
            asked = " and ".join(map(str, places))
            raise ValueError(
                f"{file}, row {number}: {len(row)} columns; wanted number {asked}, counted from 0."
            )
    body = rows[1:] if header else rows
    return [[row[place].strip() for row in body] for place in places]


def _of_jsonl(text: str, file: Path, wanted: Sequence[Column]) -> list[list[str]]:
    columns: list[list[str]] = [[] for _ in wanted]
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = parsed_json(line, f"{file}, row {number}")
        for column, key in zip(columns, wanted, strict=True):
            if not isinstance(row, dict) or key not in row:
                keys = ", ".join(row) if isinstance(row, dict) else type(row).__name__
                raise ValueError(
                    f"{file}, row {number} has no {key!r}, only {keys}. The keys are "
                    "data.input_column and data.target_column."
                )
            column.append(str(row[key]).strip())
    return columns
