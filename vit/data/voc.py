"""Boxes in Pascal VOC's XML: ROOT/Annotations/*.xml, ROOT/JPEGImages, ROOT/ImageSets/Main/*.txt."""

import re
import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vit.data.annotations import DetectionContents
from vit.data.detection import DetectionData
from vit.data.folder import existing_folder
from vit.data.images import SUFFIXES
from vit.data.published import Bad, Found, contents_of, published, size_or_none

LISTED = re.compile(r"\s-?[01]\s*$")  # whether a class is in the image, behind its name


@dataclass(kw_only=True, eq=False)
class Voc(DetectionData):
    """An XML file per image, in lists named train, val and test.

    Boxes count pixels from 1 and hold their last pixel, as VOC's do. VOC has no masks in its XML.

    Args:
        root: the folder that holds the three below; `~` is understood.
        annotations, images, lists: its folders. Without the folder of lists, all files of
            `annotations` are train, and val is set aside from them.
        train_list, val_list, test_list: names of the lists, without .txt; of the last two, the
            usual names may be absent, as null says they are: val is then set aside from train.
        classes: all class names in order; None takes those of train, sorted.
        difficult: objects marked so are a "crowd", neither trained on nor counted in the metric,
            or "keep" makes them objects like others.
    """

    root: str
    annotations: str = "Annotations"
    images: str = "JPEGImages"
    lists: str = "ImageSets/Main"
    train_list: str = "train"
    val_list: str | None = "val"
    test_list: str | None = "test"
    classes: tuple[str, ...] | None = None
    difficult: Literal["crowd", "keep"] = "crowd"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.masks:
            raise ValueError("data.masks=true: VOC's XML holds no outlines; wanted false.")

    def read(self) -> DetectionContents:
        root = existing_folder(self.root, "data.root")
        folder, images = root / self.annotations, root / self.images
        if not folder.is_dir():
            raise ValueError(f"{root} holds no folder {self.annotations!r} (data.annotations).")
        if not images.is_dir():
            raise ValueError(f"{root} holds no folder {self.images!r} (data.images).")
        files = {
            path.stem: path.name
            for path in sorted(images.iterdir(), reverse=True)  # of several a .jpg before a .png
            if path.suffix.lower() in SUFFIXES and path.is_file()
        }
        splits: dict[str, list[Found]] = {}
        bad = Bad()
        for split, stems in self._stems(root, folder).items():
            splits[split] = [
                _read_xml(folder / f"{stem}.xml", files.get(stem), self.difficult, bad)
                for stem in stems
            ]
            for one in splits[split]:
                one.size = one.size if min(one.size) else size_or_none(images / one.name)
        names = self.classes
        if names is None:
            names = tuple(
                sorted({str(ref) for one in splits["train"] for ref in one.class_refs if ref})
            )
        if not names:
            raise ValueError(f"no object of {folder} that is in train has a name.")
        class_of = {name: number for number, name in enumerate(names)}
        ready = {
            split: published(str(folder), images, found, class_of)
            for split, found in splits.items()
        }
        return contents_of(
            ready, tuple(names), tuple(range(1, len(names) + 1)), False, bad.faults(str(folder))
        )

    def _stems(self, root: Path, folder: Path) -> dict[str, list[str]]:
        """Split → names of its annotation files, without .xml."""
        lists = root / self.lists
        written = {path.stem for path in folder.glob("*.xml")}
        if not lists.is_dir():
            return {"train": sorted(written)}
        found: dict[str, list[str]] = {}
        for split in ("train", "val", "test"):
            name = getattr(self, f"{split}_list")
            file = lists / f"{name}.txt"
            if name is not None and file.is_file():
                lines = file.read_text().splitlines()
                names = [line.strip() for line in lines if line.strip()]
                found[split] = [
                    name if name in written else LISTED.sub("", name).strip() for name in names
                ]
        for split in ("val", "test"):
            name, usual = getattr(self, f"{split}_list"), getattr(type(self), f"{split}_list")
            if name is not None and name != usual and split not in found:
                raise ValueError(
                    f"data.{split}_list={name}: {lists} has no such list; it has "
                    f"{_lists(lists)}. data.{split}_list=null is a data set without it."
                )
        if "train" not in found:
            raise ValueError(
                f"data.train_list={self.train_list}: {lists} has no such list; it has "
                f"{_lists(lists)}."
            )
        return found


def _lists(folder: Path) -> str:
    return ", ".join(sorted(path.stem for path in folder.glob("*.txt"))) or "none"


def _read_xml(file: Path, image: str | None, difficult: str, bad: Bad) -> Found:
    """The objects of one file; what is wrong with it as a whole goes into `bad`."""
    found = Found(image or f"{file.stem}.jpg")
    try:
        tree = xml.fromstring(file.read_bytes())
    except OSError as fault:
        bad.add(str(fault.strerror), file.name)
        return found
    except xml.ParseError as fault:
        bad.add("no XML", f"{file.name} ({fault})")
        return found
    found.size = (_whole(tree, "size/height"), _whole(tree, "size/width"))
    for number, entry in enumerate(tree.iterfind("object"), start=1):
        x0, y0, x1, y1 = (
            _real(entry.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        hard = difficult == "crowd" and entry.findtext("difficult", "0").strip() == "1"
        found.add(
            f"{file.stem}.xml object {number}",
            (entry.findtext("name") or "").strip(),
            (x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1),
            crowd=hard,
        )
    return found


def _real(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return np.nan


def _whole(tree: xml.Element, path: str) -> int:
    value = _real(tree.findtext(path))
    return int(value) if np.isfinite(value) and value > 0 else 0
