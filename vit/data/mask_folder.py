"""Images with a class for each pixel: ROOT/images/*.jpg and ROOT/masks/*.png of the same names."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vit.data.annotations.class_maps import MappedFiles, meanings
from vit.data.core.sources import Contents
from vit.data.core.split_names import split_of
from vit.data.folder import (
    PHOTO_MEAN,
    PHOTO_STD,
    existing_folder,
    image_files,
    left_out,
    subfolders,
)
from vit.data.formats.plain_text import lines_of
from vit.data.kinds.segmentation import SegmentationData
from vit.faults import Fault, did_you_mean, shorten
from vit.structures import IGNORED

NAMES = re.compile(r"class|label|name|categor", re.IGNORECASE)  # in the names of files of classes


@dataclass(kw_only=True, eq=False)
class MaskFolder(SegmentationData):
    """An image's map is the PNG of the same name under `masks`, whatever folders lie between.

    It has 8 bits per pixel, grey or with a palette, and its values are the classes; 255 is where
    nobody said, unless the keys below give it another meaning. Where ROOT/images/train exists, it
    holds the training images, and the other splits are its neighbours as far as they exist; else
    all images are train, and val is carved from them.

    Args:
        root: the folder; `~` is understood.
        images, masks: the folders in it.
        train_folder, val_folder, test_folder: the names in both; null leaves one out.
        classes: the names of the classes in the order of their values; None reads classes_file.
        classes_file: in root, a name a line.
        reduce_zero_label: the classes begin with value 1, and 0 is where nobody said.
        class_values: the value of each class in a map, such as 0 and 255; None counts from 0.
        ignore_value: the value, or values, where nobody said; 255 is a class where class_values
            has it.
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
    class_values: tuple[int, ...] | None = None
    ignore_value: int | tuple[int, ...] = IGNORED

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("class_values", "ignore_value"):
            given = getattr(self, key)
            values = () if given is None else given if isinstance(given, tuple) else (given,)
            if min(values, default=0) < 0 or max(values, default=0) > 255:
                raise ValueError(f"data.{key}={given}; wanted 0 to 255, as in a PNG of 8 bits.")
            if len(set(values)) < len(values):
                raise ValueError(f"data.{key}={given}; wanted each value once.")
        values = self.class_values or ()
        if values and self.reduce_zero_label:
            raise ValueError(
                "data.class_values says where classes begin, and data.reduce_zero_label=true that "
                "they begin with 1; take one of them."
            )
        if self.ignore_value != IGNORED and (both := sorted({*values} & {*self._ignored})):
            raise ValueError(
                f"data.ignore_value={self.ignore_value}: {both[0]} is in data.class_values too."
            )

    @property
    def _ignored(self) -> tuple[int, ...]:
        given = self.ignore_value
        return given if isinstance(given, tuple) else (given,)

    def read(self) -> Contents[MappedFiles]:
        root = existing_folder(self.root, "data.root")
        images = existing_folder(str(root / self.images), "data.images")
        masks = existing_folder(str(root / self.masks), "data.masks")
        names = self._class_names(root)
        if self.class_values is not None and len(self.class_values) != len(names):
            raise ValueError(
                f"data.class_values={list(self.class_values)}; wanted a value for each of the "
                f"{len(names)} classes {', '.join(names[:5])}."
            )
        meaning = meanings(len(names), self.reduce_zero_label, self._ignored, self.class_values)
        faults: list[Fault] = []
        warnings: list[str] = []
        sources = {}
        for split, inside in self._folders(images).items():
            others: Counter[str] = Counter()
            found = sorted(image_files(images, inside, others))
            if others:
                kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
                warnings.append(f"{images / inside}: left out, as no images: {kinds}.")
            paired, lonely = _paired(masks, inside, found)
            faults += _unpaired(images / inside, masks / inside, found, paired, lonely)
            if lonely and any(paired):
                warnings.append(
                    f"{masks / inside}: {len(lonely)} masks have no image, and are left out: "
                    f"{shorten(lonely)}."
                )
            sources[split] = MappedFiles(
                root=images,
                names=np.array(found, dtype=bytes),
                labels=np.zeros(len(found), dtype=np.int64),  # to tell would take reading all maps
                masks_root=masks,
                mask_names=np.array([name or b"" for name in paired], dtype=bytes),
                meaning=meaning,
            )
        warnings += _folders_left_out(images, self._folders(images))
        return Contents(
            sources,
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
                texts = sorted(path.name for path in root.iterdir() if NAMES.search(path.name))
                near = did_you_mean(self.classes_file, texts)
                raise ValueError(
                    f"data.classes_file: there is no {file}.{near} Write the name of a class a "
                    "line, in the order of their values, or set data.classes=[…]."
                )
            names = tuple(lines_of(file))
            where = str(file)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not 1 <= len(names) < IGNORED:
            came = f"the name {twice[0]!r} comes twice" if twice else f"{len(names)} names"
            raise ValueError(f"{where}: {came}; wanted 1 to {IGNORED - 1} different names.")
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
    images: Path,
    masks: Path,
    found: list[bytes],
    paired: list[bytes | None],
    lonely: list[str],
) -> list[Fault]:
    """Images without a mask, and images that share one."""
    faults = []
    missing = [os.fsdecode(name) for name, mask in zip(found, paired, strict=True) if mask is None]
    if missing and len(missing) == len(found):
        faults.append(Fault(str(masks), _why_none(masks, missing, lonely)))
    elif missing:
        faults.append(
            Fault(str(masks), f"images without a mask: {shorten(missing)} ({len(missing)} in all).")
        )
    users = Counter(os.fsdecode(mask) for mask in paired if mask is not None)
    shared = sorted(mask for mask, count in users.items() if count > 1)
    if shared:
        faults.append(
            Fault(
                str(images),
                f"masks of two images that differ by their ending alone: {shorten(shared)} "
                f"({len(shared)} in all).",
            )
        )
    return faults


