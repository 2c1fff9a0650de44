"""Texts from files: TSV or JSON lines, gzipped or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vit.data.class_names import require_distinct, sorted_names
from vit.data.plain_text import require_text
from vit.data.text import TextContents, TextData, TextSource
from vit.data.text_files import columns_of
from vit.faults import did_you_mean


@dataclass(kw_only=True, eq=False)
class TextTable(TextData):
    """A row per sample: its text, and its class or the other text.

    Args:
        train, val, test: files, .tsv or .jsonl, .gz behind it or not; without val or test a part
            of train is set aside (val_fraction, test_fraction).
        target: what the second column holds: "class" for classification, "text" for writing.
        input_column, target_column: of a .tsv the number of the column, from 0; of a .jsonl a key.
        header: whether the first row of a .tsv names its columns, which then serve as numbers do.
    """

    train: str
    val: str | None = None
    test: str | None = None
    target: Literal["class", "text"] = "class"
    input_column: int | str = 0
    target_column: int | str = 1
    header: bool = False

    def read(self) -> TextContents:
        files = {"train": self.train, "val": self.val, "test": self.test}
        _require_several(files)
        read = {name: self._columns(file, name) for name, file in files.items() if file is not None}
        origin = {name: str(files[name]) for name in read}
        row = 2 if self.header else 1
        if self.target == "text":
            sources = {
                name: TextSource(texts, np.zeros(len(texts), dtype=np.int64), others, row)
                for name, (texts, others) in read.items()
            }
            return TextContents(sources, None, origin)
        found = {label for label in read["train"][1] if label}
        require_distinct(found, self.train)
        names = sorted_names(found)
        sources = {}
        number = {name: position for position, name in enumerate(names)}
        for split, (texts, labels) in read.items():
            for place, label in enumerate(labels):
                if label not in number:
                    raise ValueError(
                        f"{files[split]}, row {place + row}: the class {label!r} is not in "
                        f"{self.train}.{did_you_mean(label, names)}"
                    )
            numbers = np.array([number[label] for label in labels], dtype=np.int64)
            sources[split] = TextSource(texts, numbers, None, row)
        return TextContents(sources, names, origin)

    def _columns(self, name: str, key: str) -> tuple[list[str], list[str]]:
        file = Path(name).expanduser()
        if not file.is_file():
            raise ValueError(
                f"data.{key}={name} is no file; wanted .tsv or .jsonl, maybe with .gz."
            )
        inputs, targets = columns_of(file, (self.input_column, self.target_column), self.header)
        if not inputs:
            raise ValueError(f"{file} holds no rows.")
        for values in (inputs, targets):
            require_text(values, str(file), 2 if self.header else 1)
        return inputs, targets


def _require_several(files: dict[str, str | None]) -> None:
    """Raises ValueError where two splits are one file, however its path is spelt."""
    seen: dict[Path, str] = {}
    for split, name in files.items():
        if name is not None:
            other = seen.setdefault(Path(name).expanduser().resolve(), split)
            if other != split:
                raise ValueError(
                    f"data.{split}={name} is the file of {other} too; a test on what was trained "
                    f"on says nothing. data.{split}=null sets a part of train aside."
                )
