"""A class for each pixel: images and maps of the same names, in folders side by side or in one."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from vit.data.annotations.map_classes import of_palette
from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.recognition.heads import (
    image_head,
    mask_colours,
    mask_values,
    sizes_of,
    text_head,
)
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, inner_set, spread, stem
from vit.data.recognition.splits import splits_in

# What folders of maps, and affixes of their names, are called.
MASKS = re.compile(
    r"(?:.*[-_. ]?)(masks?|annot(ation)?s?|labels?|gt|gts|ground_?truths?|seg(mentation)?s?"
    r"|segmentationclass\w*|targets?|labelids|labeltrainids|mattes?)",
    re.I,
)
AFFIX = re.compile(r"[-_. ](?:masks?|labels?|seg|segmentation|gt|l|matte|m|annotation)$", re.I)
NAMES = re.compile(r"class|label|name|categor", re.I)  # in the names of files of classes
LOOKED_AT = 64  # maps whose values are read
SPLIT = "{split}"  # as vit.data.mask_folder has it, which this is imported by
MOST_COLOURS = 64  # of maps that are classes and no pictures
SHARE = 0.5  # of the images that have a map
IGNORED = 255


class Pair(NamedTuple):
    """A folder of images and one of their maps."""

    images: str
    masks: str
    affix: str  # that the maps' names have behind the images'; "" in mask_folder's form
    matched: int
    lonely: int  # images without a map


def masks(listing: Listing) -> list[Layout]:
    pairs = _pairs(listing)
    if not pairs:
        return _within_one(listing)
    train = [pair for pair in pairs if _split_of(pair.images) == "train"]
    first = (train or pairs)[0]
    if first.affix:
        return [_renamed(listing, first)]
    return [_beside(listing, first, [pair for pair in pairs if pair != first])]


def _pairs(listing: Listing) -> list[Pair]:
    found = []
    homes = [place for place in listing.below("") if listing.folders[place].having(SUFFIXES)]
    stems = {place: {stem(n) for n in listing.folders[place].having(SUFFIXES)} for place in homes}
    likely = [place for place in homes if any(MASKS.fullmatch(p) for p in place.split("/"))]
    for masks_at in likely:
        best = None
        for images in homes:
            if images in likely or not _alike(images, masks_at) or inner_set([images, masks_at]):
                continue
            affix, matched = _matched(stems[images], stems[masks_at])
            if matched >= SHARE * len(stems[images]) and (best is None or matched > best.matched):
                lonely = len(stems[images]) - matched
                best = Pair(images, masks_at, affix, matched, lonely)
        if best:
            found.append(best)
    return found


def _alike(images: str, masks_at: str) -> bool:
    """Whether they may belong together: of one folder or a folder of maps, and of one split."""
    first = masks_at.partition("/")[0]
    together = first == images.partition("/")[0] or MASKS.fullmatch(first)
    return bool(together) and _split_of(masks_at) in (None, _split_of(images))


def _split_of(place: str) -> str | None:
    for part in reversed(place.split("/")):
        bare = re.sub(r"(?i)[-_. ]?(masks?|annots?|annotations?|labels?|gt)$", "", part)
        if split := split_of(bare):
            return split
    return None


def _matched(images: set[str], maps: set[str]) -> tuple[str, int]:
    """What maps have behind the images' names, and how many images have a map so."""
    plain = len(images & maps)
    if plain:
        return "", plain
    affixes: Counter[str] = Counter()
    for name in maps:
        for cut in range(1, min(len(name), 24)):
            if name[:-cut] in images:
                affixes[name[-cut:]] += 1
    return affixes.most_common(1)[0] if affixes else ("", 0)


def _within_one(listing: Listing) -> list[Layout]:
    """`photo.jpg` and `photo_mask.png` in one folder."""
    for place in ["", *listing.children("")]:
        if place not in listing.folders or inner_set([place]):
            continue
        names = listing.folders[place].having(SUFFIXES)
        stems = {stem(name) for name in names}
        maps = [n for n in names if (m := AFFIX.search(stem(n))) and stem(n)[: m.start()] in stems]
        affixes = Counter(stem(n)[AFFIX.search(stem(n)).start() :] for n in maps)  # type: ignore[union-attr]
        if not affixes:
            continue
        affix, matched = affixes.most_common(1)[0]
        if matched >= SHARE * (len(names) - matched):
            return [_renamed(listing, Pair(place, place, affix, matched, 0))]
    return []


