"""What to say where data cannot be read as they were asked for, and lie there in another form."""

from __future__ import annotations

from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from vit.data.core.file_names import expanded
from vit.data.recognition.layout import Layout, word
from vit.data.recognition.recognise import Recognised, recognise

PLACES = ("root", "path", "table", "train")  # keys that say where data lie, by their order
WORD_OF_MODULE = {"hf": "huggingface"}  # where data=WORD is not the module's name
SAME = {"imagenet": "folder", "cifar10": "folder"}  # choices that one class reads
ALIKE = 0.8


def way_out(data: Any, message: str = "", another_kind: bool = False) -> str:
    """` 200 VOC files lie in annotations/: data=voc data.annotations=annotations`, or "".

    `data` is what could not be read, with its keys as attributes. Nothing where it was asked for as
    it lies, or where the message says the same already; with `another_kind` only where it is
    certainly for another data=….
    """
    key, place = next(
        ((k, v) for k in PLACES if isinstance(v := getattr(data, k, None), str)), ("", "")
    )
    said = "read with: " in message or "is an archive" in message
    if not key or "://" in place or said:
        return ""
    found = _near(expanded(place), key)
    if found is None:
        return ""
    if another_kind and (found.ambiguous or _is_own(found.layouts[0], data)):
        return ""
    known = [one for one in found.layouts if one.data]
    if not known:
        first = found.layouts[0]
        if first.kind in ("unknown", "image", "images", "sound", "sounds", _own_word(data)):
            return ""  # the kind's own words say more of its own form
        return f" {_sentence(first.evidence[0])}: {first.title}."
    told = []
    for one in known[:3]:
        words = _missing(one, data, key, place)
        if words and not all(each.replace('"', "") in message for each in words):
            behind = " after the lines that vit data tells" if one.first else ""
            told.append(f"{_sentence(one.evidence[0])}: {' '.join(words)}{behind}")
    if not told or (len(told) < len(known[:3]) and found.layouts[0].certainty != "certain"):
        return ""
    return f" {', or '.join(told) if len(told) > 1 else told[0]}"


def _near(place: Path, key: str) -> Recognised | None:
    """What lies at a place, or at one of nearly its name where there is none."""
    if not place.exists():
        near = _like(place)
        if near is None:
            return None
        place = near
    elif place.is_file() and key in ("table", "train"):
        return None  # the file is there: what is wrong stands in it
    try:
        return _looked_at(str(place), place.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=4)
def _looked_at(place: str, changed: int) -> Recognised:
    """Of a folder as it is now: a check asks more than once."""
    return recognise(place)


def _like(place: Path) -> Path | None:
    """A neighbour that differs by capitals, a plural or a letter; None where none does."""
    above = place.parent
    if not above.is_dir():
        return None
    names = sorted(entry.name for entry in above.iterdir())
    lower = {name.lower().rstrip("s"): name for name in reversed(names)}
    same = lower.get(place.name.lower().rstrip("s"))
    if same is None and (near := get_close_matches(place.name, names, n=1, cutoff=ALIKE)):
        same = near[0]
    return above / same if same else None


def _missing(layout: Layout, data: Any, key: str, place: str) -> list[str]:
    """The words of a layout that the data were not asked for by; none where all were."""
    another = not _is_own(layout, data)
    if layout.first and not another:
        return []  # it names a file to be written: the kind's own words say what its own lacks
    words = [layout.data[0]] if another else []
    for each in layout.data[1:]:
        name, _, value = each.partition("=")
        name = name.removeprefix("++data.").removeprefix("data.")
        if name in ("root", "path") and _same_place(value.strip('"'), place):
            continue
        if another or each != word(f"data.{name}", _plain(getattr(data, name, None))):
            words.append(each)
    return words


def _is_own(layout: Layout, data: Any) -> bool:
    """Whether a layout is for the kind of these data, or for none."""
    chosen = layout.data[0].removeprefix("data=") if layout.data else ""
    return SAME.get(chosen, chosen) in ("", _own_word(data))


def _own_word(data: Any) -> str:
    """What chooses these data: `coco` of data=coco."""
    module = type(data).__module__.rpartition(".")[2]
    return WORD_OF_MODULE.get(module, module)


def _same_place(one: str, other: str) -> bool:
    return expanded(one) == expanded(other)


def _plain(value: Any) -> Any:
    return (
        value if isinstance(value, str | bool | int | list | tuple) or value is None else str(value)
    )


def _sentence(text: str) -> str:
    return text.rstrip(".")
