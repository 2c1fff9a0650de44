"""BLEU, chrF and ROUGE of texts that a model wrote, over the texts of all ranks."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch.distributed as dist

from vit.runs.distributed import several_ranks

NAMES = {"bleu": ("bleu",), "chrf": ("chrf",), "rouge": ("rouge_1", "rouge_2", "rouge_l")}


class WrittenMetrics:
    """Compares texts as a person reads them, each once, whatever the batches and ranks.

    `wanted` are of "bleu", "chrf" (both 0 to 100, of the whole corpus, by the sacrebleu library
    with its defaults) and "rouge" (three F1 from 0 to 1, the mean over texts; see `rouge`).

    Raises ValueError for another name, and where sacrebleu is wanted and not installed.
    """

    def __init__(self, wanted: Sequence[str]):
        unknown = [name for name in wanted if name not in NAMES]
        if unknown:
            raise ValueError(f"task.text_metrics has {unknown[0]!r}; wanted {', '.join(NAMES)}.")
        self.wanted = tuple(name for name in NAMES if name in wanted)
        if {"bleu", "chrf"} & set(self.wanted):
            _sacrebleu()
        self.reset()

    @property
    def names(self) -> tuple[str, ...]:
        """What `compute` tells."""
        return tuple(name for group in self.wanted for name in NAMES[group])

    def reset(self) -> None:
        self._texts: dict[int, tuple[str, str]] = {}  # by their position in the data

    def update(self, index: Iterable[int], written: Iterable[str], right: Iterable[str]) -> None:
        """Adds texts with their positions in the data, and what they should be."""
        for position, *pair in zip(index, written, right, strict=True):
            self._texts[position] = (pair[0], pair[1])

    def compute(self) -> dict[str, float]:
        """Over all ranks; every rank must call it, once per evaluation."""
        if not self.wanted:
            return {}
        texts = dict(self._texts)
        if several_ranks():
            parts: list[dict[int, tuple[str, str]]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(parts, texts)
            texts = {position: pair for part in parts for position, pair in part.items()}
        if not texts:
            return dict.fromkeys(self.names, math.nan)
        # In the data's order: a sum of floats tells how it was ordered.
        written, right = zip(*(texts[position] for position in sorted(texts)), strict=True)
        found: dict[str, float] = {}
        if "bleu" in self.wanted:
            found["bleu"] = _sacrebleu().BLEU().corpus_score(written, [right]).score
        if "chrf" in self.wanted:
            found["chrf"] = _sacrebleu().CHRF().corpus_score(written, [right]).score
        if "rouge" in self.wanted:
            rows = [rouge(one, other) for one, other in zip(written, right, strict=True)]
            means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
            found |= dict(zip(NAMES["rouge"], means, strict=True))
        return {name: found[name] for name in self.names}


def rouge(written: str, right: str) -> tuple[float, float, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L of one text as F1, 0 where they share nothing.

    Words are runs of letters and digits of any script, in lower case and not stemmed. Equals the
    rouge_score library, given these words. Source: Lin 2004, aclanthology.org/W04-1013.
    """
    one, other = _words(written), _words(right)
    pairs = [Counter(pairwise(words)) for words in (one, other)]
    return (
        _f1((Counter(one) & Counter(other)).total(), len(one), len(other)),
        _f1((pairs[0] & pairs[1]).total(), pairs[0].total(), pairs[1].total()),
        _f1(_longest_common(one, other), len(one), len(other)),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _f1(shared: int, one: int, other: int) -> float:
    return 2 * shared / (one + other) if shared else 0.0


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words the longest sequence has that is in both, with gaps allowed."""
    row = [0] * (len(other) + 1)  # of what was read of `one`, against each beginning of `other`
    for word in one:
        before = 0
        for place, against in enumerate(other, start=1):
            above = row[place]
            row[place] = before + 1 if word == against else max(above, row[place - 1])
            before = above
    return row[-1]


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError:
        raise ValueError(
            "task.text_metrics wants BLEU or chrF, which need the sacrebleu library: pip install "
            "'vit-experiments[text]'; or leave them out: 'task.text_metrics=[rouge]'."
        ) from None
    return sacrebleu