def _beside(listing: Listing, pair: Pair, others: list[Pair]) -> Layout:
    where = f"{pair.masks}/ beside {pair.images}/"
    evidence = [f"{count(pair.matched, 'map')} of the images' names lie in {where}"]
    odd: list[str] = []
    images, masks_at = pair.images, pair.masks
    splits: dict[str, str] = {}
    above_images, _, last = images.rpartition("/")
    above_masks, _, same = masks_at.rpartition("/")
    if above_images and last == same and split_of(last):  # images/train and masks/train
        images, masks_at = above_images, above_masks
        splits, doubled = splits_in(listing.folders[images].folders)
        odd += [f"{name}/ is left out" for name in doubled]
        others = []
        evidence.append(f"both have the splits {', '.join(splits.values())}")
    elif others and (siblings := _siblings([pair, *others])):
        images, masks_at, splits = siblings
        others = []
        evidence.append(f"each split has its own folders: {', '.join(splits.values())}")
    elif others:
        told = ", ".join(f"{other.images}/ with {other.masks}/" for other in others[:4])
        odd.append(
            f"{told}: left out, since data=mask_folder reads one folder of images and one of "
            "maps; val is set aside from the first"
        )
    if not splits.get("val"):
        evidence.append("no val: a part of train is set aside")
    words = [
        word(f"data.{key}", place)
        for key, place in (("images", images), ("masks", masks_at))
        if place != key
    ]
    words += [word(f"data.{s}_folder", name) for s, name in splits.items() if name != s]
    if pair.lonely:
        odd.append(f"{count(pair.lonely, 'image')} have no map")
    wrong, classes = _classes(listing, pair.masks if SPLIT in masks_at else masks_at, evidence, odd)
    data = ("data=mask_folder", word("data.root", listing.shown), *words, *classes)
    if pair.lonely:
        wrong = wrong or (
            "data=mask_folder is nearest, but wants a map for each image: move those without one "
            "out of the folder."
        )
    sizes = sizes_of(listing.some(pair.images if SPLIT in images else images, SUFFIXES, 24))
    return Layout(
        kind="masks",
        title="masks beside images",
        certainty="likely" if wrong else "certain",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=() if wrong else data,
        commands=() if wrong else commands(data, size_words(sizes, 512), "segmentation"),
        change=wrong,
    )


def _siblings(pairs: list[Pair]) -> tuple[str, str, dict[str, str]] | None:
    """`{split}`, `{split}annot` and split → its name, where all pairs are so; else None."""
    first = pairs[0]
    for part in dict.fromkeys(part for part in first.images.split("/") if split_of(part)):
        images, masks_at = (place.replace(part, SPLIT) for place in (first.images, first.masks))
        names: dict[str, str] = {}
        for pair in pairs:
            name = next((p for p in pair.images.split("/") if split_of(p)), "")
            if (images.replace(SPLIT, name), masks_at.replace(SPLIT, name)) == pair[:2]:
                names.setdefault(str(split_of(name)), name)
        if len(names) == len(pairs) and "train" in names and SPLIT in masks_at:
            return images, masks_at, names
    return None


def _renamed(listing: Listing, pair: Pair) -> Layout:
    """The maps' names have something behind, which data.mask_suffix takes."""
    folder = listing.folders[pair.masks]
    maps = [name for name in folder.having(SUFFIXES) if stem(name).endswith(pair.affix)]
    where = f"{pair.masks}/" if pair.masks else "the same folder"
    evidence = [f"{count(len(maps), 'map')} named as the images with {pair.affix!r} lie in {where}"]
    odd: list[str] = []
    wrong, classes = _classes(listing, pair.masks, evidence, odd, maps)
    places = (("images", pair.images or "."), ("masks", pair.masks or "."))
    data = (
        "data=mask_folder",
        word("data.root", listing.shown),
        *(word(f"data.{key}", place) for key, place in places if place != key),
        word("data.mask_suffix", pair.affix),
        *classes,
    )
    names = [name for name in listing.folders[pair.images].having(SUFFIXES) if name not in maps]
    sizes = sizes_of([listing.path(pair.images, name) for name in spread(names, 24)])
    return Layout(
        kind="masks",
        title="masks named after the images",
        certainty="likely",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=() if wrong else data,
        commands=() if wrong else commands(data, size_words(sizes, 512), "segmentation"),
        change=wrong,
    )


