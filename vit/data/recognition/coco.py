"""COCO's JSON, of instances or panoptic: wherever the files lie, and whatever splits are called."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.data.core.split_names import split_of
from vit.data.recognition.heads import ends, sizes_of, small_json
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, inner_set, join, stem
from vit.data.recognition.splits import SPLITS, parted

MOST_FILES = 40  # of JSON that are looked into
HOMES = re.compile(r"annot|label|json", re.I)  # how folders begin that may hold files deeper
NAMES = 24  # of images that are looked for
PREFERRED = ("instances", "", "_annotations.coco", "annotations", "coco")
USUAL = {
    "coco": {split: f"annotations/{split}.json" for split in SPLITS},
    "coco_panoptic": {split: f"annotations/panoptic_{split}.json" for split in SPLITS},
}


@dataclass(frozen=True)
class File:
    """One file of annotations."""

    path: str  # under root
    kind: str  # coco or coco_panoptic
    front: str  # what it is called apart from its split
    split: str | None
    names: tuple[str, ...]  # of some of its images
    masks: bool
    images: int | None  # their number, where the whole file was read
    objects: int | None


def coco(listing: Listing) -> list[Layout]:
    odd: list[str] = []
    files = _files(listing, odd)
    layouts = []
    for kind in ("coco_panoptic", "coco"):
        fronts: dict[str, list[File]] = {}
        for file in files:
            if file.kind == kind:
                fronts.setdefault(file.front, []).append(file)
        if not fronts:
            continue
        order = sorted(fronts, key=lambda front: (_rank(front), -len(fronts[front]), front))
        told = list(odd)
        if len(order) > 1:
            others = ", ".join(file.path for front in order[1:] for file in fronts[front])
            told.append(f"other files of this form are left out: {others}")
        layout = _layout(listing, kind, fronts[order[0]], told)
        layouts += [layout] if layout else []
    return layouts


def _rank(front: str) -> int:
    return PREFERRED.index(front) if front in PREFERRED else len(PREFERRED)


def _layout(listing: Listing, kind: str, files: list[File], odd: list[str]) -> Layout | None:
    """None where file and images lie in one folder further in, which is then looked at itself."""
    chosen: dict[str, File] = {}
    for file in files:
        split = file.split or "train"
        if split in chosen:
            odd.append(f"{file.path} is left out: {chosen[split].path} is taken for {split}")
        else:
            chosen[split] = file
    roboflow = any(file.path.endswith("_annotations.coco.json") for file in files)
    title = "panoptic segments in COCO's form" if kind != "coco" else "boxes in COCO's JSON"
    title += ", as Roboflow exports it" if roboflow else ""
    evidence = [_told(chosen[split], split) for split in SPLITS if split in chosen]
    if "train" not in chosen:
        return Layout(
            kind=kind,
            title=title,
            certainty="likely",
            evidence=tuple(evidence),
            oddities=tuple(odd),
            change=f"data={kind} is nearest, but no file is for train; there is only "
            f"{', '.join(file.path for file in files)}.",
        )
    words: list[str] = []
    places: list[str] = []
    size_of: list[Path] = []
    for split in SPLITS:
        if split not in chosen:
            continue
        file = chosen[split]
        place, share = _images_of(listing, file)
        if file.path != USUAL[kind][split]:
            words.append(word(f"data.{split}_file", file.path))
        if place is None:
            odd.append(f"{file.path}: none of its images is here, such as {file.names[0]}")
            continue
        if share < 1:
            odd.append(f"{file.path}: {1 - share:.0%} of the images looked for are not in {place}/")
        places += [file.path, place]
        evidence.append(f"images of {split} lie in {place or '.'}/")
        if place != "images":
            words.append(word(f"data.{split}_images", place or "."))
        size_of += [listing.path(place, name) for name in file.names]
    if inner_set(places):
        return None
    if "val" not in chosen:
        evidence.append("no val: a part of train is set aside")
    data = (f"data={kind}", word("data.root", listing.shown), *words)
    sizes = sizes_of(size_of)
    tasks = ["panoptic"] if kind == "coco_panoptic" else ["detection"]
    tasks += ["masks"] if kind == "coco" and chosen["train"].masks else []
    return Layout(
        kind=kind,
        title=title,
        certainty="certain" if sizes else "likely",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=data if sizes else (),
        commands=commands(data, size_words(sizes, 640), *tasks) if sizes else (),
        change=""
        if sizes
        else f"data={kind} is nearest, but the images are not here: put them into "
        f"{listing.at('images')}, under the names that the files give them.",
    )


def _told(file: File, split: str) -> str:
    if file.images is None:
        return f"{file.path} is COCO's, for {split}"
    objects = count(file.objects or 0, "object")
    return f"{file.path} is COCO's, for {split}: {count(file.images, 'image')}, {objects}"


def _files(listing: Listing, odd: list[str]) -> list[File]:
    found: list[File] = []
    looked = 0
    for place in listing.below(""):
        if place.count("/") > 0 and not HOMES.match(place):
            continue
        for name in listing.folders[place].having((".json",)):
            looked += 1
            if looked > MOST_FILES:
                odd.append(f"only {MOST_FILES} files of JSON were looked into")
                return found
            if file := _file(listing, join(place, name), odd):
                found.append(file)
    return found


def _file(listing: Listing, path: str, odd: list[str]) -> File | None:
    place, _, name = path.rpartition("/")
    front, split = parted(stem(name))
    front = re.sub(r"[-_. ]?\d{4}$", "", front)
    if split is None:
        split = split_of(place.rpartition("/")[2])
    content = small_json(listing.path(place, name))
    if content is not None:
        return _of_content(path, front, split, content, odd)
    first, last = ends(listing.path(place, name))
    if not last or '"images"' not in first + last:
        return None
    names = re.findall(r'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")', first)[:NAMES]
    segments = '"segments_info"' in first + last
    if '"category_id"' not in first + last:
        odd.append(f"{path} has images and no boxes, as of captions or of a hidden test; left out")
        return None
    kind = "coco_panoptic" if segments else "coco"
    masks = bool(re.search(r'"segmentation"\s*:\s*(\[\s*\[|\{)', first + last))
    told = tuple(str(json.loads(one)) for one in names if _parses(one))
    if not told:
        return None
    return File(
        path, kind, front.removeprefix("panoptic").strip("-_. "), split, told, masks, None, None
    )


def _parses(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _of_content(
    path: str, front: str, split: str | None, content: Any, odd: list[str]
) -> File | None:
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return None
    images = [one for one in content["images"] if isinstance(one, dict)]
    names = [one["file_name"] for one in images if isinstance(one.get("file_name"), str)]
    marks = content.get("annotations")
    if not names:
        return None
    if not isinstance(marks, list) or not isinstance(content.get("categories"), list):
        odd.append(f"{path} has images and no boxes, as of captions or of a hidden test; left out")
        return None
    marks = [one for one in marks if isinstance(one, dict)]
    segments = any("segments_info" in one for one in marks[:50])
    if not segments and not any("bbox" in one for one in marks[:50]):
        odd.append(f"{path} has images and no boxes, as of captions or of a hidden test; left out")
        return None
    kind = "coco_panoptic" if segments else "coco"
    front = front.removeprefix("panoptic").strip("-_. ") if segments else front
    masks = any(one.get("segmentation") for one in marks[:50])
    step = max(1, len(names) // NAMES)
    told = tuple(names[::step][:NAMES])
    objects = sum(len(one.get("segments_info") or ()) for one in marks) if segments else len(marks)
    return File(path, kind, front, split, told, masks, len(images), objects)


def _images_of(listing: Listing, file: File) -> tuple[str | None, float]:
    """The folder in which the names of images start, and what share of some is there."""
    home = file.path.rpartition("/")[0]
    best: tuple[float, str | None] = (0.0, None)
    places = sorted(listing.below(""), key=lambda place: (place != home, place != "images", place))
    for place in places:
        number = 0
        for name in file.names:
            inner, _, last = name.replace("\\", "/").rpartition("/")
            inside = listing.folders.get(join(place, inner.strip("./")))
            number += inside is not None and last in inside.names
        share = number / len(file.names)
        if share > best[0]:
            best = (share, place)
    if best[1] is None and listing.cut:  # what was not listed may be there
        for place in places:
            if all((listing.path(place) / name).is_file() for name in file.names[:3]):
                return place, 1.0
    return best[1], best[0]
