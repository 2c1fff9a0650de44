"""Labels from a CSV or parquet table of image paths; one label per image, or several."""

import csv
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.core.class_names import same_numbers, sorted_names
from vit.data.core.file_names import expanded, stored
from vit.data.core.groups import group_like, keeps_together, shared_groups
from vit.data.core.sources import Contents, FileSource, Source
from vit.data.core.split_names import split_of
from vit.data.core.unsound import Unsound
from vit.data.folder import PHOTO_MEAN, PHOTO_STD, existing_folder
from vit.data.formats.cells import as_text, cells
from vit.data.formats.plain_text import read_text
from vit.data.kinds.classification import ClassificationData
from vit.data.kinds.label_checks import columns_of_classes, like_gaps, other_labels, spaced
from vit.faults import Fault, did_you_mean, shorten

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True, eq=False)
class Table(ClassificationData):
    """A row per image: its path, its label and, if wanted, its split.

    Args:
        table: a .csv, .tsv or .parquet file whose columns have names.
        root: where relative paths start; None is the folder of the table.
        path_column, label_column: names of columns.
        split_column: a column of train, val and test; None where all rows are train.
        group_column: of what belongs together, such as a patient: no group is in two splits.
        separator: parts the labels of one image, such as "|"; None is one label per image.
        classes: all class names in their order, those too that no image has; None takes those that
            occur, sorted.
    """

    table: str
    root: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = None
    group_column: str | None = None
    separator: str | None = None
    classes: tuple[str, ...] | None = None

    def read(self) -> Contents[Source]:
        file = expanded(self.table)
        if not file.is_file():
            raise ValueError(f"data.table={self.table} is no file; wanted .csv, .tsv or .parquet.")
        root = file.parent if self.root is None else existing_folder(self.root, "data.root")
        columns = read_columns(file)
        _require_columns(columns, self, file)
        if self.path_column == self.label_column:
            raise ValueError(
                f"data.path_column={self.path_column} is data.label_column too; wanted two."
            )
        several = self.separator is not None
        paths, wrong = cells(columns[self.path_column], "path", self.path_column)
        if several:
            labels = [self._labels(value) for value in columns[self.label_column]]
        else:
            single, bad = cells(columns[self.label_column], "label", self.label_column)
            labels = [[label] for label in single]
            wrong += bad
            if any("a list" in line for line in bad):
                wrong.append("several labels an image are read with data.separator='|'")
        faults = [Fault("data", f"{file}, {line}.") for line in wrong]
        rows_of_splits = self._rows_of_splits(columns, file, faults)
        class_names = self._class_names(labels, file, faults)
        groups: dict[str, np.ndarray] = {}
        if self.group_column is not None:
            column = self.group_column
            each, bad = cells(columns[column], "group", column)
            faults += [Fault("data", f"{file}, {line}.") for line in bad]
            groups = {split: np.array(each)[rows] for split, rows in rows_of_splits.items()}
            faults += shared_groups(groups, column)
        if faults:
            raise Unsound(faults)
        numbers = label_array(labels, class_names, several)
        names = stored(paths, str(file))
        sources: dict[str, Source] = {}
        for split, rows in rows_of_splits.items():
            sources[split] = FileSource(root, names[rows], numbers[rows], listed=False)
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            multi_label=several,
            groups=groups,
            origin={split: str(file) for split in sources},
            faults=same_numbers(class_names, str(file)) if self.classes is None else [],
            warnings=[
                *self._oddities(columns, file),
                *like_gaps(class_names),
                *self._never_learnt(labels, rows_of_splits, file),
            ],
        )

    def own_classes_hint(self) -> str:
        """Which columns hold classes, where each sample has one of its own."""
        columns = read_columns(expanded(self.table))
        return columns_of_classes(columns, {self.label_column})

    def _oddities(self, columns: dict[str, list], file: Path) -> list[str]:
        """What a column that is not asked for tells of those that are."""
        lines = spaced(columns[self.label_column], f"{file}: {self.label_column}")
        if self.group_column is None and self.split_column is None:
            texts = {name: [as_text(value) for value in each] for name, each in columns.items()}
            left = {
                k: v for k, v in texts.items() if k not in (self.path_column, self.label_column)
            }
            lines += [f"{file}: {keeps_together(name, left[name])}" for name in group_like(left)]
        for name, values in columns.items() if self.split_column is None else ():
            words = {as_text(value).lower() for value in values}
            meant = {split_of(word) for word in words}
            asked_for = name in (self.path_column, self.label_column)
            if "train" in meant and None not in meant and not asked_for:
                lines.append(
                    f"{file}: the column {name!r} has {', '.join(sorted(words))}, and all rows are "
                    f"trained on; data.split_column={name} keeps them apart"
                )
        if self.label_column == "label":
            lines += other_labels(columns, self.label_column, file)
        return lines

    def _labels(self, value: Any) -> list[str]:
        assert self.separator is not None
        parts = value if isinstance(value, list) else as_text(value).split(self.separator)
        return [text for text in map(as_text, parts) if text]

    def _class_names(
        self, labels: list[list[str]], file: Path, faults: list[Fault]
    ) -> tuple[str, ...]:
        occurring = {label for row in labels for label in row if label}
        if self.classes is None:
            return sorted_names(occurring)
        known = tuple(str(name) for name in self.classes)
        unknown = sorted(occurring - set(known))
        if unknown:
            row = next(i for i, row in enumerate(labels) if unknown[0] in row)
            message = (
                f"{file}, row {row + 1}: label {unknown[0]!r} is not among the {len(known)} names "
                f"in data.classes.{did_you_mean(unknown[0], known)}"
            )
            more = f" So are {len(unknown) - 1} more labels." if len(unknown) > 1 else ""
            faults.append(Fault("data", message + more))
        return known

    def _never_learnt(
        self, labels: list[list[str]], rows_of_splits: dict[str, np.ndarray], file: Path
    ) -> list[str]:
        """A warning where `classes` names some that no row of train has."""
        rows = rows_of_splits.get("train", ())
        seen = {label for row in rows for label in labels[row]}
        names = [str(name) for name in self.classes or () if str(name) not in seen]
        if not names:
            return []
        return [f"{file}: no row of train has {shorten(names)} of data.classes; nothing teaches it"]

    def _rows_of_splits(
        self, columns: dict[str, list], file: Path, faults: list[Fault]
    ) -> dict[str, np.ndarray]:
        if self.split_column is None:
            return {"train": np.arange(len(columns[self.path_column]))}
        values = np.array([as_text(value) for value in columns[self.split_column]])
        odd = np.flatnonzero(~np.isin(values, SPLITS))
        if len(odd):
            more = f" {len(odd):,} rows have another word." if len(odd) > 1 else ""
            message = (
                f"{file}, row {odd[0] + 1}: {self.split_column} is {str(values[odd[0]])!r}; "
                f"wanted train, val or test.{more}"
            )
            faults.append(Fault("data", message))
        found = {split: np.flatnonzero(values == split) for split in SPLITS}
        if not len(found["train"]):
            faults.append(Fault("data", f"{file}: no row has {self.split_column} = train."))
        return {split: rows for split, rows in found.items() if len(rows)}


