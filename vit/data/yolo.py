"""Boxes, or polygons, as YOLO's tools write them: a data.yaml, and a .txt beside each image."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.annotations.files import AnnotatedFiles, contents_of
from vit.data.annotations.raw import Bad, ImageRecord, RawAnnotations, from_records, size_or_none
from vit.data.coco import class_names, same_names
from vit.data.core.file_names import name_fault
from vit.data.core.sources import Contents
from vit.data.core.split_names import split_of
from vit.data.folder import existing_folder, image_files
from vit.data.formats.plain_text import lines_of, read_text
from vit.data.kinds.detection import DetectionData
from vit.faults import Fault, shorten

NULLS = ("", "~", "null")  # as YAML writes that there is nothing
SPLITS = ("train", "val", "test")
CORNERS_OF_OBB = 4
MANY_POINTS = 5
POLYGONS = range(7, 1 << 20, 2)  # numbers of a line: the class, and x and y of three corners on
NO_LABELS = ("classes.txt", "train.txt", "val.txt", "test.txt")  # what tools write beside them
LARGEST_YAML = 1 << 20  # characters; of aliases and brackets more would take for ever
MOST_CLASSES = 1e9  # a number beyond that is no class, and would be long to read
MOST_OUTSIDE = 2  # what is farther off than so many images is no fraction


@dataclass(kw_only=True, eq=False)
class Yolo(DetectionData[AnnotatedFiles]):
    """Images in .../images/..., and for each a file of the same name in .../labels/...

    A line is an object: class number, centre x and y, width and height, as fractions of the image;
    or class number and the x and y of a polygon's corners; or, where the file below has
    `kpt_shape`, class number, box and keypoints, of which the box is read. An image without a
    file, or with an empty one, has no object. Reads the header of every image, since fractions say
    no pixels.

    Args:
        root: the folder of the file below; `~` is understood.
        file: names the folders (or lists of files) of the splits, and the classes.
    """

    root: str
    file: str = "data.yaml"

    def read(self) -> Contents[AnnotatedFiles]:
        root = existing_folder(self.root, "data.root")
        file = root / self.file
        if file.is_dir():
            raise ValueError(f"data.file={self.file}: {file} is a folder; wanted a YAML file.")
        if not file.is_file():
            near = ", ".join(sorted(path.name for path in root.glob("*.y*ml"))) or "no .yaml"
            raise ValueError(f"data.file={self.file}: there is no {file}; {root} holds {near}.")
        content = plain_yaml(file)
        names = _names(file, content)
        numbers = _numbers_of_keypoints(file, content)
        faults: list[Fault] = []
        warnings: list[str] = []
        splits: dict[str, RawAnnotations] = {}
        class_of = {number: number for number in range(len(names))}
        beside = LabelFiles()
        for split, value in _splits(file, content).items():
            images, others = _images(file, content.get("path"), value, split)
            bad, origin = Bad(), f"{file}, {split}"
            warnings += [f"{origin}: {line}" for line in others]
            lines = Counter[int]()
            labels_of = [beside.of(path) for path in dict.fromkeys(images)]
            users = Counter(labels for labels in labels_of if labels)
            shared = {labels for labels, count in users.items() if count > 1}
            for labels in sorted(shared):
                bad.add("one file of labels is of two or more images", _under(root, labels))
            found = [
                _read_labels(
                    path,
                    None if (own := beside.of(path)) in shared else own,
                    root,
                    numbers,
                    lines,
                    bad,
                )
                for path in images
            ]
            faults += bad.faults(origin)
            warnings += [f"{origin}: {line}" for line in _meanings(lines, numbers)]
            lacking = sum(beside.of(path) is None for path in images)
            if lacking:
                warnings.append(
                    f"{origin}: {lacking:,} of {len(images):,} images have no file of labels."
                )
            splits[split] = from_records(origin, root, found, class_of)
        contents = contents_of(splits, names, tuple(range(len(names))), self.masks, faults)
        raw_names = _list_of_names(content.get("names"))
        contents.warnings += [*warnings, *beside.unused()]
        contents.warnings += same_names(dict(enumerate(raw_names)), f"{file}: names")
        return contents


def plain_yaml(file: Path) -> dict[str, Any]:
    """The keys of a YAML file, all that they hold as the text that stands there.

    So a class called `no` is called so, and not False. Raises ValueError naming the file.
    """
    import yaml

    text = read_text(file)
    if len(text) > LARGEST_YAML:
        raise ValueError(f"{file} is larger than {LARGEST_YAML:,} characters, too large for YAML.")
    try:
        loader = yaml.BaseLoader(text)
        node = loader.get_single_node()
        twice = _keys_given_twice(node)
        content = loader.construct_document(node) if node else None
    except yaml.YAMLError as fault:
        raise ValueError(f"{file} is no YAML: {fault}") from None
    except RecursionError:
        raise ValueError(f"{file} is no YAML of data: it is nested too deeply.") from None
    except (TypeError, ValueError) as fault:  # a list as a key
        raise ValueError(f"{file} is no YAML of data: {fault}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no keys; wanted train, val and names.")
    if twice:
        raise ValueError(f"{file} gives {shorten(twice)} more than once; wanted each key once.")
    return {key: value for key, value in content.items() if not _is_null(value)}


def _keys_given_twice(node: Any) -> list[str]:
    """The keys that stand twice in a mapping of YAML, or in one that it holds."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return []
    inner = [value for _, value in node.value if isinstance(value, yaml.MappingNode)]
    twice = []
    for one in (node, *inner):
        counts = Counter(str(key.value) for key, _ in one.value)
        twice += [repr(key[:40]) for key, count in counts.items() if count > 1]
    return twice


