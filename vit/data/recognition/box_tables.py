"""A row for each box in a .csv: TensorFlow's form, Open Images', or a file with corners."""

from __future__ import annotations

import re

from vit.data.annotations.box_rows import CLASSES, IMAGES
from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.recognition.columns import Columns, columns_of
from vit.data.recognition.heads import sizes_of, table_head
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, join, stem
from vit.data.recognition.splits import parted

ENDINGS = (".csv", ".tsv")
HOMES = re.compile(r"(annot|label|meta|csv|data|table|split)[^/]*$", re.I)  # of tables
MOST_TABLES = 30  # that are looked into


def box_tables(listing: Listing) -> list[Layout]:
    found = []
    for place, name, columns in tables(listing):
        form = _form(columns)
        if form:
            found.append((join(place, name), form, columns))
    if not found:
        return []
    by_split: dict[str, str] = {}
    for path, _, _ in found:
        if (split := _split_of(path)) and split not in by_split:
            by_split[split] = path
    train = by_split.get("train", found[0][0])
    path, form, columns = next(one for one in found if one[0] == train)
    used = {train, *(by_split.values() if train == by_split.get("train") else ())}
    images = listing.number("", SUFFIXES)
    evidence = [
        f"{path} has a row for each box: {', '.join(map(str, columns.names[:8]))}",
        f"{count(images, 'image')} lie here",
    ]
    odd = [
        f"{other} holds boxes too, and is left out" for other, _, _ in found if other not in used
    ]
    change = ""
    if not columns.header:
        change = (
            "data=box_table wants names of columns in the first row, such as "
            "filename,xmin,ymin,xmax,ymax,class; put that line before the others."
        )
    elif not images:
        change = "data=box_table reads it, once the images lie here or in data.root."
    elif not columns.lower.keys() & {*IMAGES} or not columns.lower.keys() & {*CLASSES}:
        change = "data=box_table reads it, once data.image_column and data.class_column name those."
    words = [word("data.train", listing.at(train))]
    if train == by_split.get("train"):
        words += [
            word(f"data.{split}", listing.at(by_split[split]))
            for split in ("val", "test")
            if split in by_split
        ]
    if "data.val" not in "".join(words):
        evidence.append("no table of val: a part of train is set aside")
        odd += columns.group_words() if columns.split is None else []
        if columns.split and not by_split:
            words.append(word("data.split_column", columns.split))
    beside = listing.folders[path.rpartition("/")[0]].having(SUFFIXES)
    if not beside or "/" not in path:  # else names start in each table's own folder
        words.append(word("data.root", listing.shown))
    data = ("data=box_table", *words)
    sizes = sizes_of(listing.some("", SUFFIXES, 24))
    return [
        Layout(
            kind="box_table",
            title=f"boxes in a table, in {form}",
            certainty="certain",
            evidence=tuple(evidence),
            oddities=tuple(odd),
            data=() if change else data,
            commands=() if change else commands(data, size_words(sizes, 640), "detection"),
            change=change,
        )
    ]


def _split_of(path: str) -> str | None:
    """By the words of its name, `train_labels.csv`, or by its folder, `train/_annotations.csv`."""
    place, _, name = path.rpartition("/")
    return parted(stem(name))[1] or split_of(place.rpartition("/")[2])


def tables(listing: Listing, endings: tuple[str, ...] = ENDINGS) -> list[tuple[str, str, Columns]]:
    """Folder, name and columns of the tables that lie in the first folders."""
    found = []
    looked = 0
    for place in listing.below(""):
        split = split_of(place) is not None  # Roboflow's train/_annotations.csv
        if (place and not HOMES.match(place) and not split) or looked > MOST_TABLES:
            continue
        for name in listing.folders[place].having(endings):
            looked += 1
            if looked > MOST_TABLES:
                break
            columns = columns_of(table_head(listing.path(place, name)))
            if columns is not None:
                found.append((place, name, columns))
    return found


def _form(columns: Columns) -> str:
    if columns.corners:
        if {"imageid", "labelname"} <= set(columns.lower):
            return "Open Images' form"
        if {"filename", "class"} <= set(columns.lower):
            return "TensorFlow's form"
        return "corners of boxes"
    if not columns.header and len(columns.names) == 6 and columns.paths:
        numbers = [name for name in columns.names if all(map(_whole, columns.values(name)))]
        return "RetinaNet's form, without a header" if len(numbers) >= 4 else ""
    return ""


def _whole(text: str) -> bool:
    return text.strip().lstrip("-").replace(".", "", 1).isdigit() or not text.strip()
