"""COCO's JSON: which files there are, and their images and annotations as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vit.data.annotations.categories import categories_in, other_categories
from vit.data.annotations.raw import RawAnnotations, is_size, size_or_none
from vit.data.core.file_names import name_fault
from vit.data.core.split_names import counterparts
from vit.data.formats.plain_text import read_json
from vit.faults import Fault, did_you_mean, shorten

CROWD = dict.fromkeys(("0", "0.0", "false", "none", ""), False)
CROWD |= dict.fromkeys(("1", "1.0", "true"), True)
LISTS = ("images", "annotations", "categories")


def require_named(root: Path, names: Mapping[str, str | None], kind: type, ending: str) -> None:
    """Raises ValueError where val or test has a name that was chosen, and no file of it is there.

    The usual names, the defaults of `kind`'s fields, may be absent: that the split is then set
    aside from train, or lacks, is said. A misspelt name must not do so, nor one of its synonyms,
    such as valid.json, lie there unread.
    """
    for split in ("val", "test"):
        name, key = names[split], f"{split}{ending}"
        if name is None or (root / name).is_file():
            continue
        if name != getattr(kind, key):
            raise ValueError(
                f"data.{key}={name}: there is no file {root / name}.{_beside(root / name)} "
                f"data.{key}=null is a data set without it."
            )
        for near in counterparts(root / str(names["train"]), split):
            found = near.relative_to(root)
            if str(found) not in names.values():
                raise ValueError(
                    f"{near} looks like the {split} of these data; set data.{key}={found}, or "
                    f"data.{key}=null to leave it out."
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
        near = counterparts(file, split)
        words = f" Did you mean {near[0].name!r}?" if near else ""
        raise ValueError(f"data.{split}_file: there is no file {file}.{_beside(file)}{words}")
    content = read_json(file)
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


def raw_annotations(
    file: Path,
    root: Path,
    content: dict[str, Any],
    class_ids: tuple[int, ...],
    faults: list[Fault],
) -> RawAnnotations:
    """The file's images, whose names start in `root`, and its annotations as arrays."""
    images, annotations = content["images"], content["annotations"]
    nameless = [at for at, one in enumerate(images) if not isinstance(one.get("file_name"), str)]
    if nameless:
        message = f"images[{nameless[0]}] has no `file_name` ({len(nameless)} have none)."
        faults.append(Fault(str(file), message))
    names = [str(one.get("file_name", "")) for one in images]
    wrong = [
        f"images[{at}] {name_fault(name)}" for at, name in enumerate(names) if name_fault(name)
    ]
    if wrong:
        faults.append(Fault(str(file), f"a `file_name` that is none: {shorten(wrong)}."))
        names = ["" if name_fault(name) else name for name in names]
    image_ids = [hashable(one.get("id")) for one in images]
    image_at = {number: at for at, number in reversed(list(enumerate(image_ids)))}
    class_at = {number: at for at, number in enumerate(class_ids)}
    image_refs = [hashable(one.get("image_id")) for one in annotations]
    class_refs = [hashable(one.get("category_id")) for one in annotations]
    # A missing id is no doublet of another that is missing.
    ids = [one.get("id", f"annotations[{at}]") for at, one in enumerate(annotations)]
    return RawAnnotations(
        origin=str(file),
        root=root,
        names=names,
        image_ids=image_ids,
        sizes=np.array(
            _sizes(file, root, names, images, faults),
            dtype=np.int64,
        ).reshape(-1, 2),
        ids=[hashable(one) for one in ids],
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
    flags = [CROWD.get(str(one.get("iscrowd", 0)).lower()) for one in annotations]
    wrong = [one for one, found in zip(annotations, flags, strict=True) if found is None]
    if wrong:
        message = (
            f"iscrowd is {wrong[0]['iscrowd']!r} of annotation {wrong[0].get('id')}, and neither "
            f"0 nor 1 of {len(wrong)} in all."
        )
        faults.append(Fault(str(file), message))
    return np.array([bool(found) for found in flags], dtype=bool)


def _sizes(
    file: Path,
    root: Path,
    names: Sequence[str],
    images: Sequence[dict[str, Any]],
    faults: list[Fault],
) -> list[tuple[int, int]]:
    """Heights and widths as the file says; where it does not, those of the images themselves."""
    found, wrong = [], []
    for at, (name, entry) in enumerate(zip(names, images, strict=True)):
        height, width = entry.get("height"), entry.get("width")
        if type(height) is not int or type(width) is not int:
            found.append(size_or_none(root / name))
        elif is_size(height, width):
            found.append((height, width))
        else:
            found.append((0, 0))
            wrong.append(f"images[{at}] height={height}, width={width}"[:80])
    if wrong:
        faults.append(
            Fault(str(file), f"no size of an image: {shorten(wrong)} ({len(wrong)} in all).")
        )
    return found


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


def hashable(value: Any) -> Any:
    """What stands for a value of JSON in a dictionary: true is not the number 1."""
    return repr(value) if isinstance(value, bool | list | dict) else value
