"""Image files with what is kept of their annotations, packed into a few arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from vit.data.annotations.checks import class_warnings, validate
from vit.data.annotations.packed import Annotations, ImageAnnotations
from vit.data.annotations.raw import RawAnnotations
from vit.data.annotations.segments import Segments, area, outline_fault, run_lengths
from vit.data.core.file_names import stored
from vit.data.core.images import open_image
from vit.data.core.same_files import same_paths
from vit.data.core.same_images import listed_twice
from vit.data.core.sources import Contents, FileSource
from vit.data.folder import PHOTO_MEAN, PHOTO_STD
from vit.faults import Fault
from vit.structures import RunLengths


@dataclass(eq=False)
class AnnotatedFiles(FileSource):
    """Image files with annotations; a AnnotatedSource."""

    annotations: Annotations = field(kw_only=True)

    def marked(
        self, position: int, channels: int, masks: bool = False
    ) -> tuple[Image.Image, ImageAnnotations]:
        return self.read(position, channels), self.annotations.of(position, masks)

    def run_lengths(self, position: int) -> list[RunLengths]:
        height, width = self.annotations.sizes[position].tolist()
        outlines = self.annotations.outlines(position)
        return [run_lengths(outline, height, width) for outline in outlines]

    def read(self, position: int, channels: int) -> Image.Image:
        height, width = self.annotations.sizes[position].tolist()
        size = (height, width) if height else None
        return open_image(self.path(position), channels, size=size, white=self.white)


def contents_of(
    splits: dict[str, RawAnnotations],
    class_names: tuple[str, ...],
    class_ids: tuple[int, ...],
    masks: bool,
    faults: list[Fault],
) -> Contents[AnnotatedFiles]:
    """What a kind of files has to say, judged: sound objects only, and all that is wrong or odd."""
    sources: dict[str, AnnotatedFiles] = {}
    warnings: list[str] = []
    for split, raw in splits.items():
        validation = validate(raw, masks)
        faults += raw.faults + validation.faults
        warnings += validation.warnings
        kept = _kept(raw, validation.keep, validation.boxes_xyxy, masks)
        sources[split] = AnnotatedFiles(
            root=raw.root,
            names=stored(raw.names, raw.origin),
            labels=kept.present(len(class_names)),
            listed=False,
            annotations=kept,
        )
    faults += _listed_twice(splits, sources)
    warnings += class_warnings(splits["train"], class_names)
    return Contents(
        sources,
        class_names=class_names,
        class_ids=class_ids,
        channels=3,
        mean=PHOTO_MEAN,
        std=PHOTO_STD,
        origin={split: raw.origin for split, raw in splits.items()},
        faults=faults,
        warnings=warnings,
    )


def _listed_twice(
    splits: Mapping[str, RawAnnotations], sources: Mapping[str, AnnotatedFiles]
) -> list[Fault]:
    """Files under two ids, or in two splits; those of one id were reported by `validate`."""
    found = same_paths(sources)
    for split, pairs in list(found.within.items()):
        ids = splits[split].image_ids
        found.within[split] = [(a, b) for a, b in pairs if ids[a] != ids[b]]
    found.within = {split: pairs for split, pairs in found.within.items() if pairs}
    origin = {split: raw.origin for split, raw in splits.items()}
    return listed_twice(found, sources, origin)


def _kept(
    raw: RawAnnotations, keep: np.ndarray, boxes_xyxy: np.ndarray, masks: bool
) -> Annotations:
    """The objects that are kept, by image, in the order in which they were raw."""
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(raw.image_of[rows], kind="stable")]
    counts = np.bincount(raw.image_of[rows], minlength=len(raw.names))
    boxes = boxes_xyxy[rows]
    areas = raw.areas[rows].copy()
    for at in np.flatnonzero(~np.isfinite(areas)).tolist():
        outline = raw.outlines[rows[at]]
        height, width = raw.sizes[raw.image_of[rows[at]]].tolist()
        sides = boxes[at, 2:] - boxes[at, :2]
        sound = outline and not outline_fault(outline, height, width)
        areas[at] = area(outline, height, width) if sound else sides.prod()
    return Annotations(
        labels=raw.class_of[rows].astype(np.int64),
        boxes_xyxy=boxes,
        crowd=raw.crowd[rows],
        areas=areas,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        sizes=raw.sizes,
        segments=Segments.packed([raw.outlines[row] for row in rows]) if masks else None,
    )
