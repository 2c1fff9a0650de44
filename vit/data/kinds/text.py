"""The base of every kind of text data: texts with a class each, or with another text each.

A kind is a dataclass that adds its own keys and says in `read` what there is. No
`from __future__ import annotations` here: signatures are the schema (see transforms.py).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch

from vit.data.core.samples import SampleData
from vit.data.core.sampling import Key
from vit.data.core.sources import Contents
from vit.data.core.split import Split
from vit.data.core.unseen_classes import UnseenClasses, without_unseen
from vit.data.formats.tokenizing import SMALLEST, Tokenizer, train_tokenizer
from vit.facts import TextFacts
from vit.faults import NAMED, Fault
from vit.structures import PAD, TextBatch


@dataclass(eq=False)
class TextSource:
    """Texts, and for each a class number or another text."""

    texts: list[str]
    labels: np.ndarray  # class numbers [n], int64; zeros where there are other texts
    targets: list[str] | None = None
    row: int = 1  # of the first text in its file

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, position: int) -> str:
        return f"row {position + self.row}"


@dataclass(eq=False)
class Encoded:
    """Rows of tokens as one array: lists of lists would be copied, row by row, to every worker."""

    tokens: np.ndarray  # int32
    starts: np.ndarray  # [rows + 1]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Encoded":
        lengths = np.array([0, *(len(row) for row in rows)], dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
        return cls(flat, lengths.cumsum())

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def padded(self, rows: Sequence[int]) -> torch.Tensor:
        """[rows, longest of them], filled up with PAD."""
        parts = [self.tokens[self.starts[row] : self.starts[row + 1]] for row in rows]
        batch = np.full((len(parts), max(map(len, parts))), PAD, dtype=np.int64)
        for row, part in zip(batch, parts, strict=True):
            row[: len(part)] = part
        return torch.from_numpy(batch)


@dataclass(eq=False, kw_only=True)
class TextSplit(Split[int, int, TextBatch]):
    """One split, encoded. `targets` are the other texts, or None where each text has a class.

    `references` are the other texts as they stand, where a batch is to carry them. Texts are never
    changed: until a batch is made, a row's number stands for it.
    """

    texts: Encoded
    labels: np.ndarray
    targets: Encoded | None
    references: list[str] | None = None

    def read(self, sample: int) -> int:
        return sample

    def change(self, raw: int, key: Key, view: int) -> int:
        return raw

    def collate(self, samples: list[int], keys: list[Key], view: int) -> TextBatch:
        rows = samples
        if self.targets is None:
            targets = torch.from_numpy(self.labels[rows])
        else:
            targets = self.targets.padded(rows)
        references = () if self.references is None else tuple(self.references[i] for i in rows)
        return TextBatch(self.texts.padded(rows), targets, torch.tensor(rows), references)


@dataclass(kw_only=True, eq=False)
class TextData(SampleData[TextSource]):
    """Texts, each with a class or with another text; see SampleData for the keys of all kinds.

    Args:
        vocabulary: most entries of the tokenizer's vocabulary, which is trained on the training
            split, other texts included.
        lowercase: whether the tokenizer tells no capital letters.
        max_tokens: longer texts are cut.
        max_target_tokens: likewise for the other texts; None as many.
        bucketed: texts of one training batch are about equally long, so that little is filled up.
        on_unseen_class: stop at classes of val or test that train lacks, or leave their texts out.
    """

    unit: ClassVar[str] = "text"

    vocabulary: int = 8_000
    lowercase: bool = False
    max_tokens: int = 128
    max_target_tokens: int | None = None
    bucketed: bool = True
    on_unseen_class: UnseenClasses = "error"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocabulary < SMALLEST:
            raise ValueError(f"data.vocabulary={self.vocabulary}; wanted {SMALLEST} or more.")
        for key in ("max_tokens", "max_target_tokens"):
            number = getattr(self, key)
            if number is not None and number < 2:
                raise ValueError(f"data.{key}={number}; wanted 2 or more: the end is one of them.")

    @cached_property
    def contents(self) -> Contents[TextSource]:
        return without_unseen(super().contents, self.on_unseen_class, self.unit)

    @cached_property
    def facts(self) -> TextFacts:
        """What models and losses must agree with, the trained tokenizer among it."""
        train, members = self._source_of("train")
        texts = [train.texts[i] for i in members.tolist()]
        if train.targets is not None:
            texts += [train.targets[i] for i in members.tolist()]
        trained = train_tokenizer(texts, self.vocabulary, lowercase=self.lowercase)
        names = self.contents.class_names
        return TextFacts(
            num_classes=len(names),
            class_names=names,
            tokenizer=trained,
            vocabulary=len(Tokenizer(trained)),
            max_tokens=self.max_tokens,
            max_target_tokens=self.max_target_tokens or self.max_tokens,
        )

    @property
    def task(self) -> str:
        return "text_to_text" if not self.contents.class_names else "text_classification"

    def transform_for(self, facts: TextFacts) -> Tokenizer:
        """What turns a text into the tokens that the model wants; reads no data."""
        return Tokenizer(facts.tokenizer)

    def use_checkpoint_facts(self, facts: TextFacts, transform: Tokenizer) -> None:
        super().use_checkpoint_facts(facts, transform)
        self.facts = facts
        vars(self).pop("_encoded", None)  # by another tokenizer

    @cached_property
    def _encoded(self) -> dict[str, tuple[TextSplit, int]]:
        """Of each split its tokens, and how many of its texts were cut."""
        found: dict[str, tuple[TextSplit, int]] = {}
        most, most_target = self.facts.max_tokens, self.facts.max_target_tokens
        for split in self.splits:
            source, members = self._source_of(split)
            texts = [source.texts[i] for i in members.tolist()]
            rows, cut = self.eval_transform.encode(texts, most)
            targets = None
            if source.targets is not None:
                others = [source.targets[i] for i in members.tolist()]
                other_rows, other_cut = self.eval_transform.encode(others, most_target)
                targets, cut = Encoded.of(other_rows), cut + other_cut
            encoded = TextSplit(
                members=members,
                seed=self.seed,
                texts=Encoded.of(rows),
                labels=source.labels[members],
                targets=targets,
            )
            found[split] = encoded, cut
        return found

    def _split(self, split: str, training: bool) -> TextSplit:
        encoded = self._encoded[split][0]
        source, members = self._source_of(split)
        others = source.targets
        if training or others is None:
            return encoded
        return replace(encoded, references=[others[i] for i in members.tolist()])

    def describe(self) -> dict[str, Any]:
        """The splits as plain values: how many samples, of each class, where from, how long."""
        description: dict[str, Any] = {}
        for split, (name, members) in self.splits.items():
            counts: dict[str, int] = {}
            if names := self.facts.class_names:
                labels = self.contents.sources[name].labels[members]
                numbers = np.bincount(labels, minlength=len(names)).tolist()
                counts = dict(zip(names, numbers, strict=True))
            description[split] = {
                "images": len(members),  # the key of every kind of data
                "from": self.contents.origin.get(split, f"set aside from {name}"),
                "per_class": counts,
                "mean_tokens": float(self._encoded[split][0].texts.lengths.mean()),
            }
        return description

    def sample_lines(self, split: str, count: int) -> list[str]:
        """The first texts of a split, each with its class or other text, a line each."""
        (source, members), names = self._source_of(split), self.contents.class_names
        lines = []
        for i in members[:count].tolist():
            other = names[source.labels[i]] if source.targets is None else source.targets[i]
            lines.append(f"{source.texts[i]}  →  {other}")
        return lines

    def _identity(self) -> Any:
        return self.contents.class_names or None

    def _add_to(self, digest: hashlib.blake2b, source: TextSource, members: np.ndarray) -> None:
        """All texts with their classes or other texts."""
        digest.update(np.ascontiguousarray(source.labels[members]).tobytes())
        for column in (source.texts, source.targets or []):
            for i in members.tolist() if column else []:
                digest.update(column[i].encode() + b"\0")

    def _require_facts(self) -> None:
        super()._require_facts()
        _ = self._encoded

    def _own_faults(self, full: bool) -> list[Fault]:
        """All texts are looked at, whether or not it is a `full` check."""
        faults = []
        names = self.contents.class_names
        if len(names) == 1:
            faults.append(Fault("data", f"only one class, {names[0]!r}; wanted two or more."))
        for split in self.splits:
            source, members = self._source_of(split)
            if not len(members):
                faults.append(Fault("data", f"{split} holds no text."))
            empty = [i for i in members.tolist() if not source.texts[i].strip()]
            if source.targets is not None:
                empty += [i for i in members.tolist() if not source.targets[i].strip()]
            if empty:
                named = ", ".join(source.name(i) for i in sorted(set(empty))[:NAMED])
                message = f"{split}: {len(set(empty))} samples have an empty text, such as {named}."
                faults.append(Fault("data", message))
        return faults

    def _own_warnings(self) -> list[str]:
        lines = []
        for split, (_, cut) in self._encoded.items():
            if cut:
                facts = self.facts
                most = f"data.max_tokens={facts.max_tokens}"
                if not facts.num_classes:
                    most += f" or data.max_target_tokens={facts.max_target_tokens}"
                lines.append(f"{split}: {cut:,} texts are longer than {most} and were cut")
        twice = self._in_train_and_elsewhere()
        for split, count in twice.items():
            lines.append(f"{split}: {count} of its texts are in train too")
        return lines

    def _in_train_and_elsewhere(self) -> dict[str, int]:
        own = {split: set(self._texts(split)) for split in self.splits}
        return {
            split: count
            for split, texts in own.items()
            if split != "train" and (count := len(texts & own["train"]))
        }

    def _texts(self, split: str) -> list[str]:
        source, members = self._source_of(split)
        return [source.texts[i] for i in members.tolist()]

    def _costs(self) -> np.ndarray | None:
        if not self.bucketed:
            return None
        encoded = self._encoded["train"][0]
        return encoded.texts.lengths + (0 if encoded.targets is None else encoded.targets.lengths)