def _classes(
    listing: Listing,
    masks_at: str,
    evidence: list[str],
    odd: list[str],
    maps: list[str] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """Why no kind reads the maps, else ""; and the words for their values."""
    if maps is None:
        files = listing.some(masks_at, SUFFIXES, LOOKED_AT)
    else:
        files = [listing.path(masks_at, name) for name in spread(maps, LOOKED_AT)]
    if not all(file.name.lower().endswith(".png") for file in files):
        ends = ", ".join(sorted({file.suffix.lower() for file in files}))
        lossy = " JPEG changes values: make them anew." if ".jpg" in ends else ""
        return f"data=mask_folder is nearest, but reads PNG, and these maps are {ends}.{lossy}", ()
    modes = {found[1] for file in files if (found := image_head(file))}
    if modes & {"RGB", "RGBA"}:
        return _colours(listing, files, evidence, odd)
    read = [each for each in map(mask_values, files) if each is not None]
    if len(read) < len(files) or not read:
        return f"data=mask_folder wants PNG of 8 bits; these are {', '.join(sorted(modes))}.", ()
    values = sorted(set().union(*read))
    told = ", ".join(map(str, values[:12])) + (" …" if len(values) > 12 else "")
    evidence.append(f"{count(len(files), 'map')} looked at have the values {told}")
    if set(values) <= {0, IGNORED} and IGNORED in values:
        names = f"{{0: background, {IGNORED}: foreground}}"
        return "", (f"data.values={names}",)
    top = max((value for value in values if value != IGNORED), default=0)
    if IGNORED in values:
        evidence.append("255 is taken for where nobody said")
    for name in listing.top.having((".txt",)):
        lines = [line for line in text_head(listing.path("", name)).splitlines() if line.strip()]
        if NAMES.search(name) and len(lines) > top and len(lines) < IGNORED:
            evidence.append(f"{name} names {count(len(lines), 'class')}")
            return "", () if name == "classes.txt" else (word("data.classes_file", name),)
    if len(values) > 64:
        odd.append("so many values are hardly classes, rather grey pictures or objects' numbers")
    void = _apart(values)
    if void is not None:
        top = values[-2]
        odd.append(
            f"{void} lies apart from 0 to {top}, and is taken for where nobody said; if it is a "
            "class, leave data.ignore_value out and name all classes"
        )
    odd.append("nothing names the classes: write their names in place of class0, class1, …")
    names = word("data.classes", [f"class{number}" for number in range(top + 1)])
    return "", (names,) if void is None else (names, word("data.ignore_value", void))


def _apart(values: list[int]) -> int | None:
    """The highest value where all others are 0, 1, … without a gap, and it is not the next."""
    *others, last = values
    gap = len(others) > 1 and others == list(range(len(others))) and last > len(others)
    return last if gap and last != IGNORED else None


def _colours(
    listing: Listing, files: list[Path], evidence: list[str], odd: list[str]
) -> tuple[str, tuple[str, ...]]:
    """As `_classes` for maps whose colours are the classes: by a file that names them, or by the
    colours of some maps."""
    read = [each for each in map(mask_colours, files) if each is not None]
    colours = sorted(set().union(*read))
    if len(read) < len(files) or len(colours) > MOST_COLOURS:
        return (
            "data=mask_folder with data.palette is nearest, but these maps have so many colours "
            "that they are no classes: make them anew, resized by nearest neighbour alone, as PNG.",
            (),
        )
    evidence.append(f"{count(len(files), 'map')} looked at have {count(len(colours), 'colour')}")
    for name in listing.top.having((".csv", ".txt", ".json")):
        try:
            found = of_palette(name, listing.path("", name).parent)
        except ValueError:
            continue
        if set(colours) <= set(found.colours or ()):
            evidence.append(f"{name} names {count(len(found.names), 'colour')}")
            return "", (word("data.palette", name),)
    named = (f"class{at}: [{r},{g},{b}]" for at, (r, g, b) in enumerate(colours))
    odd.append("nothing names the colours: write their names in place of class0, class1, …")
    return "", (f"data.palette={{{', '.join(named)}}}",)
