"""Boxes in Pascal VOC's XML: ROOT/Annotations/*.xml, ROOT/JPEGImages, ROOT/ImageSets/Main/*.txt."""

import os
import re
import xml.etree.ElementTree as xml
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.annotations.raw import (
    MOST_SIDE,
    Bad,
    ImageRecord,
    from_records,
    is_size,
    size_or_none,
)
from vit.data.annotations.unseen_objects import without_unseen_objects
from vit.data.core.class_names import same_numbers
from vit.data.core.images import SUFFIXES
from vit.data.core.sources import Contents
from vit.data.core.split_names import counterparts
from vit.data.core.unseen_classes import UnseenClasses
from vit.data.core.unsound import Unsound
from vit.data.folder import existing_folder
from vit.data.formats.plain_text import decoded, lines_of, open_regular
from vit.data.kinds.detection import DetectionData
from vit.faults import Fault, shorten

DECLARED = re.compile(rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
LISTED = re.compile(r"\s-?[01]\s*$")  # whether a class is in the image, behind its name


@dataclass(kw_only=True, eq=False)
class Voc(DetectionData[AnnotatedFiles]):
    """An XML file per image, in lists named train, val and test.

    Boxes count pixels from 1 and hold their last pixel, as VOC's do, unless `first_pixel` says
    otherwise. VOC has no masks in its XML.

    Args:
        root: the folder that holds the three below; `~` is understood.
        annotations, images, lists: its folders. Without the folder of lists, all files of
            `annotations` are train, and val is set aside from them.
        train_list, val_list, test_list: names of the lists, without .txt; of the last two, the
            usual names may be absent, as null says they are: val is then set aside from train.
        classes: all class names in order; None takes those of train, sorted.
        on_unseen_class: stop at classes of val or test that train lacks, or leave their boxes out;
            with `classes` None.
        difficult: objects marked so are a "crowd", neither trained on nor counted in the metric,
            or "keep" makes them objects like others.
        first_pixel: 1 as VOC has it: a box of 1, 1, 10, 20 covers 10×20 pixels from the corner.
            0 where a tool wrote edges, counted from 0: 0, 0, 10, 20 covers those.
    """

    root: str
    annotations: str = "Annotations"
    images: str = "JPEGImages"
    lists: str = "ImageSets/Main"
    train_list: str = "train"
    val_list: str | None = "val"
    test_list: str | None = "test"
    classes: tuple[str, ...] | None = None
    on_unseen_class: UnseenClasses = "error"
    difficult: Literal["crowd", "keep"] = "crowd"
    first_pixel: Literal[0, 1] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks:
            raise ValueError("data.masks=true: VOC's XML holds no outlines; wanted false.")

    def read(self) -> Contents[AnnotatedFiles]:
        root = existing_folder(self.root, "data.root")
        folder, images = root / self.annotations, root / self.images
        if not folder.is_dir():
            raise ValueError(f"{root} holds no folder {self.annotations!r} (data.annotations).")
        if not images.is_dir():
            raise ValueError(f"{root} holds no folder {self.images!r} (data.images).")
        bad, dropped = Bad(), Bad()
        files = _by_stem(images, SUFFIXES)
        written = _by_stem(folder, (".xml",))
        for same in written.values():
            if len(same) > 1:
                bad.add("files whose names differ by their endings alone", " and ".join(same))
        warnings: list[str] = []
        splits: dict[str, list[ImageRecord]] = {}
        stems_of = self._stems(root, written.keys())
        for split, stems in stems_of.items():
            splits[split] = [
                _read_xml(
                    folder / written.get(stem, [f"{stem}.xml"])[0],
                    files.get(stem, [None])[0],
                    self.difficult,
                    self.first_pixel,
                    bad,
                    dropped,
                )
                for stem in stems
            ]
            for one in splits[split]:
                one.size = one.size if min(one.size) else size_or_none(images / one.name)
        used = {stem for stems in stems_of.values() for stem in stems}
        names = self.classes
        if names is None:
            found = {str(ref) for one in splits["train"] for ref in one.class_refs if ref}
            names = tuple(sorted(found))
        if not names:
            none = Fault(str(folder), "no object of a file that is in train has a name.")
            raise Unsound(bad.faults(str(folder)) or [none])
        warnings += _left_out(
            (f"{folder}: %d files of annotations stand in no list", written.keys() - used),
            (f"{images}: %d images have no file of annotations", files.keys() - written.keys()),
            (
                f"{images}: %d images differ from another by their endings alone",
                [name for same in files.values() for name in same[1:]],
            ),
        )
        unseen: list[Fault] = []
        if self.classes is None:
            origins = {split: f"{folder}, {split}" for split in splits}
            how = self.on_unseen_class
            without_unseen_objects(splits, origins, names, how, unseen, warnings)
        class_of = {name: number for number, name in enumerate(names)}
        ready = {
            split: from_records(str(folder), images, found, class_of)
            for split, found in splits.items()
        }
        numbers = tuple(range(1, len(names) + 1))
        faults = [*unseen, *bad.faults(str(folder)), *same_numbers(names, str(folder))]
        contents = contents_of(ready, tuple(names), numbers, False, faults)
        contents.warnings += warnings + [str(one) for one in dropped.faults(str(folder))]
        return contents

    def _stems(self, root: Path, written: Collection[str]) -> dict[str, list[str]]:
        """Split → names of its annotation files, without .xml."""
        lists = root / self.lists
        if not lists.is_dir():
            self._require_no_lists(root)
            return {"train": sorted(written)}
        found: dict[str, list[str]] = {}
        for split in ("train", "val", "test"):
            name = getattr(self, f"{split}_list")
            file = lists / f"{name}.txt"
            if name is not None and file.is_file():
                found[split] = [
                    name if name in written else LISTED.sub("", name).strip()
                    for name in lines_of(file)
                ]
        for split in ("val", "test"):
            name, usual = getattr(self, f"{split}_list"), getattr(type(self), f"{split}_list")
            if name is not None and name != usual and split not in found:
                raise ValueError(
                    f"data.{split}_list={name}: {lists} has no such list; it has "
                    f"{_lists(lists)}. data.{split}_list=null is a data set without it."
                )
            near = [path.stem for path in counterparts(lists / f"{self.train_list}.txt", split)]
            if name is not None and split not in found and near:
                raise ValueError(
                    f"{lists} holds {near[0]!r}, which looks like the {split} of these data; set "
                    f"data.{split}_list={near[0]}, or data.{split}_list=null to leave it out."
                )
        if "train" not in found:
            raise ValueError(
                f"data.train_list={self.train_list}: {lists} has no such list; it has "
                f"{_lists(lists)}."
            )
        if not found["train"]:
            raise ValueError(f"{lists / f'{self.train_list}.txt'} is empty; wanted a name a line.")
        return found

    def _require_no_lists(self, root: Path) -> None:
        """Raises ValueError where published lists would be passed over."""
        for place in (".", "*", "ImageSets/*"):
            for file in sorted(root.glob(f"{place}/{self.train_list}.txt")):
                folder = file.parent.relative_to(root)
                raise ValueError(
                    f"{root} holds no folder {self.lists!r} (data.lists), but lists in "
                    f"{str(folder)!r}; set data.lists={folder}, or remove them to take all files "
                    "for train."
                )


def _lists(folder: Path) -> str:
    return ", ".join(sorted(stem for stem in _by_stem(folder, (".txt",)))) or "none"


def _by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, list[str]]:
    """Names of files without and with their endings, which may have any case; a .jpg first."""
    found: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - a Path each takes longer
            if suffix.lower() in suffixes and entry.is_file() and not stem.startswith("."):
                found.setdefault(stem, []).append(entry.name)
    order = list(suffixes)
    for names in found.values():
        names.sort(key=lambda name: (order.index(Path(name).suffix.lower()), name))
    return {stem: found[stem] for stem in sorted(found)}


