"""What was recognised: which layout, how sure that is, and the words of a command that reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Certainty = Literal["certain", "likely", "possible"]
SURER = ("possible", "likely", "certain")
PLAIN = re.compile(r"[A-Za-z0-9_./-]+")  # what Hydra takes without quotes
NO_TEXT = re.compile(r"[-+]?[._]*\d[\d._]*(e[-+]?\d+)?|true|false|yes|no|on|off|null|nan|inf", re.I)
# What to choose beside data=… for a task, which brings the rest (conf/recipe); the purpose stands
# before the command.
TASKS = {
    "classification": ("classification", ()),
    "several": ("classification, several labels an image", ("checkpoint.monitor=val/map",)),
    "detection": (
        "detection, boxes",
        ("task=detection",),
    ),
    "masks": (
        "detection, masks of objects",
        ("task=detection", "head=masks", "data.masks=true", "checkpoint.monitor=val/mask_ap"),
    ),
    "panoptic": (
        "detection, masks of things and stuff",
        ("task=detection", "head=masks", "checkpoint.monitor=val/mask_ap"),
    ),
    "segmentation": (
        "segmentation, a class for each pixel",
        ("task=segmentation",),
    ),
    "text_classification": (
        "classification of texts",
        ("task=text_classification",),
    ),
    "text_to_text": (
        "a text for each text",
        ("task=text_to_text",),
    ),
}
# What is shipped for a first result in minutes of a CPU, for pictures.
SMALL = {
    "classification": "experiment=classify_small",
    "detection": "experiment=detect_small",
    "segmentation": "experiment=segment_small",
}


@dataclass(frozen=True)
class Command:
    """The words behind `vit train` or `vit check`, as Hydra takes them.

    `small` are those of a model that a CPU trains in minutes; none where there is none.
    """

    purpose: str
    words: tuple[str, ...]
    small: tuple[str, ...] = ()

    def line(self, command: str = "train") -> str:
        """To be pasted into a shell."""
        return shlex.join(["vit", command, *self.words])

    def small_line(self) -> str:
        return shlex.join(["vit", "train", *self.small]) if self.small else ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One thing that a folder or file may be.

    `data` are the words that choose and place it, none where no kind of data reads it; `change`
    says then which is nearest and what to change. `first` are lines of shell to run before the
    commands. The first line of `evidence` says in short what lies there.
    """

    kind: str
    place: str = ""  # where it begins, as the person named it
    title: str
    certainty: Certainty
    evidence: tuple[str, ...]
    oddities: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    change: str = ""
    first: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON has it, with each command as one line."""
        lines = [
            {
                "purpose": one.purpose,
                "check": one.line("check"),
                "train": one.line(),
                "small": one.small_line() or None,
            }
            for one in self.commands
        ]
        return {**asdict(self), "commands": lines}


def word(key: str, value: Any) -> str:
    """`data.root="my photos"`: quoted where Hydra would else read something else."""
    if value is None or isinstance(value, bool | int):
        return f"{key}={'null' if value is None else str(value).lower()}"
    if isinstance(value, list | tuple):
        return f"{key}=[{','.join(quoted(str(one)) for one in value)}]"
    return f"{key}={quoted(str(value))}"


def quoted(text: str) -> str:
    if PLAIN.fullmatch(text) and not NO_TEXT.fullmatch(text):
        return text
    as_it_stands = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)  # no value of another key
    inner = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ("\\" + m[2] if m[2] else ""), as_it_stands)
    return f'"{inner}"'


def commands(data: Sequence[str], size: Sequence[str], *tasks: str) -> tuple[Command, ...]:
    """A command for each of these tasks; see TASKS."""
    made = []
    for task in tasks:
        purpose, words = TASKS[task]
        of_pictures = any(each.startswith("data.image_size=") for each in size)
        small = (SMALL[task], *data) if of_pictures and task in SMALL else ()
        made.append(Command(purpose, (*words, *data, *size), small))
    return tuple(made)


def size_words(sizes: Sequence[tuple[int, int]], most: int) -> tuple[str, ...]:
    """The side that pictures of these sizes (height, width) are brought to, and a fitting patch.

    The middle of their longer sides, in steps of 32 pixels, and no more than `most`.
    """
    longer = sorted(max(size) for size in sizes)
    middle = longer[len(longer) // 2] if longer else most
    side = min(max(32, round(middle / 32) * 32), most)
    patch = next((f"backbone.patch_size={p}" for top, p in ((64, 4), (160, 8)) if side <= top), "")
    return (f"data.image_size={side}", *([patch] if patch else []))


def count(number: int, what: str) -> str:
    """`1 image`, `1,200 images`."""
    plural = (
        f"{what[:-1]}ies" if what.endswith("y") else f"{what}es" if what[-1] in "sx" else f"{what}s"
    )
    return f"{number:,} {what if number == 1 else plural}"
