"""Images with their labels in a table, as Kaggle has them: train.csv beside a folder of images."""

from __future__ import annotations

from typing import Any

from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.recognition.box_tables import tables
from vit.data.recognition.columns import Columns
from vit.data.recognition.heads import sizes_of
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, join, spread, stem

LOOKED_FOR = 40  # rows whose images are looked for
MANY = 2  # columns that could be the classes


def label_tables(listing: Listing) -> list[Layout]:
    found = []
    for place, name, columns in tables(listing):
        if columns.corners or not columns.paths:
            continue
        for path in columns.paths:
            where = _images(listing, columns.values(path))
            if where is None:
                continue
            labels = columns.labels([path, *columns.one_hot])
            if labels or columns.one_hot:
                found.append((place, name, columns, path, where, labels))
            break
    if not found:
        return []
    found.sort(key=lambda one: (split_of(stem(one[1])) not in ("train", None), one[0].count("/")))
    layouts = [_layout(listing, *found[0], label) for label in found[0][-1][:MANY] or [None]]
    others = [join(place, name) for place, name, *_ in found[1:]]
    if others:
        told = f"{', '.join(others[:5])}: tables of images too, and left out"
        layouts = [Layout(**{**vars(one), "oddities": (*one.oddities, told)}) for one in layouts]
    return layouts


def _layout(
    listing: Listing,
    place: str,
    name: str,
    columns: Columns,
    path: Any,
    where: tuple[str, str, float],
    labels: list[Any],
    label: Any,
) -> Layout:
    root, added, share = where
    file = join(place, name)
    lies = f"{root}/" if root else "the folder itself"
    evidence = [f"{file} lists images of {lies} by its column {path!r}"]
    odd = [] if share == 1 else [f"{1 - share:.0%} of the images looked for are not there"]
    change = ""
    if added:
        change = (
            f"data=table is nearest, but reads names with their ending, and {path!r} has "
            f"{columns.values(path)[0]!r} for {columns.values(path)[0]}{added}: add {added!r} to "
            "the column."
        )
    if not columns.header:
        change = "data=table is nearest, but wants the names of the columns in the first row."
    if label is None:
        change = (
            f"data=table is nearest, but wants the classes in one column, and here each of "
            f"{len(columns.one_hot)} has one of its own; write their names into a column, with "
            "'|' between several of an image."
        )
        return Layout(
            kind="label_table",
            title="labels of images in a table, a column for each class",
            certainty="likely",
            evidence=(*evidence, f"columns of 0 and 1: {', '.join(map(str, columns.one_hot[:6]))}"),
            oddities=tuple(odd),
            change=change,
        )
    mark = columns.mark(label)
    values = columns.values(label)
    kinds = sorted({p.strip() for v in values for p in (v.split(mark) if mark else [v])} - {""})
    evidence.append(f"{label!r} has {count(len(kinds), 'class')} in the rows looked at")
    several = " or ".join(map(repr, labels[:4]))
    sure = len(labels) == 1 or (str(label).lower() in ("label", "class") and label == labels[0])
    if len(labels) > 1:
        odd.append(f"the classes may be in {several}")
    if columns.split is None:
        odd += columns.group_words([label, path])
    words = [word("data.table", listing.at(file))]
    if root != place:
        words.append(word("data.root", listing.at(root)))
    words += [
        word(f"data.{key}_column", column)
        for key, column in (("path", path), ("label", label))
        if column != key
    ]
    if mark:
        words.append(f'data.separator="{mark}"')
        evidence.append(f"several labels an image, parted by {mark!r}")
    if columns.split is not None:
        told = set(columns.values(columns.split))
        if told <= {"train", "val", "test"} and "train" in told:
            words.append(word("data.split_column", columns.split))
            evidence.append(f"{columns.split!r} has the splits {', '.join(sorted(told))}")
        else:
            odd.append(
                f"{columns.split!r} has {', '.join(sorted(told))}; data.split_column wants train, "
                "val and test"
            )
    data = ("data=table", *words)
    files = [listing.path(root, value) for value in spread(columns.values(path), 24)]
    size = size_words(sizes_of(files), 224)
    return Layout(
        kind="label_table",
        title="labels of images in a table",
        certainty="certain"
        if sure and not change
        else "likely"
        if label == labels[0]
        else "possible",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=() if change else data,
        commands=() if change else commands(data, size, "several" if mark else "classification"),
        change=change,
    )


def _images(listing: Listing, values: list[str]) -> tuple[str, str, float] | None:
    """The folder where the values start, the ending that they lack, and what share is there."""
    names = spread([value for value in values if value], LOOKED_FOR)
    # Where most lie nowhere, no folder need be asked: there may be thousands, and many tables.
    somewhere = [name for name in names if _lies_somewhere(listing, name)]
    if len(somewhere) <= len(names) / 2:
        return None
    best = None
    for place in listing.below(""):
        for added in ("", *SUFFIXES):
            number = sum(_is_there(listing, place, f"{name}{added}") for name in names)
            if number > len(names) / 2 and (best is None or number > best[2]):
                best = (place, added, number)
            if added == "" and number:
                break
    return None if best is None else (best[0], best[1], best[2] / len(names))


def _lies_somewhere(listing: Listing, name: str) -> bool:
    last = name.rpartition("/")[2]
    return any(f"{last}{added}" in listing.every_name for added in ("", *SUFFIXES))


def _is_there(listing: Listing, place: str, name: str) -> bool:
    inner, _, last = name.removeprefix("./").rpartition("/")
    inside = listing.folders.get(join(place, inner.rstrip("/")))
    return inside is not None and last in inside.names and last.lower().endswith(SUFFIXES)