def _is_null(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in NULLS


def _names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    names = _list_of_names(content.get("names"))
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        came = repr(names)[:80] if names is None or isinstance(names, str) else "something else"
        raise ValueError(f"{file}: names={came}; wanted a list, or 0, 1, 2, … with a name each.")
    if "" in names:
        raise ValueError(f"{file}: names[{names.index('')}] is empty; wanted a name for each.")
    if "nc" in content and content["nc"] != str(len(names)):
        count = str(content["nc"])[:20]
        raise ValueError(f"{file}: nc={count}, but there are {len(names)} names.")
    return class_names(dict(enumerate(names)))


def _list_of_names(names: Any) -> Any:
    """A dictionary of 0, 1, 2, … as a list; anything else as it is."""
    if isinstance(names, dict) and set(names) == {str(number) for number in range(len(names))}:
        return [names[str(number)] for number in range(len(names))]
    return names


def _numbers_of_keypoints(file: Path, content: dict[str, Any]) -> int:
    """How many numbers each line has behind its box: `kpt_shape` says points and values of each."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    whole = isinstance(shape, list) and len(shape) == 2
    if not whole or not all(isinstance(one, str) and one.isdecimal() for one in shape):
        raise ValueError(f"{file}: kpt_shape is no list of two numbers, as [17, 3].")
    return int(shape[0][:6]) * int(shape[1][:6])


def _splits(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Split → where its images are, of keys in any case, such as Train and valid."""
    found: dict[str, str] = {}
    for key in content:
        split = split_of(key)
        if split in found:
            raise ValueError(f"{file} has {found[split]!r} and {key!r}; wanted one of them.")
        if split:
            found[split] = key
    if "train" not in found:
        raise ValueError(f"{file} has no `train`; wanted the folder of its images.")
    return {split: content[found[split]] for split in SPLITS if split in found}


def _images(file: Path, base: Any, value: Any, split: str) -> tuple[list[Path], list[str]]:
    """The images of a split: of a folder and those within, of a list of files, or of several.

    Behind them a line for the files of folders that are left out for their endings.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{file}: {split} is no path of a folder or of a list, nor several.")
    for part in parts:
        place = _place(file, base, part, split)
        if place.is_dir():
            names = image_files(place, "", others)
            found += sorted(place / os.fsdecode(name) for name in names)
        else:
            lines = lines_of(place)
            for row, line in enumerate(lines, 1):
                if fault := name_fault(line):
                    raise ValueError(f"{place}, row {row}: {line[:40]!r} {fault}.")
            found += [place.parent / line for line in lines]
    others.pop(".txt", 0)  # labels beside their images
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
    return found, [f"files that are left out, as no images: {kinds}."] if kinds else []


def _place(file: Path, base: Any, part: str, split: str) -> Path:
    """Where a data.yaml's folder is: tools take it from different places, so all are tried."""
    if base is not None and not isinstance(base, str):
        raise ValueError(f"{file}: path is no text; wanted the folder that others start from.")
    here = file.parent
    starts = [here] if base is None else [here / base, here]
    # Roboflow writes ../train/images for what lies beside the file.
    tried = [start / name for start in starts for name in (part, part.removeprefix("../"))]
    for place in tried:
        if place.exists():
            return place
    raise ValueError(f"{file}: {split} is {part!r}, but there is no {tried[0]}.")


class LabelFiles:
    """The file of labels of each image, its ending in any case; a folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}  # of labels: name without ending → name
        self._places: dict[Path, Path] = {}  # folder of images → of their labels
        self._used: set[Path] = set()

    def of(self, image: Path) -> Path | None:
        """.../labels/NAME.txt for .../images/NAME.jpg; beside an image in no such folder."""
        folder = self._places.get(image.parent)
        if folder is None:
            folder = self._places.setdefault(image.parent, _labels_folder(image.parent))
            self._folders.setdefault(folder, _texts(folder))
        name = self._folders[folder].get(image.stem)
        if name is None:
            return None
        self._used.add(folder / name)
        return folder / name

    def unused(self) -> list[str]:
        """A line for each folder with labels that belong to none of the images asked for."""
        lines = []
        for folder, names in sorted(self._folders.items()):
            left = [name for name in names.values() if folder / name not in self._used]
            left = sorted(name for name in left if name.lower() not in NO_LABELS)
            if left:
                lines.append(
                    f"{folder}: {len(left):,} files of labels have no image in any split, and are "
                    f"left out: {shorten(left)}."
                )
        return lines


def _labels_folder(images: Path) -> Path:
    """Where the labels of a folder of images are, with capitals as that has them."""
    parts = list(images.parts)
    for at in range(len(parts) - 1, -1, -1):
        if parts[at].lower() == "images":
            forms = ("labels", "Labels", "LABELS")
            near = [Path(*parts[:at], form, *parts[at + 1 :]) for form in forms]
            return next((place for place in near if place.is_dir()), near[0])
    return images


def _texts(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name.lower().endswith(".txt"))
    return {name[:-4]: name for name in names if not name.startswith(".")}


def _read_labels(
    image: Path, file: Path | None, root: Path, keypoints: int, lines: Counter[int], bad: Bad
) -> ImageRecord:
    """The objects of an image; lines that cannot be read go into `bad`.

    `keypoints` are the numbers behind a box; `lines` counts lines by how many numbers they have.
    """
    found = ImageRecord(_under(root, image), size_or_none(image))
    if file is None or not min(found.size):
        return found
    try:
        text = read_text(file)
    except ValueError as fault:
        bad.add("labels that cannot be read", str(fault).rstrip("."))
        return found
    height, width = found.size
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name = f"{_under(root, file)}:{number}"
        values = _values(line)
        count = 0 if values is None else len(values)
        fits = count in (5, 5 + keypoints) if keypoints else count == 5 or count in POLYGONS
        if values is not None and not keypoints and _looks_like_keypoints(values):
            bad.add(
                "this looks like a box with keypoints, each with 0, 1 or 2 for how it is seen; "
                "data.yaml then needs kpt_shape, as [17, 3]",
                name,
            )
            continue
        if values is None or not fits:
            wanted = "with three or more corners"
            if keypoints:
                wanted = f"with {keypoints} numbers of keypoints behind the box (kpt_shape)"
            bad.add(
                f"wanted a class with centre x, y, width and height, or {wanted}",
                f"{name} {line.strip()[:40]!r}",
            )
            continue
        lines[count] += 1
        values = values[:5] if keypoints else values
        if max(abs(value) for value in values[1:]) > MOST_OUTSIDE:
            bad.add("this looks like pixels; wanted fractions of the image", name)
            continue
        whole = values[0].is_integer() and abs(values[0]) < MOST_CLASSES
        label = int(values[0]) if whole else values[0]
        place = np.array(values[1:]).reshape(-1, 2) * [width, height]
        if len(values) == 5:
            (left, top), (wide, tall) = place[0] - place[1] / 2, place[1]
            corners = [left, top, left + wide, top, left + wide, top + tall, left, top + tall]
        else:
            (left, top), (wide, tall) = place.min(axis=0), np.ptp(place, axis=0)
            corners = place.ravel().tolist()
        outline = [[float(value) for value in corners]] if len(values) > 5 else None
        found.add(name, label, (left, top, wide, tall), outline=outline)
    return found


def _looks_like_keypoints(values: Sequence[float]) -> bool:
    """Box and points of x, y and 0, 1 or 2, which 2 at least is no place within an image.

    Corners on an image's border are 0 or 1 too, so of these alone there must be many.
    """
    seen = values[7::3]
    if not seen or len(values[5:]) % 3 or not set(seen) <= {0.0, 1.0, 2.0}:
        return False
    return 2.0 in seen or len(seen) >= MANY_POINTS


def _meanings(lines: Counter[int], keypoints: int) -> list[str]:
    """What lines were taken for, where another meaning is as likely."""
    if keypoints:
        return [
            "kpt_shape says that boxes have keypoints; the boxes are read, the points left out."
        ]
    polygons = {count: times for count, times in lines.items() if count > 5}
    warnings = []
    if polygons and set(polygons) == {1 + 2 * CORNERS_OF_OBB}:
        warnings.append(
            "all outlines have four corners, as turned boxes (OBB) have; upright boxes around them "
            "are learnt."
        )
    if polygons and lines[5]:
        total = sum(polygons.values())
        warnings.append(
            f"{lines[5]:,} lines are boxes and {total:,} outlines; both are read as such."
        )
    return warnings


def _under(root: Path, path: Path) -> str:
    """From the folder on, where it lies there: a fingerprint must not know where the data lie."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _values(line: str) -> list[float] | None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None
