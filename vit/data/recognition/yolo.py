"""What YOLO's tools write: a .yaml that names splits and classes, a .txt of labels an image."""

from __future__ import annotations

import re
import shlex
from typing import Any

from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.recognition.heads import sizes_of, text_head
from vit.data.recognition.layout import Layout, commands, count, quoted, size_words, word
from vit.data.recognition.listing import Listing, inner_set, join, spread, stem
from vit.data.recognition.splits import SPLITS

LARGEST = 1 << 16  # letters of a .yaml that is looked into
LINE = re.compile(r"\s*\d+(\.0*)?(\s+-?[\d.]+(e-?\d+)?){4,}\s*", re.I)
NO_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt", "readme.txt")
LOOKED_AT = 40  # files of labels


def yolo(listing: Listing) -> list[Layout]:
    """By its .yaml; where there is none, by labels beside images."""
    named = [
        (place, name, told)
        for place in [""]
        for name in listing.folders[place].having((".yaml", ".yml"))
        if (told := _told(listing, place, name)) is not None
    ]
    if named:
        named.sort(key=lambda one: (one[0], one[1] != "data.yaml", one[1]))
        others = [join(place, name) for place, name, _ in named[1:]]
        return [_by_yaml(listing, *named[0], others)]
    return _by_labels(listing)


def _by_yaml(
    listing: Listing, place: str, name: str, told: dict[str, Any], others: list[str]
) -> Layout:
    odd = [f"{other} is such a file too; another could be meant" for other in others]
    names = told["names"]
    evidence = [f"{join(place, name)} is YOLO's: {count(len(names), 'class')}, {_few(list(names))}"]
    files = []
    missing = []
    for split in SPLITS:
        key = next((key for key in told if split_of(str(key)) == split), None)
        if key is None:
            continue
        for part in told[key] if isinstance(told[key], list) else [told[key]]:
            where = _place(listing, place, told.get("path"), str(part))
            if where is None:
                missing.append(f"{key}: {part}")
            else:
                number = listing.number(where, SUFFIXES)
                evidence.append(f"{split}: {count(number, 'image')} in {where or '.'}/")
                files += listing.some(where, SUFFIXES, 12)
    root = listing.at(place)
    data: tuple[str, ...] = ("data=yolo", word("data.root", root))
    data += () if name == "data.yaml" else (word("data.file", name),)
    change = ""
    if missing:
        change = (
            f"{join(place, name)} names what is not here ({'; '.join(missing)}); data=yolo reads "
            "it once these folders are named as they lie beside the file."
        )
    return Layout(
        kind="yolo",
        title="boxes as YOLO's tools write them, with a .yaml",
        certainty="likely" if missing else "certain",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=() if missing else data,
        commands=() if missing else commands(data, size_words(sizes_of(files), 640), "detection"),
        change=change,
    )


def _told(listing: Listing, place: str, name: str) -> dict[str, Any] | None:
    """The keys of a .yaml that names a train and classes; None for any other."""
    import yaml

    text = text_head(listing.path(place, name), LARGEST)
    if "names" not in text:
        return None
    try:
        told = yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError):
        return None
    if not isinstance(told, dict) or not any(split_of(str(key)) == "train" for key in told):
        return None
    names = told.get("names")
    if isinstance(names, dict):
        told["names"] = list(names.values())
    if not _is_text(told.get("names")) or not told["names"] or isinstance(told["names"], str):
        return None
    # A few letters can stand for a structure without end, which nobody must try to write out.
    wrong = [key for key in told if split_of(str(key)) and not _is_text(told[key])]
    return None if wrong or not isinstance(told.get("path", ""), str) else told


def _is_text(value: object) -> bool:
    """Whether it is text, or a list of nothing else."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )


def _place(listing: Listing, home: str, base: Any, part: str) -> str | None:
    """Under root, where a .yaml's folder or list of files is; None where it is not here."""
    starts = [home] if not isinstance(base, str) else [join(home, base.strip("./")), home]
    for start in starts:
        for name in (part, part.removeprefix("../")):
            where = join(start, name.strip("/").removeprefix("./").rstrip("/"))
            if where in listing.folders:
                return where
            above, _, last = where.rpartition("/")
            inside = listing.folders.get(above)
            if inside and last in inside.names:
                return above
    return None


