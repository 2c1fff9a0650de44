"""Things and stuff in COCO's panoptic form: a JSON of segments and a folder of coloured PNGs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vit.data.annotations.categories import class_names, same_names
from vit.data.annotations.checks import validate
from vit.data.annotations.coco_json import (
    CROWD,
    hashable,
    raw_annotations,
    read_splits,
    require_named,
)
from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.annotations.panoptic_files import PanopticFiles
from vit.data.annotations.raw import Bad, RawAnnotations
from vit.data.coco import unlisted
from vit.data.core.file_names import name_fault, stored
from vit.data.core.images import BadImage
from vit.data.core.sources import Contents
from vit.data.core.unsound import Unsound
from vit.data.folder import existing_folder
from vit.data.kinds.checks import IMAGES_DECODED, evenly_spaced
from vit.data.kinds.detection import DetectionData
from vit.faults import Fault, shorten
from vit.structures import PanopticMap

COLOURS = 1 << 24  # that a PNG can tell apart


@dataclass(kw_only=True, eq=False)
class CocoPanoptic(DetectionData[PanopticFiles]):
    """A panoptic file per split, beside it a folder of its name with a PNG per image, and images.

    Every segment, thing or stuff, is an object with its mask; `is_thing` says which classes are
    things. A pixel's segment is R + 256 G + 65536 B of its colour; 0 is void. Classes are numbered
    by the order of their ids in the training file.

    Args:
        root: the folder; `~` is understood.
        train_file, val_file, test_file: JSON files under root; of the last two, the usual names may
            be absent, as null says they are: val is then set aside from train.
        train_images, val_images, test_images: where the names of images start, under root.
    """

    root: str
    train_file: str = "annotations/panoptic_train.json"
    val_file: str | None = "annotations/panoptic_val.json"
    test_file: str | None = "annotations/panoptic_test.json"
    train_images: str = "images"
    val_images: str = "images"
    test_images: str = "images"
    masks: bool = True

    def read(self) -> Contents[PanopticFiles]:
        root = existing_folder(self.root, "data.root")
        faults: list[Fault] = []
        files = {"train": self.train_file, "val": self.val_file, "test": self.test_file}
        require_named(root, files, type(self), "_file")
        found, train = read_splits(root, files, faults)
        class_ids = tuple(sorted(train))
        published, maps = {}, {}
        for split, (file, content) in found.items():
            _require_segments(file, content["annotations"], faults)
            images = root / getattr(self, f"{split}_images")
            segments = {**content, "annotations": _flattened(content["annotations"])}
            published[split] = raw_annotations(file, images, segments, class_ids, faults)
            maps[split] = _map_names(file, content, faults)
        names = class_names(train)
        contents = contents_of(published, names, class_ids, False, faults)
        contents.warnings += [
            *unlisted(contents.sources),
            *same_names(train, str(found["train"][0])),
        ]
        sources = {
            split: _with_maps(source, published[split], found[split], maps[split])
            for split, source in contents.sources.items()
        }
        things, unknown = {}, []
        for one in found["train"][1]["categories"]:
            flag = one.get("isthing")
            thing = None if flag in (None, "") else CROWD.get(str(flag).lower())
            if thing is None:
                unknown.append(repr(one.get("name")))
            things[hashable(one.get("id"))] = bool(thing)
        flags = tuple(things[number] for number in class_ids)
        if unknown:
            message = f"categories without `isthing`: {shorten(unknown)}; wanted 0 or 1 for each."
            faults.append(Fault(str(found["train"][0]), message))
        return Contents(**{**vars(contents), "sources": sources, "is_thing": flags})

    @property
    def is_thing(self) -> tuple[bool, ...]:
        """Which classes are things, the others being stuff."""
        return self.contents.is_thing

    def panoptic(self, split: str, index: int) -> PanopticMap:
        """What is true of a sample, in pixels of its picture, for PanopticMetrics."""
        source, members = self._source_of(split)
        position = int(members[index])
        marked = source.annotations.of(position)
        return PanopticMap(
            torch.from_numpy(source.segments(position)),
            torch.from_numpy(marked.labels),
            torch.from_numpy(marked.crowd),
        )

    def _bad_images(self, full: bool) -> list[Fault]:
        """Also of the PNGs: 256 a split, evenly spread, or all where `full`."""
        faults = super()._bad_images(full)
        if faults or self.contents.faults:
            return faults
        for split, source in self.contents.sources.items():
            bad = Bad()
            positions = np.arange(len(source))
            for position in positions if full else evenly_spaced(positions, IMAGES_DECODED):
                try:
                    present = np.unique(source.segments(int(position)))
                except BadImage as fault:
                    bad.add("maps that do not go with it", str(fault).rstrip("."))
                    continue
                first, last = source.annotations.starts[position : position + 2].tolist()
                bare = np.setdiff1d(np.arange(1, last - first + 1), present)
                if len(bare):
                    number = int(source.segment_ids[first + bare[0] - 1])
                    example = f"{source.name(int(position))} ({len(bare)}, such as {number})"
                    bad.add("segments are listed that have no pixel in their PNG", example)
            faults += bad.faults(self.contents.origin[split])
        return faults


def _require_segments(file: Path, notes: list[dict[str, Any]], faults: list[Fault]) -> None:
    """Raises ValueError, with the `faults` so far, where the file is not in panoptic form."""
    for at, note in enumerate(notes):
        segments = note.get("segments_info")
        if not isinstance(segments, list) or not all(
            isinstance(one, dict) and type(one.get("id")) is int and 0 <= one["id"] < COLOURS
            for one in segments
        ):
            message = (
                f"annotations[{at}] has no list `segments_info` of dictionaries with a whole `id` "
                f"below {COLOURS}, as the panoptic form has; files of single objects are for "
                "data=coco."
            )
            raise Unsound([*faults, Fault(str(file), message)])


def _flattened(notes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The segments of all images as annotations of one object each; ids for people to read."""
    return [
        {
            **one,
            "image_id": note.get("image_id"),
            "id": f"{one['id']} of {note.get('file_name')}",
        }
        for note in notes
        for one in note["segments_info"]
    ]


