"""Pascal VOC's XML: a file per image, in a folder of its own or beside the images."""

from __future__ import annotations

import re

from vit.data.core.images import SUFFIXES
from vit.data.recognition.heads import head, sizes_of, text_head
from vit.data.recognition.layout import Layout, commands, count, size_words, word
from vit.data.recognition.listing import Listing, inner_set, spread, stem
from vit.data.recognition.splits import splits_in

LOOKED_AT = 8  # files that must say they are VOC's
HOMES = re.compile(r"annot|label|xml", re.I)  # how folders begin that may hold files deeper
USUAL = {"annotations": "Annotations", "images": "JPEGImages", "lists": "ImageSets/Main"}


def voc(listing: Listing) -> list[Layout]:
    homes = [place for place in listing.below("") if listing.folders[place].endings[".xml"]]
    homes = [place for place in homes if "/" not in place or HOMES.match(place)]
    homes = [place for place in homes if _says_so(listing, place)]
    if not homes:
        return []
    train, _ = splits_in(homes)
    home = train.get("train", homes[0])
    images, covered = _images_of(listing, home)
    if images is not None and inner_set([home, images]):
        return []
    number = listing.folders[home].endings[".xml"]
    where = f"in {home}/" if home else "beside the images"
    evidence = [f"{count(number, 'VOC file')} (.xml) lie {where}"]
    if images is None:
        return [
            Layout(
                kind="voc",
                title="boxes in Pascal VOC's XML",
                certainty="likely",
                evidence=tuple(evidence),
                change="data=voc is nearest, but no folder holds images of the files' names; put "
                f"them into {listing.at('JPEGImages')}.",
            )
        ]
    evidence.append(f"their images lie in {images + '/' if images else 'the same folder'}")
    odd = []
    if covered < 1:
        odd.append(f"{1 - covered:.0%} of the files have no image of their name")
    if others := [place for place in homes if place != home]:
        odd.append(
            f"{', '.join(f'{place}/' for place in others[:5])} hold VOC files too and are left "
            "out: data=voc reads one folder; val is set aside from it"
        )
    words = [
        word(f"data.{key}", place or ".")
        for key, place in (("annotations", home), ("images", images))
        if place != USUAL[key]
    ]
    words += _lists(listing, home, evidence, odd)
    data = ("data=voc", word("data.root", listing.shown), *words)
    sizes = sizes_of([listing.path(images, n) for n in _some_images(listing, images)])
    return [
        Layout(
            kind="voc",
            title="boxes in Pascal VOC's XML",
            certainty="certain",
            evidence=tuple(evidence),
            oddities=tuple(odd),
            data=data,
            commands=commands(data, size_words(sizes, 640), "detection"),
        )
    ]


def _says_so(listing: Listing, place: str) -> bool:
    names = spread(listing.folders[place].having((".xml",)), LOOKED_AT)
    return any(b"<annotation" in head(listing.path(place, name), 4096) for name in names)


def _images_of(listing: Listing, home: str) -> tuple[str | None, float]:
    """The folder with images of the files' names, and what share of the files has one there."""
    stems = {stem(name) for name in listing.folders[home].having((".xml",))}
    best: tuple[float, str | None] = (0.0, None)
    for place in listing.below(""):
        here = {stem(name) for name in listing.folders[place].having(SUFFIXES)}
        share = len(stems & here) / len(stems)
        if share > best[0]:
            best = (share, place)
    return best[1], best[0]


def _some_images(listing: Listing, place: str) -> list[str]:
    return spread(listing.folders[place].having(SUFFIXES), 24)


def _lists(listing: Listing, home: str, evidence: list[str], odd: list[str]) -> list[str]:
    """The words for lists of names, one a split, wherever they lie."""
    stems = {stem(name) for name in listing.folders[home].having((".xml",))}
    places = sorted(listing.below(""), key=lambda place: (place != USUAL["lists"], place))
    for place in places:
        names, _ = splits_in(stem(n) for n in listing.folders[place].having((".txt",)))
        if place == home or "train" not in names:
            continue
        file = listing.path(place, f"{names['train']}.txt")
        first = [line.split()[0] for line in text_head(file).splitlines()[:50] if line.split()]
        if not first or sum(name in stems for name in first) < len(first) / 2:
            continue
        evidence.append(f"lists of {', '.join(names.values())} lie in {place or '.'}/")
        words = [] if place == USUAL["lists"] else [word("data.lists", place or ".")]
        return words + [
            word(f"data.{split}_list", name) for split, name in names.items() if name != split
        ]
    if USUAL["lists"] in listing.folders:
        found = [stem(name) for name in listing.folders[USUAL["lists"]].having((".txt",))]
        whole = [name for name in found if name.lower() in ("trainval", "all", "default")]
        if whole:
            odd.append(f"{USUAL['lists']}/ has no list of train, only {', '.join(found[:5])}")
            return [word("data.train_list", whole[0]), "data.val_list=null"]
        odd.append(f"{USUAL['lists']}/ has no list of train; all files are taken for it")
        return ["data.lists=none"]
    evidence.append("no lists of splits: val is set aside")
    return []