def _left_out(*sorts: tuple[str, Collection[str]]) -> list[str]:
    """A line for each that holds something."""
    return [
        f"{message % len(stems)}, and are left out: {shorten(sorted(stems))}."
        for message, stems in sorts
        if stems
    ]


def _read_xml(
    file: Path, image: str | None, difficult: str, first_pixel: int, bad: Bad, dropped: Bad
) -> ImageRecord:
    """The objects of one file; what is wrong with it goes into `bad`, what is odd into `odd`."""
    found = ImageRecord(image or f"{file.stem}.jpg")
    try:
        with open_regular(file) as stream:
            tree = parsed(stream.read())
    except OSError as fault:
        bad.add(str(fault.strerror), file.name)
        return found
    except ValueError as fault:
        bad.add(str(fault.args[0]), f"{file.name} ({fault.args[-1]})")
        return found
    if tree.tag != "annotation" and tree.find("object") is None:
        bad.add("XML that is no <annotation>", f"{file.name} (<{tree.tag[:40]}>)")
        return found
    named = (tree.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    if named and file.stem not in (named, os.path.splitext(named)[0]):  # noqa: PTH122
        dropped.add(
            "files whose <filename> is of another image; the image of the file's own name is taken",
            f"{file.name} ({named[:40]})",
        )
    found.size = (_whole(tree, "size/height"), _whole(tree, "size/width"))
    if not is_size(*found.size):
        found.size = (0, 0)
    for number, entry in enumerate(tree.iterfind("object"), start=1):
        x0, y0, x1, y1 = (
            _real(entry.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        hard = difficult == "crowd" and entry.findtext("difficult", "0").strip() == "1"
        found.add(
            f"{file.stem}.xml object {number}",
            (entry.findtext("name") or "").strip(),
            # From 1, and with the last pixel inside: one pixel more than between the two numbers.
            (x0 - first_pixel, y0 - first_pixel, x1 - x0 + first_pixel, y1 - y0 + first_pixel),
            crowd=hard,
        )
    return found


def parsed(content: bytes) -> xml.Element:
    """The tree of XML in the encoding that it declares, its tags without namespaces.

    Blank lines before the declaration are passed over. Raises ValueError(sort, detail).
    """
    content = content.lstrip()
    declared = DECLARED.match(content)
    name = declared[1].decode() if declared else ""
    if declared and not name.lower().startswith(("utf-16", "utf-32", "ucs", "utf-8")):
        # What expat does not know itself: it refuses GBK and all other encodings of several bytes.
        try:
            text = content.decode(name)
        except LookupError:
            raise ValueError("XML in an unknown encoding", name) from None
        except UnicodeError as fault:
            raise ValueError("XML that is not in the encoding that it declares", fault) from None
    else:  # by its mark, or UTF-8: a line of ASCII that says UTF-16 contradicts itself
        try:
            text = decoded(content, "XML")
        except ValueError as fault:
            said = str(fault).partition(": ")[2].partition(";")[0]
            raise ValueError("XML that declares no other encoding than UTF-8", said) from None
    try:
        tree = xml.fromstring(text.lstrip("\ufeff"))
    except (xml.ParseError, ValueError) as fault:
        raise ValueError("no XML", fault) from None
    for element in tree.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    return tree


def _real(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return np.nan


def _whole(tree: xml.Element, path: str) -> int:
    value = _real(tree.findtext(path))
    return int(value) if 0 < value < MOST_SIDE else 0
