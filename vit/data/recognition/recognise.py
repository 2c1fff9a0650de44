"""`recognise(path)`: what a folder or file is, all that it may be, the surest first.

A further layout is one function from a Listing to Layouts, and its name in a table below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vit.data.core.file_names import expanded
from vit.data.core.images import SUFFIXES
from vit.data.formats.archives import is_archive
from vit.data.recognition.box_tables import box_tables
from vit.data.recognition.class_folders import class_folders, images_alone
from vit.data.recognition.coco import coco
from vit.data.recognition.label_tables import label_tables
from vit.data.recognition.layout import SURER, Layout, count
from vit.data.recognition.listing import Inside, Listing, ending, listing_of
from vit.data.recognition.masks import masks
from vit.data.recognition.ours import runs
from vit.data.recognition.sounds import sounds
from vit.data.recognition.stored import archives, parquet_images, saved, single_archive
from vit.data.recognition.text_tables import text_tables
from vit.data.recognition.voc import voc
from vit.data.recognition.yolo import yolo

Recogniser = Callable[[Listing], list[Layout]]
# Each table is asked only where none before it had an answer that is certain or likely: what a
# program wrote tells more than the names of folders do, and these more than endings.
WRITTEN: tuple[Recogniser, ...] = (runs, saved, parquet_images, coco, voc, yolo, box_tables)
ARRANGED: tuple[Recogniser, ...] = (masks, label_tables, class_folders, sounds, text_tables)
LEFT: tuple[Recogniser, ...] = (archives, images_alone)
DEEPEST = 3  # folders below the one that was named, where a set may begin
MOST_LOOKS = 40  # folders that are looked at by themselves
POOR = ("images", "archive", "empty", "unknown")  # of which a folder further in tells nothing
MOST_SETS = 6  # of several that lie side by side
ASIDE = (".md", ".txt", ".pdf", ".html", ".rst", "", ".log", ".sh", ".py")  # what lies beside data


@dataclass(frozen=True)
class Recognised:
    """What a path holds: `layouts`, the surest first, and `remarks` on the looking itself."""

    path: str
    layouts: tuple[Layout, ...]
    remarks: tuple[str, ...] = ()

    @property
    def ambiguous(self) -> bool:
        """Whether two or more are as sure as the first, or nearly."""
        sure = [SURER.index(one.certainty) for one in self.layouts]
        return len(sure) > 1 and sure[0] < 2


def recognise(path: str | Path) -> Recognised:
    """Raises OSError where there is no such path, or it cannot be listed."""
    place = expanded(path)
    if not place.is_dir():
        return _of_file(place, str(path))
    listing = listing_of(place)
    listing.shown = str(path).rstrip("/") or "/"
    layouts = recognised_in(listing)
    return Recognised(str(path), tuple(layouts), tuple(_remarks(listing)))


def recognised_in(listing: Listing, left: list[int] | None = None, depth: int = 0) -> list[Layout]:
    """What is in a folder, or else in those that it holds, of which `left[0]` are looked at."""
    left = [MOST_LOOKS] if left is None else left
    layouts: list[Layout] = []
    for table in (WRITTEN, ARRANGED):
        layouts += [one for recogniser in table for one in recogniser(listing)]
        if any(one.certainty != "possible" for one in layouts):
            return _sorted(_placed(listing, layouts))
    inner = [name for name in listing.top.folders if name in listing.folders]
    if depth < DEEPEST:
        deeper = []
        for name in inner:
            if left[0] <= 0:
                break
            left[0] -= 1
            found = recognised_in(listing.under(name), left, depth + 1)
            deeper += found
        sure = [one for one in deeper if one.certainty != "possible" and one.kind not in POOR]
        if sure:
            if any(one.certainty == "certain" and one.kind != "class_folders" for one in sure):
                layouts = [one for one in layouts if one.kind != "class_folders"]
            found = sure if len(sure) < 2 else _side_by_side(sure)
            return _sorted([*found, *_placed(listing, layouts)])
    layouts += [one for recogniser in LEFT for one in recogniser(listing)]
    return _sorted(_placed(listing, layouts or [_nothing(listing)]))


def _placed(listing: Listing, layouts: list[Layout]) -> list[Layout]:
    return [replace(one, place=one.place or listing.shown) for one in layouts]


def _side_by_side(layouts: list[Layout]) -> list[Layout]:
    """Several sets below one folder: which is meant, nobody can tell from here."""
    return [replace(one, certainty="likely") for one in layouts[:MOST_SETS]]


def _sorted(layouts: list[Layout]) -> list[Layout]:
    """The surest first; beside one that is certain, what is but possible is left out."""
    found = sorted(layouts, key=lambda one: -SURER.index(one.certainty))
    if found and found[0].certainty == "certain":
        found = [one for one in found if one.certainty != "possible"]
    return found


def _nothing(listing: Listing) -> Layout:
    number = sum(len(inside.files) for inside in listing.folders.values())
    if not number:
        return Layout(
            kind="empty",
            title="an empty folder" if not listing.top.folders else "folders without a file",
            certainty="certain",
            evidence=(f"{count(len(listing.folders) - 1, 'folder')} and no file",),
            change="There is nothing to learn from; was it unpacked, downloaded, mounted?",
        )
    endings: dict[str, int] = {}
    for inside in listing.folders.values():
        for name, times in inside.endings.items():
            endings[name] = endings.get(name, 0) + times
    most = sorted(endings, key=lambda name: -endings[name])[:6]
    told = ", ".join(f"{endings[name]:,} {name or 'without ending'}" for name in most)
    return Layout(
        kind="unknown",
        title="nothing that a kind of data reads",
        certainty="certain",
        evidence=(f"{count(number, 'file')}: {told}",),
        change="vit keys data lists what is read, vit keys data.NAME its keys: images in folders, "
        "COCO, VOC, YOLO, masks, tables of labels or texts, wav files.",
    )


def _remarks(listing: Listing) -> list[str]:
    told = []
    if listing.cut:
        told.append(
            "not all was listed: numbers are of the first "
            f"{count(sum(len(i.files) for i in listing.folders.values()), 'file')} in "
            f"{count(len(listing.folders), 'folder')}"
        )
    if listing.unreadable:
        told.append(
            f"{count(len(listing.unreadable), 'folder')} cannot be read: "
            f"{', '.join(listing.unreadable[:3])}"
        )
    if listing.links_out:
        told.append(
            f"{count(len(listing.links_out), 'link')} out of the folder, which are followed: "
            f"{', '.join(listing.links_out[:3])}"
        )
    return told


def _of_file(file: Path, shown: str) -> Recognised:
    """What one file is: alone where it is a table, with its folder where it is a part of a set."""
    file.stat()  # raises where there is none
    alone = Listing(file.parent, {"": Inside((file.name,), ())}, _folder_of(shown))
    if not file.is_file():
        told = ("it is neither a file nor a folder, but a pipe or a device",)
        return Recognised(shown, (_no_data(told),))
    if is_archive(file):
        return Recognised(shown, (single_archive(alone, file.name),))
    if file.name.lower().endswith(SUFFIXES):
        told = (f"{file.name} is one image; its folder is {_folder_of(shown)}",)
        change = f"vit data {_folder_of(shown)} looks at that; a run tells what an image shows: "
        change += f"vit predict RUN_DIR {shown}"
        return Recognised(shown, (_no_data(told, change, "image", "one image"),))
    kind = ending(file.name.lower().removesuffix(".gz"))
    if kind in (".csv", ".tsv", ".jsonl", ".parquet"):
        listing = listing_of(file.parent)
        listing.shown = _folder_of(shown)
        listing.folders[""] = Inside(
            tuple(n for n in listing.top.files if n == file.name or n.lower().endswith(SUFFIXES)),
            listing.top.folders,
        )
        for place, inside in listing.folders.items():
            if place:
                kept = tuple(n for n in inside.files if n.lower().endswith(SUFFIXES))
                listing.folders[place] = Inside(kept, inside.folders)
        tables = (box_tables, label_tables, parquet_images, text_tables)
        found = [one for table in tables for one in table(listing)]
        if found:
            return Recognised(shown, tuple(_sorted(found)), tuple(_remarks(listing)))
    if kind in (".json", ".yaml", ".yml", ".xml", ".wav", ".arrow", ".names"):
        best: Recognised | None = None
        for above in list(file.parents)[:3]:
            listing = listing_of(above)
            listing.shown = _above(shown, file, above)
            known = [one for table in WRITTEN for one in table(listing)] + sounds(listing)
            sure = [one for one in known if one.certainty != "possible"]
            told = (f"{file.name} is a part of what lies in {listing.shown}",)
            if sure and (best is None or sure[0].certainty == "certain"):
                best = Recognised(shown, tuple(_sorted(_placed(listing, sure))), told)
            if best and best.layouts[0].certainty == "certain":
                break
        if best:
            return best
    plain = (f"{file.name}: {count(file.stat().st_size, 'byte')}",)
    return Recognised(shown, (_no_data(plain),))


def _no_data(
    evidence: tuple[str, ...],
    change: str = "Name a folder, a table (.csv, .tsv, .jsonl, .parquet) or an archive.",
    kind: str = "unknown",
    title: str = "nothing that a kind of data reads",
) -> Layout:
    return Layout(kind=kind, title=title, certainty="certain", evidence=evidence, change=change)


def _folder_of(shown: str) -> str:
    return shown.rpartition("/")[0] or ("/" if shown.startswith("/") else ".")


def _above(shown: str, file: Path, above: Path) -> str:
    """How a person would name a folder above a file that they named so."""
    steps = len(file.parent.parts) - len(above.parts)
    for _ in range(steps + 1):
        shown = _folder_of(shown)
    return shown
