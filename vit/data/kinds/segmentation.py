"""The base of every kind of semantic segmentation data: pictures with a class for each pixel.

A kind is a dataclass that adds its own keys and says in `read` what there is; its sources are
MappedSources. No `from __future__ import annotations` here: signatures are the schema.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from PIL import Image

from vit.data.annotations.class_maps import MappedFiles, MappedSource
from vit.data.augment_boxes import BoxAugmentation, NoBoxAugmentation
from vit.data.core.images import BadImage
from vit.data.kinds.base import ImageData
from vit.data.kinds.checks import add_samples, evenly_spaced
from vit.data.kinds.segmentation_checks import (
    APART,
    absent_classes,
    add_maps,
    bad_maps,
    odd_turns,
    one_class,
)
from vit.data.kinds.segmentation_loading import SegmentationSplit
from vit.data.kinds.segmentation_transforms import SegmentationTransform
from vit.facts import Facts
from vit.faults import Fault
from vit.structures import IGNORED

MAPS_COUNTED = 1000  # per split; decoding the map of a photo takes some 5 ms


@dataclass(kw_only=True, eq=False)
class SegmentationData(ImageData[MappedSource]):
    """Pictures with a class for each pixel; see ImageData for the keys that all kinds have.

    Loaders give SegmentationBatches, whose labels are IGNORED (255) where nobody said and where a
    picture was filled up. Splits that are set aside are drawn from all images alike: to do so by
    class would take reading every map.

    Args:
        fit: to image_size: "letterbox" keeps the shape and fills up, "squash" does not.
        augment_maps: what training does to pictures with their maps.
    """

    fit: Literal["letterbox", "squash"] = "letterbox"
    augment_maps: BoxAugmentation = field(default_factory=NoBoxAugmentation)

    @property
    def task(self) -> str:
        return "segmentation"

    def transform_for(self, facts: Facts) -> SegmentationTransform:
        """The same for facts that a checkpoint carries; reads no data."""
        return SegmentationTransform(
            facts.image_size, facts.channels, facts.mean, facts.std, self.fit, facts.white
        )

    def _split(self, split: str, training: bool) -> SegmentationSplit:
        source, members = self._source_of(split)
        return SegmentationSplit(
            source=source,
            members=members,
            prepare=self.eval_transform,
            seed=self.seed,
            augment=self.augment_maps if training else None,
            skip_bad=self.on_bad_image == "skip",
        )

    def picture(self, split: str, index: int) -> Image.Image:
        """A sample as a person sees it: the whole picture, 8-bit RGB."""
        source, members = self._source_of(split)
        return source.mapped(int(members[index]), channels=3)[0]

    def class_map(self, split: str, index: int) -> np.ndarray:
        """The whole map of a sample, [height, width], uint8, at the size of its picture."""
        source, members = self._source_of(split)
        return source.class_map(int(members[index]))

    def describe(self) -> dict[str, Any]:
        """The splits as plain values: images, and how many of them show each class.

        `maps_counted` says how many maps were looked at, evenly spread; `ignored` which share of
        their pixels belongs to no class.
        """
        description = super().describe()
        for split in description:
            counted = self._counted[split]
            total = int(counted.sum())
            description[split] |= {
                "maps_counted": len(counted),
                "ignored": round(int(counted[:, -1].sum()) / total, 4) if total else 0.0,
            }
            if len(counted) < description[split]["images"]:
                description[split]["from"] += f"; classes of {len(counted):,} maps"
        return description

    def _identity(self) -> Any:
        return self.contents.class_names

    def _add_to(self, digest: hashlib.blake2b, source: MappedSource, members: np.ndarray) -> None:
        """The names and sizes of the files (of 100,000 a split at most), and the stored bytes of
        256 images and their maps a split, evenly spread."""
        digest.update(members.tobytes())
        add_samples(digest, source, members)
        if isinstance(source, MappedFiles):
            add_maps(digest, source, members, len(self.contents.class_names))

    def _label_faults(self) -> list[Fault]:
        names = self.facts.class_names
        if len(names) >= 2:
            return []
        return [Fault("data", f"only one class, {names[0]!r}; wanted two.")]

    def _bad_images(self, full: bool) -> list[Fault]:
        """Also maps that cannot be read, or show next to nothing: the same share of them."""
        contents = self.contents
        if contents.faults or self._empty_splits():
            return []  # what lacks its map is named; looking for it again would only repeat that
        faults = super()._bad_images(full)
        little: list[Fault] = []
        for name, source in contents.sources.items():
            if isinstance(source, MappedFiles):
                origin = contents.origin[name]
                bad, seen = bad_maps(source, origin, full)
                # What can be read and lies otherwise is not left out in training as what cannot.
                all_of_them = self.on_bad_image == "error" or not seen
                faults += [fault for fault in bad if all_of_them or APART in fault.message]
                if name == "train" and (seen or not bad):
                    little = one_class(source, seen, contents.class_names, origin)
        return faults + little

    def _own_warnings(self) -> list[str]:
        lines = super()._own_warnings()
        contents = self.contents
        if contents.faults:
            return lines  # of images without maps no more can be said
        for name, source in contents.sources.items():
            if isinstance(source, MappedFiles):
                lines += [f"{contents.origin[name]}: {line}" for line in odd_turns(source)]
        return lines + absent_classes(self.describe()["train"])

    @cached_property
    def _counted(self) -> dict[str, np.ndarray]:
        """Split → pixels of each class and, last, of none: [maps, classes + 1], of 1,000 maps."""
        return {split: self._pixels(split) for split in self.splits}

    def _pixels(self, split: str) -> np.ndarray:
        source, members = self._source_of(split)
        classes = self.facts.num_classes

        def count(position: int) -> np.ndarray | None:
            try:
                found = source.class_map(position)
            except BadImage:
                return None  # for the check to name
            pixels = np.bincount(found.ravel(), minlength=IGNORED + 1)
            return np.append(pixels[:classes], pixels[IGNORED])

        looked_at = evenly_spaced(members, MAPS_COUNTED).tolist()
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            rows = [row for row in pool.map(count, looked_at) if row is not None]
        return np.array(rows, dtype=np.int64).reshape(-1, classes + 1)

    def _counts(self, split: str) -> np.ndarray:
        return np.count_nonzero(self._counted[split][:, :-1], axis=0)