def read_columns(file: Path) -> dict[str, list]:
    """Column name → its values, of a .csv, .tsv or .parquet file; ValueError where it is broken."""
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError(
                f"{file}: parquet needs pyarrow: pip install 'vit-experiments[parquet]'"
            ) from None
        try:
            table = pyarrow.parquet.read_table(file)
            twice = [name for name, n in Counter(table.column_names).items() if n > 1]
            if twice:
                raise ValueError(f"{file} has more than one column {twice[0]!r}.")
            return table.to_pydict()
        except (OSError, pyarrow.ArrowException) as fault:
            raise ValueError(f"{file} cannot be read as parquet: {fault}") from None
    if suffix not in (".csv", ".tsv"):
        raise ValueError(f"data.table={file}; wanted .csv, .tsv or .parquet.")
    try:
        text = StringIO(read_text(file), newline="")
        mark = _separator(text.readline(), suffix)
        text.seek(0)
        rows = list(csv.reader(text, delimiter=mark, strict=True))
    except (csv.Error, ValueError) as fault:
        raise ValueError(f"{file} cannot be read as a table: {fault}") from None
    rows = [row for row in rows if row]
    if len(rows) < 2:
        raise ValueError(f"{file} holds no rows below the names of its columns.")
    header, *body = rows
    twice = [name for name, count in Counter(name.strip() for name in header).items() if count > 1]
    if twice:
        raise ValueError(f"{file} has more than one column {twice[0]!r}; one would be lost.")
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"{file}, row {number}: {len(row)} fields under {len(header)} column names."
            )
    return {name.strip(): [row[i] for row in body] for i, name in enumerate(header)}


def _separator(header: str, suffix: str) -> str:
    """What parts the columns: what the names suggest, where what the ending says does not occur.

    Spreadsheets of countries with decimal commas write semicolons into a .csv.
    """
    usual = "\t" if suffix == ".tsv" else ","
    found = [mark for mark in (usual, ";", "\t", ",") if mark in header]
    return found[0] if found else usual


def label_array(labels: list[list[str]], class_names: tuple[str, ...], several: bool) -> np.ndarray:
    """Class numbers [n], or rows of zeros and ones [n, classes] where there are several."""
    number = {name: position for position, name in enumerate(class_names)}
    if not several:
        return np.array([number[label[0]] for label in labels], dtype=np.int64)
    rows = np.zeros((len(labels), len(class_names)), dtype=np.float32)
    for row, names in enumerate(labels):
        rows[row, [number[name] for name in names]] = 1
    return rows


def _require_columns(columns: dict[str, list], data: Table, file: Path) -> None:
    """Raises Unsound with each column that is asked for and is not there."""
    faults = []
    for key in ("path_column", "label_column", "split_column", "group_column"):
        name = getattr(data, key)
        if name is not None and name not in columns:
            message = f"{file} has no column {name!r} (data.{key}), only {', '.join(columns)}."
            faults.append(Fault("data", message + did_you_mean(name, columns)))
    if faults:
        raise Unsound(faults)
