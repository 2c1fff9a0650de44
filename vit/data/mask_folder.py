"""Images with a class for each pixel: ROOT/images/*.jpg and ROOT/masks/*.png of the same names."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vit.data.annotation_checks import few
from vit.data.class_maps import MappedFiles, SegmentationContents
from vit.data.folder import (
    PHOTO_MEAN,
    PHOTO_STD,
    existing_folder,
    image_files,
    left_out,
    subfolders,
)
from vit.data.plain_text import lines_of
from vit.data.segmentation import SegmentationData
from vit.data.split_names import split_of
from vit.faults import Fault, did_you_mean
from vit.structures import IGNORED


@dataclass(kw_only=True, eq=False)
class MaskFolder(SegmentationData):
    """An image's map is the PNG of the same name under `masks`, whatever folders lie between.

    It has 8 bits per pixel, grey or with a palette, and its values are the classes; 255 is where
    nobody said. Where ROOT/images/train exists, it holds the training images, and the other splits
    are its neighbours as far as they exist; else all images are train, and val is carved from them.

    Args:
        root: the folder; `~` is understood.
        images, masks: the folders in it.
        train_folder, val_folder, test_folder: the names in both; null leaves one out.
        classes: the names of the classes in the order of their values; None reads classes_file.
        classes_file: in root, a name a line.
        reduce_zero_label: the classes begin with value 1, and 0 is where nobody said.
    """

    root: str
    images: str = "images"
    masks: str = "masks"
    train_folder: str = "train"
    val_folder: str | None = "val"
    test_folder: str | None = "test"
    classes: tuple[str, ...] | None = None
    classes_file: str = "classes.txt"
    reduce_zero_label: bool = False

    def read(self) -> SegmentationContents:
        root = existing_folder(self.root, "data.root")
        images = existing_folder(str(root / self.images), "data.images")
        masks = existing_folder(str(root / self.masks), "data.masks")
        names = self._class_names(root)
        faults: list[Fault] = []
        warnings: list[str] = []
        sources = {}
        for split, inside in self._folders(images).items():
            others: Counter[str] = Counter()
            found = sorted(image_files(images, inside, others))
            if others:
                told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
                warnings.append(f"{images / inside}: left out, as no images: {told}.")
            paired, lonely = _paired(masks, inside, found)
            faults += _unpaired(images / inside, masks / inside, found, paired)
            if lonely:
                warnings.append(
                    f"{masks / inside}: {len(lonely)} masks have no image, and are left out: "
                    f"{few(lonely)}."
                )
            sources[split] = MappedFiles(
                root=images,
                names=np.array(found, dtype=bytes),
                labels=np.zeros(len(found), dtype=np.int64),  # to tell would take reading all maps
                masks_root=masks,
                mask_names=np.array([name or b"" for name in paired], dtype=bytes),
                num_classes=len(names),
                zero_ignored=self.reduce_zero_label,
            )
        warnings += _folders_left_out(images, self._folders(images))
        return SegmentationContents(
            sources={**sources},
            class_names=names,
            channels=3,
            mean=PHOTO_MEAN,
            std=PHOTO_STD,
            origin={split: str(images / inside) for split, inside in self._folders(images).items()},
            faults=faults,
            warnings=warnings,
        )

    def _folders(self, images: Path) -> dict[str, str]:
        """Split → its folder in `images`; only train, and "", where there are no splits."""
        present = {folder.name for folder in subfolders(images)}
        wanted = {"train": self.train_folder, "val": self.val_folder, "test": self.test_folder}
        found = {split: name for split, name in wanted.items() if name in present}
        for name in sorted(present - set(found.values())):
            split = split_of(name)
            # A folder of a split that was taken for more training images would spoil every number.
            if split and split not in found and wanted[split] is not None:
                leave = "" if split == "train" else ", or to null to leave it out"
                raise ValueError(
                    f"{images} holds {name!r}, which looks like a split; set "
                    f"data.{split}_folder={name}{leave}."
                )
        if "train" in found:
            return {split: name for split, name in found.items() if name}
        if found:
            raise ValueError(
                f"{images} holds {', '.join(map(repr, found.values()))} but no "
                f"{self.train_folder!r}; set data.train_folder to the one to train on."
            )
        return {"train": ""}

    def _class_names(self, root: Path) -> tuple[str, ...]:
        names = self.classes
        where = "data.classes"
        if names is None:
            file = root / self.classes_file
            if not file.is_file():
                near = did_you_mean(self.classes_file, sorted(path.name for path in root.iterdir()))
                raise ValueError(
                    f"data.classes_file: there is no {file}.{near} Write the name of a class a "
                    "line, in the order of their values, or set data.classes=[…]."
                )
            names = tuple(lines_of(file))
            where = str(file)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not 1 <= len(names) < IGNORED:
            told = f"the name {twice[0]!r} comes twice" if twice else f"{len(names)} names"
            raise ValueError(f"{where}: {told}; wanted 1 to {IGNORED - 1} different names.")
        return tuple(names)


def _folders_left_out(images: Path, folders: dict[str, str]) -> list[str]:
    """A line for each folder, and one for images, that lie beside those of the splits."""
    if folders == {"train": ""}:
        return []
    beside = sorted({folder.name for folder in subfolders(images)} - set(folders.values()))
    lines = []
    for name in beside:
        count = sum(1 for _ in image_files(images, name))
        lines.append(f"{images}: the folder {name!r} with {count:,} images is left out.")
    return [*lines, *left_out(images, Counter())]


def _paired(masks: Path, inside: str, images: list[bytes]) -> tuple[list[bytes | None], list[str]]:
    """The mask of each image, under `masks`, or None; and the masks that are nobody's."""
    there = {_stem(name): name for name in _pngs(masks, inside)}
    stems = [_stem(name) for name in images]
    lonely = [os.fsdecode(there[stem]) for stem in sorted(there.keys() - set(stems))]
    return [there.get(stem) for stem in stems], lonely


def _pngs(masks: Path, inside: str) -> Iterator[bytes]:
    if not (masks / inside).is_dir():
        return iter(())
    return (name for name in image_files(masks, inside) if name.lower().endswith(b".png"))


def _stem(name: bytes) -> str:
    return str(PurePosixPath(os.fsdecode(name)).with_suffix(""))


def _unpaired(
    images: Path, masks: Path, found: list[bytes], paired: list[bytes | None]
) -> list[Fault]:
    """Images without a mask, and images that share one."""
    faults = []
    missing = [os.fsdecode(name) for name, mask in zip(found, paired, strict=True) if mask is None]
    if missing:
        faults.append(
            Fault(str(masks), f"images without a mask: {few(missing)} ({len(missing)} in all).")
        )
    users = Counter(os.fsdecode(mask) for mask in paired if mask is not None)
    shared = sorted(mask for mask, count in users.items() if count > 1)
    if shared:
        faults.append(
            Fault(
                str(images),
                f"masks of two images that differ by their ending alone: {few(shared)} "
                f"({len(shared)} in all).",
            )
        )
    return faults