def _map_names(file: Path, content: dict[str, Any], faults: list[Fault]) -> list[str]:
    """The PNG of each image, "" where the file names none or it is not there."""
    notes = [(hashable(one.get("image_id")), one) for one in content["annotations"]]
    by_image = {number: str(note.get("file_name", "")) for number, note in notes}
    names = [by_image.get(hashable(image.get("id")), "") for image in content["images"]]
    for what, count in (
        ("images with two annotations", Counter(number for number, _ in notes)),
        ("PNGs of two images", Counter(name for name in names if name)),
    ):
        twice = [str(one) for one, times in count.items() if times > 1]
        if twice:
            faults.append(Fault(str(file), f"{what}: {shorten(twice)} ({len(twice)} in all)."))
    wrong = [f"{name[:40]!r} {name_fault(name)}" for name in names if name_fault(name)]
    if wrong:
        faults.append(Fault(str(file), f"a `file_name` that is none: {shorten(wrong)}."))
        names = ["" if name_fault(name) else name for name in names]
    folder = file.with_suffix("")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [
        str(image.get("file_name"))
        for image, name in zip(content["images"], names, strict=True)
        if name not in there
    ]
    if missing:
        message = f"images without a PNG in {folder}: {shorten(missing)} ({len(missing)} in all)."
        faults.append(Fault(str(file), message))
    return names


def _with_maps(
    source: AnnotatedFiles,
    published: RawAnnotations,
    found: tuple[Path, dict[str, Any]],
    map_names: list[str],
) -> PanopticFiles:
    """The source with the PNGs of its images, and the colours of the objects that were kept."""
    file, content = found
    ids = [one["id"] for note in content["annotations"] for one in note["segments_info"]]
    rows = np.flatnonzero(validate(published).keep)
    rows = rows[np.argsort(published.image_of[rows], kind="stable")]  # the order of annotations
    return PanopticFiles(
        **vars(source),
        maps_root=file.with_suffix(""),
        map_names=stored(map_names, str(file)),
        segment_ids=np.array(ids, dtype=np.int64)[rows],
    )
