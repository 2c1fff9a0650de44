"""A folder for each class, with splits above them or without; ImageNet's names; images alone."""

from __future__ import annotations

import re
import shlex

from vit.data.core.images import SUFFIXES
from vit.data.core.split_names import split_of
from vit.data.recognition.heads import sizes_of
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, join, spread
from vit.data.recognition.splits import splits_in

WORDNET = re.compile(r"n\d{8}")
# Folders of these names are parts of a set, and hardly classes.
PARTS = re.compile(
    r"(images?|imgs?|photos?|pictures?|jpegimages|masks?|labels?|annotations?|annots?|imagesets"
    r"|segmentation\w*|ground_?truth|gt|targets?|data|rgb)",
    re.I,
)
ENOUGH = 2  # folders with images that look like classes
NAMED = 6  # classes that are spelt out


def _are_of_splits(names: list[str]) -> bool:
    """`train trainannot val valannot`: each begins with the name of a split that is there."""
    splits = [name.lower() for name in names if split_of(name)]
    return bool(splits) and all(name.lower().startswith(tuple(splits)) for name in names)


def class_folders(listing: Listing) -> list[Layout]:
    splits, doubled = splits_in(listing.top.folders)
    deep = {split: name for split, name in splits.items() if _classes(listing, name)}
    if "train" in deep and not all(map(PARTS.fullmatch, _classes(listing, deep["train"]))):
        return [_parted(listing, deep, doubled)]
    classes = _classes(listing, "")
    if inner := _splits_within(listing, classes):
        return [inner]
    if len(classes) < ENOUGH or all(split_of(name) for name in classes):
        return []
    if all(PARTS.fullmatch(name) for name in classes) or _are_of_splits(classes):
        return []
    data = ("data=folder", word("data.root", listing.shown))
    parts = [name for name in classes if PARTS.fullmatch(name)]
    direct = [n for n in classes if (f := listing.folders.get(n)) and f.having(SUFFIXES)]
    deep_down = len(direct) < len(classes) / 2
    odd = _oddities(listing, "", classes)
    if parts:
        odd.append(f"{', '.join(parts)}: called as parts of a set are, and taken for classes")
    return [
        Layout(
            kind="class_folders",
            title="classes in folders",
            certainty="possible"
            if parts or deep_down
            else "certain"
            if len(classes) > ENOUGH
            else "likely",
            evidence=(_told(listing, "", classes), "no folder of a split: val is set aside"),
            oddities=tuple(odd),
            data=data,
            commands=commands(data, _size(listing), "classification"),
        )
    ]


def _parted(listing: Listing, splits: dict[str, str], doubled: list[str]) -> Layout:
    train = _classes(listing, splits["train"])
    wordnet = all(WORDNET.fullmatch(name) for name in train) and set(splits) >= {"train", "val"}
    imagenet = wordnet and (splits["train"], splits["val"]) == ("train", "val")
    if imagenet:
        data: tuple[str, ...] = ("data=imagenet", word("data.root", listing.shown))
    else:
        words = [
            word(f"data.{split}_folder", name) for split, name in splits.items() if name != split
        ]
        # A name of its own that has no classes would be asked about.
        others, _ = splits_in(set(listing.top.folders) - set(splits.values()))
        words += [f"data.{split}_folder=null" for split in others if split not in splits]
        data = ("data=folder", word("data.root", listing.shown), *words)
    evidence = [_told(listing, name, _classes(listing, name)) for name in splits.values()]
    odd = [f"{name}/ is left out: another folder is taken for that split" for name in doubled]
    for split, name in splits.items():
        if split != "train" and (new := sorted(set(_classes(listing, name)) - set(train))):
            odd.append(f"{name}/ has classes that {splits['train']}/ lacks: {_few(new)}")
    odd += _oddities(listing, splits["train"], train)
    if "val" not in splits:
        evidence.append("no val: a part of train is set aside")
    if imagenet:
        evidence.append("data=imagenet keeps val for the test, and sets a hundredth of train aside")
    size = () if imagenet else _size(listing)
    return Layout(
        kind="imagenet" if wordnet else "class_folders",
        title="ImageNet's folders" if wordnet else "classes in folders, parted into splits",
        certainty="certain",
        evidence=tuple(evidence),
        oddities=tuple(odd),
        data=data,
        commands=commands(data, size, "classification"),
    )


