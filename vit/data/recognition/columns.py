"""What the columns of a table are, by their names and by the values of its first rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vit.data.core.groups import NAMES as GROUPS
from vit.data.core.groups import group_like, keeps_together
from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.formats.cells import as_text
from vit.data.formats.column_checks import CLASSES, TEXTS

PATHS = re.compile(
    r"(image|img|file|sample|photo|picture)?[-_ ]?(path|file|file[-_ ]?name|name|id|image|img|url)"
    r"|image|img|fname|uuid",
    re.I,
)
LABELS = CLASSES | {
    "species",
    "breed",
    "diagnosis",
    "class_name",
    "classname",
    "label_name",
    "y",
    "labelname",
}
SPLIT = re.compile(r"split|set|subset|fold|partition|usage", re.I)
CORNERS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
MARKS = ("|", ";", ",", " ")  # between the labels of one image
WORDY = 2.5  # words of a text, on average; ids and classes have fewer
FEW = 0.5  # of the rows: at most so many different values are classes
MOST_CLASSES = 2000


@dataclass(frozen=True)
class Columns:
    """The names of columns, numbers where there is no header, and their values."""

    names: tuple[Any, ...]
    rows: tuple[tuple[str, ...], ...]
    header: bool

    def values(self, name: Any) -> list[str]:
        at = self.names.index(name)
        return [row[at] for row in self.rows if at < len(row)]

    @cached_property
    def lower(self) -> dict[str, Any]:
        return {str(name).strip().lower(): name for name in self.names}

    @cached_property
    def corners(self) -> tuple[Any, ...]:
        """The columns of a box's corners; () where there are none."""
        for corners in CORNERS:
            if all(each in self.lower for each in corners):
                return tuple(self.lower[each] for each in corners)
        return ()

    @cached_property
    def texts(self) -> list[Any]:
        """Columns that hold texts of several words, the longest first."""
        found = {}
        for name in self.names:
            words = [len(value.split()) for value in self.values(name)]
            mean = sum(words) / max(1, len(words))
            if mean >= WORDY or (str(name).lower() in TEXTS and mean > 1):
                found[name] = mean
        return sorted(found, key=lambda name: -found[name])

    @cached_property
    def paths(self) -> list[Any]:
        """Columns that name images, those with their endings first."""
        ended = [
            name
            for name in self.names
            if (values := self.values(name))
            and sum(value.lower().endswith(SUFFIXES) for value in values) > len(values) / 2
        ]
        named = [
            name
            for name in self.names
            if PATHS.fullmatch(str(name)) and _mostly_own(self.values(name)) and name not in ended
        ]
        return ended + named

    @cached_property
    def split(self) -> Any | None:
        """The column that says train, val or test."""
        for name in self.names:
            words = set(self.values(name))
            if words and all(split_of(word) for word in words):
                return name
        return None

    @cached_property
    def groups(self) -> list[Any]:
        return group_like({name: self.values(name) for name in self.names})

    def group_words(self, without: Sequence[Any] = ()) -> list[str]:
        """A line for each column of groups: how it keeps them together."""
        groups = [name for name in self.groups if name not in without]
        return [keeps_together(name, self.values(name)) for name in groups]

    def labels(self, without: Sequence[Any] = ()) -> list[Any]:
        """Columns that may be the classes, those that are called so first."""
        left = [name for name in self.names if name not in without and name != self.split]
        called = [name for name in left if str(name).lower() in LABELS and any(self.values(name))]
        repeated = [
            name
            for name in left
            if name not in called
            and not GROUPS.fullmatch(str(name))
            and _are_classes(self.values(name))
        ]
        return called + repeated

    @cached_property
    def one_hot(self) -> list[Any]:
        """Columns of 0 and 1 alone, several of them: a column for each class."""
        found = [name for name in self.names if set(self.values(name)) <= {"0", "1", "0.0", "1.0"}]
        return found if len(found) > 2 else []

    def mark(self, label: Any) -> str | None:
        """What parts several labels in a cell; None where each has one."""
        values = [value for value in self.values(label) if value]
        for mark in MARKS:
            parts = [part for value in values if mark in value for part in value.split(mark)]
            several = sum(mark in value for value in values)
            alone = {part.strip() for value in values for part in value.split(mark)}
            enough = several >= max(2, 0.2 * len(values))
            if enough and len(alone) < len(set(values)) and len(parts) >= 2 * len(set(parts)):
                return mark
        return None


def columns_of(rows: list[list[str]], header: bool | None = None) -> Columns | None:
    """None for what is no table of two columns or more."""
    if len(rows) < 2 or len(rows[0]) < 2:
        return None
    if header is None:
        header = _is_header(rows)
    names: tuple[Any, ...] = tuple(rows[0]) if header else tuple(range(len(rows[0])))
    body = tuple(tuple(map(as_text, row)) for row in rows[header:])
    wrong = sum(len(row) != len(names) for row in body)
    if wrong > len(body) / 10 or len(set(names)) < len(names) or not body:
        return None
    return Columns(names, body, header)


def of_objects(rows: list[dict[str, Any]]) -> Columns | None:
    """The keys of a .jsonl as columns."""
    names = tuple(dict.fromkeys(key for row in rows for key in row))
    if not names or len(names) > 200:
        return None
    body = tuple(tuple(as_text(row.get(name)) for name in names) for row in rows)
    return Columns(names, body, True)


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: one word each, no number, and no value of below."""
    first, body = rows[0], rows[1:]
    if any(not cell.strip() for cell in first[1:]) or len(set(first)) < len(first):
        return False
    if any(_is_number(cell) or cell.lower().endswith(SUFFIXES) for cell in first):
        return False
    if any(len(cell.split()) > 4 for cell in first):
        return False
    known = (
        LABELS | TEXTS | {"id", "source", "target", "path", "file", "filename", "image", "split"}
    )
    if any(cell.strip().lower() in known for cell in first):
        return True
    below = [{row[at] for row in body if at < len(row)} for at in range(len(first))]
    if any(cell in values for cell, values in zip(first, below, strict=True)):
        return False
    numbers = [all(_is_number(value) for value in values if value) for values in below]
    ended = [any(value.lower().endswith(SUFFIXES) for value in values) for values in below]
    return any(numbers) or any(ended)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _mostly_own(values: list[str]) -> bool:
    return bool(values) and len(set(values)) >= 0.5 * len(values)


def _are_classes(values: list[str]) -> bool:
    """Whether they repeat as classes do: two or more, each some times, none of them empty."""
    kinds = set(values)
    if "" in kinds or not 2 <= len(kinds) <= MOST_CLASSES or len(kinds) > FEW * len(values):
        return False
    if all(_is_number(kind) for kind in kinds):
        return all(float(kind).is_integer() for kind in kinds) and len(kinds) <= 100
    return sum(len(kind.split()) for kind in kinds) / len(kinds) < 4
