"""A row for each box in a .csv: TensorFlow's form, Open Images', or a file with corners."""

from __future__ import annotations

import re

from vit.data.core.images import SUFFIXES
from vit.data.recognition.columns import Columns, columns_of
from vit.data.recognition.heads import table_head
from vit.data.recognition.layout import Layout, count
from vit.data.recognition.listing import Listing, join

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
    path, form, columns = found[0]
    images = listing.number("", SUFFIXES)
    told = [f"{other} holds boxes too" for other, _, _ in found[1:5]]
    return [
        Layout(
            kind="box_table",
            title=f"boxes in a table, in {form}",
            certainty="certain",
            evidence=(
                f"{path} has a row for each box: {', '.join(map(str, columns.names[:8]))}",
                f"{count(images, 'image')} lie here",
                *told,
            ),
            change="No kind of data reads boxes from a table yet; data=coco is nearest: "
            "annotations/train.json with images, annotations (bbox = x, y, width, height in "
            "pixels) and categories.",
        )
    ]


def tables(listing: Listing, endings: tuple[str, ...] = ENDINGS) -> list[tuple[str, str, Columns]]:
    """Folder, name and columns of the tables that lie in the first folders."""
    found = []
    looked = 0
    for place in listing.below(""):
        if (place and not HOMES.match(place)) or looked > MOST_TABLES:
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
