"""Which mask is which image's, by their names; and what to say of those that have none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vit.data.folder import image_files
from vit.faults import Fault, shorten


def paired(
    masks: Path, inside: str, images: list[bytes], image_suffix: str = "", mask_suffix: str = ""
) -> tuple[list[bytes | None], list[str]]:
    """The mask of each image, under `masks`, or None; and the masks that are nobody's.

    The suffixes are what the names have behind what they share, before their endings.
    """
    there = {_bare(name, mask_suffix): name for name in _pngs(masks, inside, mask_suffix)}
    stems = [_bare(name, image_suffix) for name in images]
    lonely = [os.fsdecode(there[stem]) for stem in sorted(there.keys() - set(stems))]
    return [there.get(stem) for stem in stems], lonely


def ends_with(name: bytes, suffix: str) -> bool:
    """Whether a file's name has that before its ending."""
    return _stem(name).endswith(suffix)


def _bare(name: bytes, suffix: str) -> str:
    return _stem(name).removesuffix(suffix)


def _pngs(masks: Path, inside: str, suffix: str) -> Iterator[bytes]:
    if not (masks / inside).is_dir():
        return iter(())
    return (
        name
        for name in image_files(masks, inside)
        if name.lower().endswith(b".png") and ends_with(name, suffix)
    )


def _stem(name: bytes) -> str:
    return str(PurePosixPath(os.fsdecode(name)).with_suffix(""))


def unpaired(
    images: Path,
    masks: Path,
    found: list[bytes],
    pairs: list[bytes | None],
    lonely: list[str],
) -> list[Fault]:
    """Images without a mask, and images that share one."""
    faults = []
    missing = [os.fsdecode(name) for name, mask in zip(found, pairs, strict=True) if mask is None]
    if missing and len(missing) == len(found):
        faults.append(Fault(str(masks), _why_none(masks, missing, lonely)))
    elif missing:
        faults.append(
            Fault(str(masks), f"images without a mask: {shorten(missing)} ({len(missing)} in all).")
        )
    users = Counter(os.fsdecode(mask) for mask in pairs if mask is not None)
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
        behind = affix and PurePosixPath(lonely[0]).stem.endswith(affix)
        take = f", or take them so: data.mask_suffix={affix}" if behind else ""
        return f"{named} Rename the masks without {affix!r}{take}." if affix else named
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
