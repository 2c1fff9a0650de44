"""Boxes and masks in COCO's JSON: ROOT/annotations/{train,val,test}.json with ROOT/images."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import Any

import numpy as np

from vit.data.annotations import DetectionContents
from vit.data.detection import DetectionData
from vit.data.folder import existing_folder
from vit.data.published import Published, contents_of, size_or_none
from vit.faults import Fault, did_you_mean

CROWD = dict.fromkeys(("0", "0.0", "false", "none", ""), False)
CROWD |= dict.fromkeys(("1", "1.0", "true"), True)
SPLITS = ("train", "val", "test")
LISTS = ("images", "annotations", "categories")


@dataclass(kw_only=True, eq=False)
class Coco(DetectionData):
    """A COCO file per split, and the folder of its images.

    Classes are numbered by the order of their ids in the training file; `facts.class_ids` keep
    those.

    Args:
        root: the folder; `~` is understood.
        train_file, val_file, test_file: JSON files under root; of the last two, the usual names may
            be absent, as null says they are: val is then set aside from train.
        train_images, val_images, test_images: where the names of images start, under root.
    """

    root: str
    train_file: str = "annotations/train.json"
    val_file: str | None = "annotations/val.json"
    test_file: str | None = "annotations/test.json"
    train_images: str = "images"
    val_images: str = "images"
    test_images: str = "images"

    def read(self) -> DetectionContents:
        root = existing_folder(self.root, "data.root")
        faults: list[Fault] = []
        files = {"train": self.train_file, "val": self.val_file, "test": self.test_file}
        if not (root / self.train_file).is_file() and (words := layout_words(root)):
            raise ValueError(
                f"data.train_file={self.train_file}: there is no such file in {root}. What is "
                f"there would be read with: {words}"
            )
        require_named(root, files, type(self), "_file")
        found, train = read_splits(root, files, faults)
        class_ids = tuple(sorted(train))
        published = {
            split: published_in(
                file, root / getattr(self, f"{split}_images"), content, class_ids, faults
            )
            for split, (file, content) in found.items()
        }
        names = class_names(train)
        return contents_of(published, names, class_ids, self.masks, faults)


def layout_words(root: Path) -> str:
    """What to say on the command line for a folder as COCO publishes it or Roboflow exports it.

    Empty where it is neither.
    """
    words = []
    for split in SPLITS:
        other = {"val": "valid"}.get(split, split)  # as Roboflow calls it
        files = sorted(root.glob(f"annotations/instances_{split}*.json"))
        for file in [*files, *(root / name / "_annotations.coco.json" for name in (split, other))]:
            if not file.is_file():
                continue
            own = file.stem.removeprefix("instances_")
            near = [own, split, f"images/{own}", f"images/{split}", "images"]
            places = near if file in files else [file.parent.name]
            images = next((name for name in places if (root / name).is_dir()), "images")
            told = {"file": file.relative_to(root), "images": images}
            words += [f"data.{split}_{key}={path}" for key, path in told.items()]
            break
    return join(words) if words and words[0].startswith("data.train_file") else ""


def require_named(root: Path, names: Mapping[str, str | None], kind: type, ending: str) -> None:
    """Raises ValueError where val or test has a name that was chosen, and no file of it is there.

    The usual names, the defaults of `kind`'s fields, may be absent: that the split is then set
    aside from train, or lacks, is told. A misspelt name must not do so.
    """
    for split in ("val", "test"):
        name, key = names[split], f"{split}{ending}"
        if name is not None and name != getattr(kind, key) and not (root / name).is_file():
            raise ValueError(
                f"data.{key}={name}: there is no file {root / name}.{_beside(root / name)} "
                f"data.{key}=null is a data set without it."
            )


def read_splits(
    root: Path, files: Mapping[str, str | None], faults: list[Fault]
) -> tuple[dict[str, tuple[Path, dict[str, Any]]], dict[int, str]]:
    """Each split's file with its content, and the training file's names of classes by their ids.

    Of val and test those that are not there are left out. Where classes differ is a fault.
    """
    found = {
        split: (root / name, loaded(root / name, split))
        for split, name in files.items()
        if name is not None and (split == "train" or (root / name).is_file())
    }
    categories = {
        split: categories_in(file, content["categories"], faults)
        for split, (file, content) in found.items()
    }
    train = categories["train"]
    for split in list(found)[1:]:
        if categories[split] != train:
            faults.append(other_categories(found[split][0], categories[split], train))
    return found, train


def loaded(file: Path, split: str) -> dict[str, Any]:
    """The file's content; raises ValueError where it is not what COCO's form demands."""
    if not file.is_file():
        raise ValueError(f"data.{split}_file: there is no file {file}.{_beside(file)}")
    try:
        content = json.loads(file.read_bytes())
    except ValueError as fault:
        raise ValueError(f"{file} is no JSON: {fault}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds a {type(content).__name__}; wanted COCO's dictionary.")
    for key in LISTS:
        if not isinstance(content.get(key), list):
            raise ValueError(
                f"{file} has no list {key!r}, only {', '.join(map(repr, content)) or 'nothing'}."
                f"{did_you_mean(key, map(str, content))}"
            )
        broken = [at for at, entry in enumerate(content[key]) if not isinstance(entry, dict)]
        if broken:
            raise ValueError(
                f"{file}: {key}[{broken[0]}] is no dictionary ({len(broken)} are not)."
            )
    return content


def _beside(file: Path) -> str:
    """What else of JSON lies there."""
    inside = sorted(path.name for path in file.parent.glob("*.json"))
    return f" {file.parent} holds {', '.join(inside[:5])}." if inside else ""


def categories_in(file: Path, entries: list[dict[str, Any]], faults: list[Fault]) -> dict[int, str]:
    """Id → name."""
    found: dict[int, str] = {}
    for at, entry in enumerate(entries):
        number, name = entry.get("id"), entry.get("name")
        if not isinstance(number, int) or not isinstance(name, str):
            faults.append(Fault(str(file), f"categories[{at}] has no whole `id` or no `name`."))
        elif number in found:
            faults.append(Fault(str(file), f"two categories have the id {number}."))
        else:
            found[number] = name
    if not found:
        raise ValueError(f"{file} lists no categories.")
    return found


def class_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    """Names in the order of their ids; one that several have is told apart by the id behind it."""
    names = list(categories.values())
    return tuple(
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in sorted(categories.items())
    )


def other_categories(file: Path, here: dict[int, str], train: dict[int, str]) -> Fault:
    """What to say of a file whose categories are not those of train."""
    told = [f"lacks {n} {train[n]!r}" for n in sorted(train.keys() - here.keys())]
    told += [f"adds {n} {here[n]!r}" for n in sorted(here.keys() - train.keys())]
    told += [
        f"calls {n} {here[n]!r}, not {train[n]!r}"
        for n in sorted(here.keys() & train.keys())
        if here[n] != train[n]
    ]
    return Fault(str(file), f"its categories differ from those of train: {'; '.join(told[:5])}.")


def published_in(
    file: Path,
    root: Path,
    content: dict[str, Any],
    class_ids: tuple[int, ...],
    faults: list[Fault],
) -> Published:
    """The file's images, whose names start in `root`, and its annotations as arrays."""
    images, annotations = content["images"], content["annotations"]
    nameless = [at for at, one in enumerate(images) if not isinstance(one.get("file_name"), str)]
    if nameless:
        message = f"images[{nameless[0]}] has no `file_name` ({len(nameless)} have none)."
        faults.append(Fault(str(file), message))
    names = [str(one.get("file_name", "")) for one in images]
    image_ids = [_hashable(one.get("id")) for one in images]
    image_at = {number: at for at, number in reversed(list(enumerate(image_ids)))}
    class_at = {number: at for at, number in enumerate(class_ids)}
    image_refs = [_hashable(one.get("image_id")) for one in annotations]
    class_refs = [_hashable(one.get("category_id")) for one in annotations]
    # A missing id is no doublet of another that is missing.
    ids = [one.get("id", f"annotations[{at}]") for at, one in enumerate(annotations)]
    return Published(
        origin=str(file),
        root=root,
        names=names,
        image_ids=image_ids,
        sizes=np.array(
            [_size(root / name, one) for name, one in zip(names, images, strict=True)],
            dtype=np.int64,
        ).reshape(-1, 2),
        ids=[_hashable(one) for one in ids],
        image_refs=image_refs,
        # JSON's true is not the number 1, and "1" is not either.
        image_of=np.array([image_at.get(ref, -1) for ref in image_refs], dtype=np.int64),
        class_refs=class_refs,
        class_of=np.array([class_at.get(ref, -1) for ref in class_refs], dtype=np.int64),
        boxes_xywh=np.array([_box(one.get("bbox")) for one in annotations]).reshape(-1, 4),
        crowd=_crowds(file, annotations, faults),
        areas=np.array([_number(one.get("area")) for one in annotations], dtype=np.float64),
        outlines=[one.get("segmentation") for one in annotations],
    )


def _crowds(file: Path, annotations: list[dict[str, Any]], faults: list[Fault]) -> np.ndarray:
    """Which are crowds: a number, which some tools write as a word; what is neither is a fault."""
    told = [CROWD.get(str(one.get("iscrowd", 0)).lower()) for one in annotations]
    odd = [one for one, found in zip(annotations, told, strict=True) if found is None]
    if odd:
        message = (
            f"iscrowd is {odd[0]['iscrowd']!r} of annotation {odd[0].get('id')}, and neither 0 nor "
            f"1 of {len(odd)} in all."
        )
        faults.append(Fault(str(file), message))
    return np.array([bool(found) for found in told], dtype=bool)


def _size(path: Path, entry: dict[str, Any]) -> tuple[int, int]:
    """Height and width as the file says; where it does not, those of the image."""
    height, width = entry.get("height"), entry.get("width")
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    return size_or_none(path)


def _box(value: Any) -> list[float]:
    if not isinstance(value, list) or len(value) != 4:
        return [np.nan] * 4
    return [_number(one) for one in value]


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # JSON knows whole numbers of any length
        return np.nan


def _hashable(value: Any) -> Any:
    return repr(value) if isinstance(value, bool | list | dict) else value
