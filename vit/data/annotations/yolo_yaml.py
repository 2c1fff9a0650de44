"""YOLO's data.yaml: the classes, and the images of each split."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from vit.data.annotations.categories import class_names, same_names
from vit.data.core.file_names import name_fault
from vit.data.core.split_names import split_of
from vit.data.core.unsound import require_sound
from vit.data.folder import image_files
from vit.data.formats.plain_text import lines_of, read_text
from vit.faults import Fault, shorten

NULLS = ("", "~", "null")  # as YAML writes that there is nothing
SPLITS = ("train", "val", "test")
LARGEST_YAML = 1 << 20  # characters; of aliases and brackets more would take for ever

# A value of YAML, of which every leaf is the text that stands there.
Plain = object


@dataclass
class DataYaml:
    """What such a file says, with the images that it leads to."""

    class_names: tuple[str, ...]
    keypoint_numbers: int  # that each line of labels has behind its box
    images: dict[str, list[Path]]  # by split
    left_out: dict[str, list[str]]  # by split, a line for files that are no images
    warnings: list[str] = field(default_factory=list)


def read_yaml(file: Path) -> DataYaml:
    """Raises Unsound with everything that is wrong with the file, or with where it leads."""
    content, faults = plain_yaml(file)
    names = _names(file, content, faults)
    keypoint_numbers = _keypoint_numbers(file, content, faults)
    images: dict[str, list[Path]] = {}
    left_out: dict[str, list[str]] = {}
    base = content.get("path")
    if base is not None and not isinstance(base, str):
        message = "path is no text; wanted the folder that others start from."
        faults.append(Fault(str(file), message))
        base = None
    for split, value in _splits(file, content, faults).items():
        images[split], left_out[split] = _images(file, base, value, split, faults)
    require_sound(faults)
    numbered = dict(enumerate(names))
    warnings = same_names(numbered, f"{file}: names")
    return DataYaml(class_names(numbered), keypoint_numbers, images, left_out, warnings)


def plain_yaml(file: Path) -> tuple[dict[str, Plain], list[Fault]]:
    """The keys of a YAML file, all that they hold as the text that stands there.

    So a class called `no` is called so, and not False. Behind it a fault for keys that come twice.
    Raises ValueError naming the file where it holds no keys.
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
    faults = []
    if twice:
        message = f"{file} gives {shorten(twice)} more than once; wanted each key once."
        faults.append(Fault(str(file), message))
    return {key: value for key, value in content.items() if not _is_null(value)}, faults


def _keys_given_twice(node: object) -> list[str]:
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


def _is_null(value: Plain) -> bool:
    return isinstance(value, str) and value.lower() in NULLS


def _names(file: Path, content: dict[str, Plain], faults: list[Fault]) -> list[str]:
    names = _list_of_names(content.get("names"))
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        came = repr(names)[:80] if names is None or isinstance(names, str) else "something else"
        message = f"names={came}; wanted a list, or 0, 1, 2, … with a name each."
        faults.append(Fault(str(file), message))
        return []
    if "" in names:
        message = f"names[{names.index('')}] is empty; wanted a name for each."
        faults.append(Fault(str(file), message))
    if "nc" in content and content["nc"] != str(len(names)):
        count = str(content["nc"])[:20]
        faults.append(Fault(str(file), f"nc={count}, but there are {len(names)} names."))
    return names


def _list_of_names(names: Plain) -> Plain:
    """A dictionary of 0, 1, 2, … as a list; anything else as it is."""
    if isinstance(names, dict) and set(names) == {str(number) for number in range(len(names))}:
        return [names[str(number)] for number in range(len(names))]
    return names


def _keypoint_numbers(file: Path, content: dict[str, Plain], faults: list[Fault]) -> int:
    """How many numbers each line has behind its box: `kpt_shape` says points and values of each."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    words = shape if isinstance(shape, list) else []
    if len(words) != 2 or not all(isinstance(one, str) and one.isdecimal() for one in words):
        faults.append(Fault(str(file), "kpt_shape is no list of two numbers, as [17, 3]."))
        return 0
    return int(words[0][:6]) * int(words[1][:6])


def _splits(file: Path, content: dict[str, Plain], faults: list[Fault]) -> dict[str, Plain]:
    """Split → where its images are, of keys in any case, such as Train and valid."""
    keys: dict[str, str] = {}
    for key in content:
        split = split_of(key)
        if split in keys:
            message = f"{file} has {keys[split]!r} and {key!r}; wanted one of them."
            faults.append(Fault(str(file), message))
        elif split:
            keys[split] = key
    if "train" not in keys:
        message = f"{file} has no `train`; wanted the folder of its images."
        faults.append(Fault(str(file), message))
    return {split: content[keys[split]] for split in SPLITS if split in keys}


def _images(
    file: Path, base: str | None, value: Plain, split: str, faults: list[Fault]
) -> tuple[list[Path], list[str]]:
    """The images of a split: of a folder and those within, of a list of files, or of several.

    Behind them a line for the files of folders that are left out for their endings.
    """
    images: list[Path] = []
    others: Counter[str] = Counter()
    listed = value if isinstance(value, list) else [value]
    parts = [part for part in listed if isinstance(part, str)]
    if len(parts) < len(listed):
        message = f"{split} is no path of a folder or of a list, nor several."
        faults.append(Fault(str(file), message))
        return [], []
    for part in parts:
        tried = _places(file, base, part)
        place = next((place for place in tried if place.exists()), None)
        if place is None:
            message = f"{split} is {part!r}, but there is no {tried[0]}."
            faults.append(Fault(str(file), message))
        elif place.is_dir():
            names = image_files(place, "", others)
            images += sorted(place / os.fsdecode(name) for name in names)
        else:
            lines = lines_of(place)
            wrong = [
                f"row {row}: {line[:40]!r} {fault}"
                for row, line in enumerate(lines, 1)
                if (fault := name_fault(line))
            ]
            if wrong:
                message = f"{place}, {shorten(wrong)} ({len(wrong)} in all)."
                faults.append(Fault(str(place), message))
            images += [place.parent / line for line in lines if not name_fault(line)]
    others.pop(".txt", 0)  # labels beside their images
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(others.items()))
    return images, [f"files that are left out, as no images: {kinds}."] if kinds else []


def _places(file: Path, base: str | None, part: str) -> list[Path]:
    """Where a data.yaml's folder may be: tools take it from different places, so all are tried."""
    here = file.parent
    starts = [here] if base is None else [here / base, here]
    # Roboflow writes ../train/images for what lies beside the file.
    return [start / name for start in starts for name in (part, part.removeprefix("../"))]
