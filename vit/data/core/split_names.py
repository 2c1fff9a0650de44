"""Which split a name means, however it is written: of folders, of files, of lists and of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

WORDS = {
    "train": "train|training|trn",
    "val": "val|valid|validation|validate|dev|eval",
    "test": "test|testing|tst",
}
# What publishers put behind the word: train2017, test-set, val_images.
BEHIND = r"[-_ .]?(\d{0,4}|set|split|data|images?|imgs?)"
PATTERNS = {split: re.compile(f"({words}){BEHIND}", re.I) for split, words in WORDS.items()}


def split_of(name: str) -> str | None:
    """ "train", "val" or "test" for what looks like one of them, in any case; else None."""
    return next((split for split, like in PATTERNS.items() if like.fullmatch(name.strip())), None)


def counterparts(train: Path, split: str) -> list[Path]:
    """Files that are to a split what `train` is to train, by their names or their folders' names.

    Of annotations/instances_train2017.json those are annotations/instances_val2017.json, and of
    train/labels.json valid/labels.json.
    """
    front, last = _parted(train.stem)
    if split_of(last) == "train" and train.parent.is_dir():
        return sorted(
            path
            for path in train.parent.iterdir()
            if path.suffix.lower() == train.suffix.lower()
            and _parted(path.stem)[0] == front
            and split_of(_parted(path.stem)[1]) == split
        )
    if split_of(train.parent.name) == "train" and train.parent.parent.is_dir():
        places = (folder / train.name for folder in train.parent.parent.iterdir())
        return sorted(
            path for path in places if split_of(path.parent.name) == split and path.is_file()
        )
    return []


def _parted(stem: str) -> tuple[str, str]:
    """What stands before the last word of a name, in small letters, and that word."""
    last = re.split(r"[-_. ]", stem)[-1]
    return stem[: len(stem) - len(last)].lower(), last


def words_for(names: Iterable[str], ending: str) -> str:
    """What to say on the command line to name them: `data.val_folder=Validation …`.

    Of several that mean one split the plainest is taken: the shortest, then by its letters.
    """
    chosen: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        split = split_of(name)
        if split:
            chosen.setdefault(split, name)
    return " ".join(f"data.{split}_{ending}={chosen[split]}" for split in WORDS if split in chosen)
