"""Texts from files: TSV or JSON lines, gzipped or not."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vit.data.core.class_names import same_numbers, sorted_names
from vit.data.core.file_names import expanded
from vit.data.core.groups import shared_groups
from vit.data.core.sources import Contents
from vit.data.formats.cells import cells
from vit.data.formats.column_checks import better_columns, looks_odd, without_header
from vit.data.formats.text_files import Column, Rows, rows_of
from vit.data.kinds.label_checks import alike, each_its_own, like_gaps
from vit.data.kinds.text import TextData, TextSource


@dataclass(kw_only=True, eq=False)
class TextTable(TextData):
    """A row per sample: its text, and its class or the other text.

    Args:
        train, val, test: files, .tsv or .jsonl, .gz behind it or not; without val or test a part
            of train is set aside (val_fraction, test_fraction).
        target: what the second column holds: "class" for classification, "text" for writing.
        input_column, target_column: of a .tsv the number of the column, from 0; of a .jsonl a key.
        group_column: likewise of what belongs together, such as an author: no group is in two
            splits; null for none.
        header: whether the first row of a .tsv names its columns, which then serve as numbers do.
    """

    train: str
    val: str | None = None
    test: str | None = None
    target: Literal["class", "text"] = "class"
    input_column: int | str = 0
    target_column: int | str = 1
    group_column: int | str | None = None
    header: bool = False

    def read(self) -> Contents[TextSource]:
        if self.input_column == self.target_column:
            raise ValueError(
                f"data.input_column={self.input_column} is data.target_column too; wanted two."
            )
        files = {"train": self.train, "val": self.val, "test": self.test}
        _require_several(files)
        tables = {split: self._rows(name, split) for split, name in files.items() if name}
        read, wrong = {}, []
        for split, rows in tables.items():
            what = "text" if self.target == "text" else "class"
            texts, bad = _column(rows, "text", self.input_column)
            others, bad_others = _column(rows, what, self.target_column)
            read[split] = texts, others
            wrong += bad + bad_others
        groups: dict[str, np.ndarray] = {}
        for split, rows in tables.items() if self.group_column is not None else ():
            assert self.group_column is not None
            each, bad = _column(rows, "group", self.group_column)
            groups[split] = np.array(each)
            wrong += bad
        if not wrong and self.target == "class":
            wrong = self._class_faults(tables["train"], read["train"][1])
        if wrong:
            raise ValueError("\n".join(wrong))
        origin = {split: str(files[split]) for split in read}
        warnings = looks_odd(tables["train"], self.input_column, self.target_column)
        row = 2 if self.header else 1
        if self.target == "text":
            sources = {
                name: TextSource(texts, np.zeros(len(texts), dtype=np.int64), others, row)
                for name, (texts, others) in read.items()
            }
            return Contents(
                sources,
                groups=groups,
                origin=origin,
                warnings=warnings,
                faults=shared_groups(groups, self.group_column),
            )
        names = sorted_names(label for _, labels in read.values() for label in labels)
        faults = same_numbers(names, self.train) + shared_groups(groups, self.group_column)
        warnings += [*alike(names), *like_gaps(names)]
        if self.header and (twice := set(tables["train"].names) & set(names)):
            warnings.append(
                f"{self.train}: its first row, which is taken for the names of columns, has the "
                f"class {sorted(twice)[0]!r}; without such a row: data.header=false"
            )
        sources = {}
        number = {name: position for position, name in enumerate(names)}
        for split, (texts, labels) in read.items():
            numbers = np.array([number[label] for label in labels], dtype=np.int64)
            sources[split] = TextSource(texts, numbers, None, row)
        return Contents(
            sources,
            class_names=names,
            groups=groups,
            origin=origin,
            warnings=warnings,
            faults=faults,
        )

    def _rows(self, name: str, key: str) -> Rows:
        file = expanded(name)
        if not file.is_file():
            raise ValueError(
                f"data.{key}={name} is no file; wanted .tsv or .jsonl, maybe with .gz."
            )
        rows = rows_of(file, self.header)
        if not rows.rows:
            raise ValueError(f"{file} holds no rows.")
        return rows

    def _class_faults(self, rows: Rows, labels: list[str]) -> list[str]:
        """Where the classes are no classes, and which columns may be meant."""
        own = each_its_own(labels)
        if own is None:
            return [] if self.header else without_header(rows, labels)
        return [
            f"{rows.file}: {own} in column {self.target_column!r}. "
            f"{better_columns(rows, self.target_column)}"
        ]


def _column(rows: Rows, what: str, column: Column) -> tuple[list[str], list[str]]:
    texts, wrong = cells(rows.values(column), what, f"column {column!r}", rows.numbers)
    if rows.names and wrong and isinstance(rows.rows[0], dict):
        lacking = [at for at, row in enumerate(rows.rows) if column not in row]
        if lacking:
            keys = ", ".join(rows.rows[lacking[0]])
            wrong[0] += f"; row {rows.numbers[lacking[0]]} has no {column!r}, only {keys}"
    return texts, [f"{rows.file}, {line}." for line in wrong]


def _require_several(files: dict[str, str | None]) -> None:
    """Raises ValueError where two splits are one file, however its path is spelt."""
    seen: dict[Path, str] = {}
    for split, name in files.items():
        if name is not None:
            other = seen.setdefault(Path(os.path.realpath(expanded(name))), split)
            if other != split:
                raise ValueError(
                    f"data.{split}={name} is the file of {other} too; a test on what was trained "
                    f"on says nothing. data.{split}=null sets a part of train aside."
                )