def _why_none(masks: Path, images: list[str], lonely: list[str]) -> str:
    """What to say where not one image has a mask: what lies there in their place."""
    start = f"none of {len(images)} images has a mask"
    wanted = f"wanted {PurePosixPath(images[0]).with_suffix('.png')} for {images[0]}"
    if not masks.is_dir():
        return f"{start}: there is no such folder; {wanted}, in folders of the same names."
    if lonely:
        named = (
            f"{start}: the {len(lonely)} there are named otherwise, {shorten(lonely)}; {wanted}."
        )
        stems = {PurePosixPath(name).stem for name in images}
        if stems & {PurePosixPath(name).stem for name in lonely}:
            return f"{named} Images and masks are to lie in folders of the same names."
        affix = _affix(stems, lonely)
        return f"{named} Rename the masks without {affix!r}." if affix else named
    others = Counter(path.suffix.lower() for path in masks.rglob("*") if path.is_file())
    if not others:
        return f"{start}: the folder is empty; {wanted}."
    endings = ", ".join(f"{count} {suffix or 'no ending'}" for suffix, count in others.items())
    lossy = " JPEG changes values: make the maps anew from where they come from."
    return (
        f"{start}: the files there are no PNG ({endings}); {wanted}."
        f"{lossy if others.keys() & {'.jpg', '.jpeg'} else ''}"
    )


def _affix(stems: set[str], masks: list[str]) -> str:
    """What all masks have before or behind the names of images, as in `photo_mask.png`; or ""."""
    named = [PurePosixPath(name).stem for name in masks]
    first = named[0]
    for stem in sorted(stems, key=len, reverse=True):
        for affix in (first.removeprefix(stem), first.removesuffix(stem)):
            bare = {name.removesuffix(affix).removeprefix(affix) for name in named}
            if affix not in ("", first) and len(bare & stems) >= len(stems) / 2:
                return affix
    return ""
