"""Labels from a CSV or parquet table of image paths; one label per image, or several."""

import csv
from collections import Counter
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.class_names import require_distinct, sorted_names
from vit.data.classification import ClassificationData
from vit.data.file_names import stored
from vit.data.folder import PHOTO_MEAN, PHOTO_STD, existing_folder
from vit.data.plain_text import read_text
from vit.data.sources import Contents, FileSource, Source
from vit.faults import did_you_mean

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True, eq=False)
class Table(ClassificationData):
    """A row per image: its path, its label and, if wanted, its split.

    Args:
        table: a .csv, .tsv or .parquet file whose columns have names.
        root: where relative paths start; None is the folder of the table.
        path_column, label_column: names of columns.
        split_column: a column of train, val and test; None where all rows are train.
        separator: parts the labels of one image, such as "|"; None is one label per image.
        classes: all class names in their order; None takes those that occur, sorted.
    """

    table: str
    root: str | None = None
    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = None
    separator: str | None = None
    classes: tuple[str, ...] | None = None

    def read(self) -> Contents:
        file = Path(self.table).expanduser()
        if not file.is_file():
            raise ValueError(f"data.table={self.table} is no file; wanted .csv, .tsv or .parquet.")
        root = file.parent if self.root is None else existing_folder(self.root, "data.root")
        columns = read_columns(file)
        for key in ("path_column", "label_column", "split_column"):
            _require_column(columns, getattr(self, key), key, file)
        paths = [as_text(path) for path in columns[self.path_column]]
        labels = [self._labels(value) for value in columns[self.label_column]]
        several = self.separator is not None
        _require_filled(paths, file, self.path_column)
        if not several:
            _require_filled([label[0] for label in labels], file, self.label_column)
        class_names = self._class_names(labels, file)
        numbers = label_array(labels, class_names, several)
        names = stored(paths, str(file))
        sources: dict[str, Source] = {}
        for split, rows in self._rows_of_splits(columns, file).items():
            sources[split] = FileSource(root, names[rows], numbers[rows], listed=False)
        return Contents(
            sources=sources,
            class_names=class_names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            multi_label=several,
            origin={split: str(file) for split in sources},
        )

    def _labels(self, value: Any) -> list[str]:
        if self.separator is None:
            return [as_text(value)]
        parts = value if isinstance(value, list) else as_text(value).split(self.separator)
        return [text for text in map(as_text, parts) if text]

    def _class_names(self, labels: list[list[str]], file: Path) -> tuple[str, ...]:
        occurring = {label for row in labels for label in row}
        if self.classes is None:
            require_distinct(occurring, str(file))
            return sorted_names(occurring)
        known = tuple(str(name) for name in self.classes)
        unknown = sorted(occurring - set(known))
        if unknown:
            row = next(i for i, row in enumerate(labels) if unknown[0] in row)
            raise ValueError(
                f"{file}, row {row + 1}: label {unknown[0]!r} is not among the {len(known)} names "
                f"in data.classes.{did_you_mean(unknown[0], known)}"
            )
        return known

    def _rows_of_splits(self, columns: dict[str, list], file: Path) -> dict[str, np.ndarray]:
        if self.split_column is None:
            return {"train": np.arange(len(columns[self.path_column]))}
        values = np.array([as_text(value) for value in columns[self.split_column]])
        for row, value in enumerate(values):
            if value not in SPLITS:
                raise ValueError(
                    f"{file}, row {row + 1}: {self.split_column} is {str(value)!r}; "
                    "wanted train, val or test."
                )
        found = {split: np.flatnonzero(values == split) for split in SPLITS}
        if not len(found["train"]):
            raise ValueError(f"{file}: no row has {self.split_column} = train.")
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
            return pyarrow.parquet.read_table(file).to_pydict()
        except (OSError, pyarrow.ArrowException) as fault:
            raise ValueError(f"{file} cannot be read as parquet: {fault}") from None
    if suffix not in (".csv", ".tsv"):
        raise ValueError(f"data.table={file}; wanted .csv, .tsv or .parquet.")
    try:
        text = StringIO(read_text(file), newline="")
        rows = list(csv.reader(text, delimiter="\t" if suffix == ".tsv" else ",", strict=True))
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


def as_text(value: Any) -> str:
    """A cell as people write it: nothing for a gap, and 3 for the 3.0 that gaps make of it."""
    if value is None or value != value:  # NaN is not itself
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def label_array(labels: list[list[str]], class_names: tuple[str, ...], several: bool) -> np.ndarray:
    """Class numbers [n], or rows of zeros and ones [n, classes] where there are several."""
    number = {name: position for position, name in enumerate(class_names)}
    if not several:
        return np.array([number[label[0]] for label in labels], dtype=np.int64)
    rows = np.zeros((len(labels), len(class_names)), dtype=np.float32)
    for row, names in enumerate(labels):
        rows[row, [number[name] for name in names]] = 1
    return rows


def _require_column(columns: dict[str, list], name: str | None, key: str, file: Path) -> None:
    if name is not None and name not in columns:
        raise ValueError(
            f"{file} has no column {name!r} (data.{key}), only {', '.join(columns)}."
            + did_you_mean(name, columns)
        )


def _require_filled(values: list[str], file: Path, column: str) -> None:
    for row, value in enumerate(values):
        if not value:
            raise ValueError(f"{file}, row {row + 1}: {column} is empty.")
