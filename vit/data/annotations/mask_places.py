"""Where the images and masks of each split lie: in folders of one folder, or in siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from vit.data.core.split_names import split_of
from vit.data.folder import existing_folder, image_files, left_out, subfolders

SPLIT = "{split}"  # in data.images and data.masks, where the splits have folders of their own


class Place(NamedTuple):
    """Where a split's images and masks lie: in the folder `inside` of both."""

    images: Path
    masks: Path
    inside: str = ""


def folders_within(images: Path, wanted: Mapping[str, str | None]) -> dict[str, str]:
    """Split → its folder in `images`; only train, and "", where there are no splits.

    `wanted` has their names, None of one that is left out. Raises ValueError where a folder looks
    like a split by another name.
    """
    present = {folder.name for folder in subfolders(images)}
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
            f"{wanted['train']!r}; set data.train_folder to the one to train on."
        )
    return {"train": ""}


def siblings(
    root: Path, images: str, masks: str, wanted: Mapping[str, str | None], usual: Mapping[str, str]
) -> dict[str, Place]:
    """Split → its own folders, by patterns with {split} for the names in `wanted`.

    Of val and test the `usual` names may be absent; raises ValueError where others are, or where a
    folder looks like a split by another name.
    """
    found = {}
    for split, name in wanted.items():
        if name is None:
            continue
        own, of_masks = (root / place.replace(SPLIT, name) for place in (images, masks))
        if own.is_dir():
            found[split] = Place(own, existing_folder(str(of_masks), "data.masks"))
            continue
        near = [other for other in _in_place(root, images) if split_of(other) == split]
        if not near and split != "train" and name == usual[split]:
            continue
        words = f"set data.{split}_folder={near[0]}" if near else f"wanted a folder for {split}"
        leave = "" if split == "train" else f"; data.{split}_folder=null is a set without it"
        raise ValueError(f"data.images={images}: {own} does not exist; {words}{leave}.")
    return found


def _in_place(root: Path, pattern: str) -> list[str]:
    """What stands for {split} in the names of folders that are there."""
    before, _, behind = pattern.partition(SPLIT)
    above, _, front = before.rpartition("/")
    own, _, inner = behind.partition("/")
    home = root / above
    names = [folder.name for folder in subfolders(home)] if home.is_dir() else []
    return [
        name[len(front) : len(name) - len(own)]
        for name in names
        if len(name) > len(front + own) and name.startswith(front) and name.endswith(own)
        if (home / name / inner.replace(SPLIT, name)).is_dir()
    ]


def folders_left_out(images: Path, folders: dict[str, str]) -> list[str]:
    """A line for each folder, and one for images, that lie beside those of the splits."""
    if folders == {"train": ""}:
        return []
    beside = sorted({folder.name for folder in subfolders(images)} - set(folders.values()))
    lines = []
    for name in beside:
        count = sum(1 for _ in image_files(images, name))
        lines.append(f"{images}: the folder {name!r} with {count:,} images is left out.")
    return [*lines, *left_out(images, Counter())]
