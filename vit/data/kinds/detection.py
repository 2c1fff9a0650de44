"""The base of every kind of detection data: pictures with boxes and, where asked, masks.

A kind is a dataclass that adds its own keys and says in `read` what there is; its sources are
AnnotatedSources. No `from __future__ import annotations` here: signatures are the schema.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from PIL import Image

from vit.data.annotations.packed import AnnotatedSource, Annotations
from vit.data.augment_boxes import BoxAugmentation, NoBoxAugmentation
from vit.data.core.sources import FileSource
from vit.data.kinds.base import ImageData
from vit.data.kinds.checks import add_samples
from vit.data.kinds.detection_checks import image_sizes
from vit.data.kinds.detection_loading import DetectionSplit
from vit.data.kinds.detection_transforms import DetectionTransform, Letterbox
from vit.facts import Facts
from vit.faults import Fault

M = TypeVar("M", bound=AnnotatedSource)


@dataclass(kw_only=True, eq=False)
class DetectionData(ImageData[M], Generic[M]):
    """Pictures with the objects in them; see ImageData for the keys that all kinds have.

    Loaders give FramedBatches. Everything that is drawn is a function of (seed, epoch, sample),
    the size of a step's images, where it varies, of (seed, epoch, step).

    Args:
        fit: to image_size: "letterbox" keeps the shape and fills up, "squash" does not.
        augment_boxes: what training does to pictures with objects.
        mosaic: probability of a training picture coming as one of four, laid two by two.
        mosaic_epochs: only in the first so many epochs; None is all.
        train_sizes: sides in pixels of which each training step draws one; empty is image_size.
        masks: the objects' outlines too, as masks.
        padding: batches say where a picture was filled up, for models that mask it out.
    """

    fit: Literal["letterbox", "squash"] = "letterbox"
    augment_boxes: BoxAugmentation = field(default_factory=NoBoxAugmentation)
    mosaic: float = 0.0
    mosaic_epochs: int | None = None
    train_sizes: tuple[int, ...] = ()
    masks: bool = False
    padding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mosaic <= 1:
            raise ValueError(f"data.mosaic={self.mosaic}; wanted a probability, 0 to 1.")
        if self.mosaic_epochs is not None and self.mosaic_epochs < 0:
            raise ValueError(f"data.mosaic_epochs={self.mosaic_epochs}; wanted 0 or more, or null.")
        if min(self.train_sizes, default=1) < 1:
            raise ValueError(f"data.train_sizes={self.train_sizes}; wanted sides of 1 or more.")

    @property
    def task(self) -> str:
        return "detection"

    def transform_for(self, facts: Facts) -> DetectionTransform:
        return DetectionTransform(
            facts.image_size, facts.channels, facts.mean, facts.std, self.fit, facts.white
        )

    def _split(self, split: str, training: bool) -> DetectionSplit:
        source, members = self._source_of(split)
        return DetectionSplit(
            source=source,
            members=members,
            prepare=self.eval_transform,
            seed=self.seed,
            augment=self.augment_boxes if training else None,
            mosaic=self.mosaic,
            mosaic_epochs=self.mosaic_epochs,
            train_sizes=tuple(self.train_sizes),
            masks=self.masks,
            padding=self.padding,
            skip_bad=self.on_bad_image == "skip",
        )

    def frame(self, split: str, index: int) -> Letterbox:
        """Where evaluation puts a sample; the same as in its batch."""
        height, width = self._sizes(split)[index].tolist()
        return self.eval_transform.frame(height, width)

    def picture(self, split: str, index: int) -> Image.Image:
        """A sample as a person sees it: the whole picture, 8-bit RGB."""
        source, members = self._source_of(split)
        return source.read(int(members[index]), channels=3)

    def most_objects(self, split: str, images: int = 1) -> int:
        """How many objects the fullest images have together: a detector needs as many queries."""
        return int(np.sort(self._per_image(split))[-images:].sum())

    def describe(self) -> dict[str, Any]:
        """The splits as plain values: images, objects of each class, images without any."""
        description = super().describe()
        for split in description:
            counts = self._per_image(split)
            description[split] |= {
                "objects": int(counts.sum()),
                "empty": int((counts == 0).sum()),
                "most_objects": int(counts.max(initial=0)),
            }
        return description

    def ground_truth(self, split: str) -> dict[str, Any]:
        """The split as COCO's dictionary, in pixels of the pictures, for the metric.

        An image's id is its index in the split, which batches carry; categories have the data's
        own ids; annotations are numbered from 1, since pycocotools takes number 0 for no match.
        Crowds are here, and areas are given or computed. With `masks`, run lengths too.
        """
        source, members = self._source_of(split)
        facts, all_of_them = self.facts, source.annotations
        images = [
            {"id": index, "file_name": source.name(position), "height": height, "width": width}
            for index, (position, (height, width)) in enumerate(
                zip(members.tolist(), all_of_them.sizes[members].tolist(), strict=True)
            )
        ]
        annotations: list[dict[str, Any]] = []
        for index, position in enumerate(members.tolist()):
            found = _coco_objects(source, position, facts.class_ids, self.masks)
            for one in found:
                annotations.append({"id": len(annotations) + 1, "image_id": index, **one})
        categories = [
            {"id": number, "name": name}
            for number, name in zip(facts.class_ids, facts.class_names, strict=True)
        ]
        return {"images": images, "annotations": annotations, "categories": categories}

    def too_many_objects(self, num_queries: int) -> str | None:
        """A warning where images hold more objects than a detector has queries, or None.

        In training too: what has no query is not learnt, and in evaluation it cannot be found.
        """
        most = {split: self.most_objects(split) for split in self.splits}
        if self.mosaic:
            most["train"] = self.most_objects("train", images=4)
        fullest = max(most, key=lambda split: most[split])
        if most[fullest] <= num_queries:
            return None
        what = "a mosaic" if self.mosaic and fullest == "train" else "an image"
        return (
            f"{what} of {fullest} holds {most[fullest]} objects, more than the {num_queries} "
            "queries: some are never learnt or found. Take more by head.num_queries; heads that "
            "pick their queries among the tokens want a larger data.image_size for that."
        )

    def _identity(self) -> Any:
        return [self.contents.class_names, self.contents.class_ids, self.masks]

    def _add_to(self, digest: hashlib.blake2b, source: M, members: np.ndarray) -> None:
        """All annotations of files, the names and sizes of the files (of 100,000 a split at most),
        and the stored bytes of 256 a split, evenly spread."""
        digest.update(members.tobytes())
        if isinstance(source, FileSource):
            source.annotations.add_to(digest)
        add_samples(digest, source, members)

    def _label_faults(self) -> list[Fault]:
        if self.contents.faults or self._empty_splits():
            return []  # of which annotations were left out, or that there is no image
        counts = self.describe()
        faults = []
        if not counts["train"]["objects"]:
            faults.append(Fault("data", "no training image holds any object."))
        if "val" in counts and not counts["val"]["objects"]:
            message = (
                "no image of val holds an object to be found, so nothing could be measured there."
            )
            faults.append(Fault("data", message))
        return faults

    def _repeated_images(self, full: bool) -> list[Fault]:
        # Paths that come twice were judged with the annotations, by the ids of their images.
        return [] if self.contents.faults else self._copied_images(full)

    def _bad_images(self, full: bool) -> list[Fault]:
        faults = super()._bad_images(full)
        if self.on_bad_image == "skip":
            return faults
        for origin, source in self._files():
            if wrong := image_sizes(source, full)[0]:
                message = f"{len(wrong)} images have another size, such as {wrong[0]}"
                faults.append(Fault(origin, message))
        return faults

    def _own_warnings(self) -> list[str]:
        sizes = [
            f"{origin}: {line}"
            for origin, source in self._files()
            for line in image_sizes(source)[1]
        ]
        return [*super()._own_warnings(), *sizes]

    def _files(self) -> list[tuple[str, AnnotatedSource]]:
        """The sources that are of files, each with where it is from."""
        contents = self.contents
        return [
            (contents.origin[name], source)
            for name, source in contents.sources.items()
            if isinstance(source, FileSource)
        ]

    def _annotations(self, split: str) -> tuple[Annotations, np.ndarray]:
        source, members = self._source_of(split)
        return source.annotations, members

    def _sizes(self, split: str) -> np.ndarray:
        annotations, members = self._annotations(split)
        return annotations.sizes[members]

    def _per_image(self, split: str) -> np.ndarray:
        """The number of objects of each image, crowds apart."""
        annotations, members = self._annotations(split)
        apart = annotations.images[~annotations.crowd]
        return np.bincount(apart, minlength=len(annotations.sizes))[members]

    def _counts(self, split: str) -> np.ndarray:
        annotations, members = self._annotations(split)
        here = np.zeros(len(annotations.sizes), dtype=bool)
        here[members] = True
        counted = here[annotations.images] & ~annotations.crowd
        return np.bincount(annotations.labels[counted], minlength=self.facts.num_classes)


def _coco_objects(
    source: AnnotatedSource, position: int, class_ids: tuple[int, ...], masks: bool
) -> list[dict[str, Any]]:
    """The objects of an image as COCO writes them, but for their numbers."""
    marked = source.annotations.of(position)
    outlines = [{"segmentation": runs} for runs in source.run_lengths(position)] if masks else []
    found = []
    for row, (x0, y0, x1, y1) in enumerate(marked.boxes_xyxy.tolist()):
        found.append(
            {
                "category_id": class_ids[int(marked.labels[row])],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(marked.areas[row]),
                "iscrowd": int(marked.crowd[row]),
                **(outlines[row] if masks else {}),
            }
        )
    return found