def _by_labels(listing: Listing) -> list[Layout]:
    found = ((images, _labels(listing, images)) for images in listing.below(""))
    homes = [(images, labels) for images, labels in found if labels is not None]
    homes = [pair for pair in homes if not inner_set(pair)]
    if not homes:
        return []
    numbers: set[int] = set()
    for _, labels in homes[:6]:
        for name in spread(_texts(listing, labels), LOOKED_AT):
            for line in text_head(listing.path(labels, name)).splitlines():
                if LINE.fullmatch(line):
                    numbers.add(int(float(line.split()[0])))
    places = {split: _of_split(homes, split) for split in SPLITS}
    splits = {split: place for split, place in places.items() if place is not None}
    if "train" not in splits:
        splits = {"train": _common([images for images, _ in homes])}
    names, where = _class_names(listing, max(numbers, default=0) + 1)
    lines = [f"{split}: {quoted(place or '.')}" for split, place in splits.items()]
    lines.append(f"names: [{', '.join(map(quoted, names))}]")
    pictures = sum(len(listing.folders[home].having(SUFFIXES)) for home, _ in homes)
    marked = sum(len(_texts(listing, home)) for _, home in homes)
    # Somebody's own file of that name, of which nothing was understood, is not written over.
    name = "vit-data.yaml" if "data.yaml" in listing.top.names else "data.yaml"
    file = shlex.quote(listing.at(name))
    data: tuple[str, ...] = ("data=yolo", word("data.root", listing.shown))
    data += () if name == "data.yaml" else (word("data.file", name),)
    sizes = sizes_of([path for home, _ in homes[:4] for path in listing.some(home, SUFFIXES, 8)])
    return [
        Layout(
            kind="yolo",
            title="boxes as YOLO's tools write them, without a .yaml",
            certainty="likely",
            evidence=(
                f"{count(marked, 'file')} of labels (.txt) lie beside {count(pictures, 'image')}",
                f"lines begin with the classes {min(numbers, default=0)} to "
                f"{max(numbers, default=0)} of those looked at; {where}",
                *(() if "val" in splits else ("no val: a part of train is set aside",)),
            ),
            data=data,
            commands=commands(data, size_words(sizes, 640), "detection"),
            first=(f"printf '%s\\n' {shlex.join(lines)} > {file}",),
            change=f"data=yolo wants a .yaml of splits and classes; this line writes {name}.",
        )
    ]


def _labels(listing: Listing, images: str) -> str | None:
    """The folder of the labels of a folder of images; None where there is none."""
    inside = listing.folders[images]
    if not inside.having(SUFFIXES):
        return None
    parts = images.split("/") if images else []
    places = [images]
    for at in range(len(parts) - 1, -1, -1):
        if parts[at].lower() == "images":
            forms = ("labels", "Labels", "LABELS")
            places = ["/".join([*parts[:at], form, *parts[at + 1 :]]) for form in forms]
            break
    stems = {stem(name) for name in inside.having(SUFFIXES)}
    for place in places:
        texts = _texts(listing, place) if place in listing.folders else []
        if not stems & {stem(name) for name in texts}:
            continue
        heads = [text_head(listing.path(place, name), 4096) for name in spread(texts, LOOKED_AT)]
        lines = [line for text in heads for line in text.splitlines() if line.strip()]
        if lines and sum(bool(LINE.fullmatch(line)) for line in lines) >= 0.9 * len(lines):
            return place
    return None


def _texts(listing: Listing, place: str) -> list[str]:
    texts = listing.folders[place].having((".txt",))
    return [name for name in texts if name.lower() not in NO_LABELS]


def _of_split(homes: list[tuple[str, str]], split: str) -> str | None:
    """The folder of images of a split, by the name of one of the folders on the way."""
    for images, _ in homes:
        parts = images.split("/")
        if any(split_of(part) == split for part in parts):
            return images
    return None


def _common(places: list[str]) -> str:
    parts = [place.split("/") for place in places]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


def _class_names(listing: Listing, least: int) -> tuple[list[str], str]:
    """The names in a classes.txt, else class0, class1, …; and which it is."""
    for place in listing.below(""):
        for name in listing.folders[place].files:
            if name.lower() in ("classes.txt", "obj.names", "labels.txt", "names.txt"):
                lines = text_head(listing.path(place, name)).splitlines()
                names = [line.strip() for line in lines if line.strip()]
                if len(names) >= least and len(set(names)) == len(names):
                    return names, f"their names stand in {join(place, name)}"
    return [f"class{number}" for number in range(least)], "nothing names them: write their names"


def _few(names: list[str]) -> str:
    return ", ".join(map(str, names[:6])) + (
        f" and {len(names) - 6} more" if len(names) > 6 else ""
    )