def _splits_within(listing: Listing, classes: list[str]) -> Layout | None:
    """CLASS/train/*.jpg: read as it is, the splits would be mixed."""
    within = [
        splits_in(inside.folders)[0] for name in classes if (inside := listing.folders.get(name))
    ]
    if len(classes) < ENOUGH or not within or not all("train" in one for one in within):
        return None
    return Layout(
        kind="class_folders",
        title="classes in folders that hold the splits",
        certainty="likely",
        evidence=(_told(listing, "", classes), f"each holds {', '.join(within[0].values())}/"),
        change="data=folder wants the splits above the classes: ROOT/train/CLASS/*.jpg, and not "
        "ROOT/CLASS/train/*.jpg. Move the folders; as they are, all would be trained on.",
    )


def images_alone(listing: Listing) -> list[Layout]:
    """Images that no name parts into classes: nothing to learn from but to look at."""
    number = listing.number("", SUFFIXES)
    if not number:
        return []
    homes = [place for place in listing.below("") if listing.folders[place].having(SUFFIXES)]
    files = listing.folders[homes[0]].having(SUFFIXES)
    words = {m[1].lower() for name in files if (m := re.match(r"([A-Za-z]+)[-_. ]*\d+\.", name))}
    odd = []
    if 2 <= len(words) <= max(2, len(files) // 2):
        odd.append(
            f"the files' names begin with {_few(sorted(words))}: if these are classes, move each "
            "into a folder of its own (data=folder) or list path,label in a .csv (data=table)"
        )
    example = shlex.quote(listing.at(homes[0], files[0]))
    where = (
        f"in {', '.join(f'{home}/' for home in homes[:3])}"
        if homes != [""]
        else "beside each other"
    )
    return [
        Layout(
            kind="images",
            title="images without labels",
            certainty="likely" if len(homes) == 1 else "possible",
            evidence=(f"{count(number, 'image')} {where}; no folder or file says what they show",),
            oddities=tuple(odd),
            change="Nothing can be trained without labels. data=folder is nearest: a folder for "
            "each class, ROOT/CLASS/*.jpg; or data=table with a .csv of path,label. A trained run "
            f"says what they show: vit predict RUN_DIR {example}",
        )
    ]


def _classes(listing: Listing, place: str) -> list[str]:
    """The folders in a folder, where images lie in some of them and none beside."""
    inside = listing.folders.get(place)
    if inside is None:
        return []
    known = [name for name in inside.folders if join(place, name) in listing.folders]
    full = [name for name in known if listing.number(join(place, name), SUFFIXES)]
    if not full or len(full) < len(known) / 2:
        return []
    return list(inside.folders) if place else full


def _told(listing: Listing, place: str, classes: list[str]) -> str:
    """`train/ holds 3 folders with 24 images: cat 8, dog 8, owl 8`."""
    counts = {name: listing.number(join(place, name), SUFFIXES) for name in classes}
    named = ", ".join(f"{name} {counts[name]:,}" for name in classes[:NAMED])
    more = f" and {len(classes) - NAMED:,} more" if len(classes) > NAMED else ""
    least = "at least " if listing.cut else ""
    images = count(sum(counts.values()), "image")
    folders = count(len(classes), "folder")
    whose = f"{place}/ holds {folders} with" if place else f"{folders} hold"
    return f"{whose} {least}{images}: {named}{more}"


def _oddities(listing: Listing, place: str, classes: list[str]) -> list[str]:
    odd = []
    if not listing.cut:
        empty = [name for name in classes if not listing.number(join(place, name), SUFFIXES)]
        if empty:
            odd.append(f"folders without an image: {_few(empty)}; a class must have some")
    counts = [listing.number(join(place, name), SUFFIXES) for name in classes]
    if min(counts) and max(counts) >= 10 * min(counts) and not listing.cut:
        odd.append(
            f"the largest class has {max(counts) // min(counts)} times as many images as the "
            "smallest: data.class_weights=balanced weighs them"
        )
    nested = [
        name for name in classes if (f := listing.folders.get(join(place, name))) and f.folders
    ]
    if nested:
        inner = listing.folders[join(place, nested[0])].folders
        odd.append(
            f"{nested[0]}/ holds folders of its own ({_few(list(inner))}): their images are taken "
            f"for the class {nested[0]}"
        )
    loose = listing.folders[place].having(SUFFIXES)
    if loose:
        odd.append(f"{count(len(loose), 'image')} beside the folders would be left out")
    return odd


def _size(listing: Listing) -> tuple[str, ...]:
    return size_words(sizes_of(listing.some("", SUFFIXES, 24)), 224)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(spread(names, NAMED) if len(names) <= NAMED else names[:NAMED]) + more
