"""Numbers in words and in digits, generated: sequence data with nothing to download."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vit.data.core.sources import Contents
from vit.data.core.splits import evenly_drawn
from vit.data.kinds.text import TextData, TextSource

_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
ONES = tuple(f"zero one two three four five six seven eight nine {_TEENS}".split())
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
MILLION = 1_000_000


@dataclass(kw_only=True, eq=False)
class NumberWords(TextData):
    """English number words to digits, or back: "forty two thousand seven" and "42007".

    As many numbers of each length are drawn as of any other while they last, since nearly all of
    those below a million have six digits. No number is in two splits. The choice follows
    `draw_seed` alone, and not the run's seed.

    Args:
        samples, test_samples: how many numbers to train on (val included) and to test on.
        largest: the largest number, below a million.
        to: "digits" reads words and writes digits, "words" the other way round.
        draw_seed: of the choice of the numbers.
    """

    samples: int = 30_000
    test_samples: int = 2_000
    largest: int = 999_999
    to: Literal["digits", "words"] = "digits"
    draw_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.largest < MILLION:
            raise ValueError(f"data.largest={self.largest}; wanted 1 to {MILLION - 1}.")
        if min(self.samples, self.test_samples) < 1:
            raise ValueError("data.samples and data.test_samples must be 1 or more.")
        if self.samples + self.test_samples > self.largest + 1:
            raise ValueError(
                f"data.samples={self.samples} and data.test_samples={self.test_samples} are more "
                f"than the {self.largest + 1} numbers up to data.largest."
            )

    def read(self) -> Contents[TextSource]:
        digits = np.array([len(str(number)) for number in range(self.largest + 1)])
        drawn = evenly_drawn(digits, self.samples + self.test_samples, self.draw_seed)
        numbers = np.random.default_rng([self.draw_seed, 0x90D5]).permutation(drawn)
        origin_words = f"number words up to {self.largest:,}"
        return Contents(
            {
                "train": self._source(numbers[: self.samples].tolist()),
                "test": self._source(numbers[self.samples :].tolist()),
            },
            origin={"train": origin_words, "test": origin_words},
        )

    def _source(self, numbers: list[int]) -> TextSource:
        words, digits = [in_words(number) for number in numbers], [str(n) for n in numbers]
        texts, targets = (words, digits) if self.to == "digits" else (digits, words)
        return TextSource(texts, np.zeros(len(numbers), dtype=np.int64), targets)


def in_words(number: int) -> str:
    """`forty two thousand seven` for 42007; from 0 to below a million."""
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens - 2] + (f" {ONES[ones]}" if ones else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    many, rest = divmod(number, unit)
    return f"{in_words(many)} {name}" + (f" {in_words(rest)}" if rest else "")
