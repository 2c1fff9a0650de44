"""From text to numbers and back: byte-pair encoding, trained on the data.

A trained tokenizer is plain JSON in the format of the `tokenizers` library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vit.structures import END, PAD, START, UNKNOWN

SPECIAL = {PAD: "<pad>", START: "<start>", END: "<end>", UNKNOWN: "<unknown>"}
SMALLEST = len(SPECIAL) + 1


def train_tokenizer(texts: Iterable[str], vocabulary: int, *, lowercase: bool = False) -> str:
    """JSON of a tokenizer whose vocabulary has at most so many entries, the special ones first.

    Words begin with a mark of the space before them; each digit is a token of its own. The same
    texts give the same JSON. Raises ValueError where the library is not installed.
    """
    library = _library()
    tokenizer = library.Tokenizer(library.models.BPE(unk_token=SPECIAL[UNKNOWN]))
    steps = [library.normalizers.NFC()]
    steps += [library.normalizers.Lowercase()] if lowercase else []
    tokenizer.normalizer = library.normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
        [
            library.pre_tokenizers.Metaspace(),
            library.pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = library.decoders.Metaspace()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[SPECIAL[number] for number in sorted(SPECIAL)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


class Tokenizer:
    """A trained tokenizer, from its JSON; cheap to send to another process."""

    def __init__(self, json: str):
        self._json = json
        try:
            self._tokenizer: Any = _library().Tokenizer.from_str(json)
        except ImportError:
            raise
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"this is no tokenizer's JSON: {error}") from None
        found = [self._tokenizer.id_to_token(number) for number in sorted(SPECIAL)]
        if found != [SPECIAL[number] for number in sorted(SPECIAL)]:
            raise ValueError(
                f"the tokenizer begins with {found}; wanted {list(SPECIAL.values())}, as "
                "train_tokenizer makes it."
            )
        # What a text says is never a special token, even where it is spelt like one.
        self._tokenizer.encode_special_tokens = True

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[str]]:
        return Tokenizer, (self._json,)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, texts: Sequence[str], most: int) -> tuple[list[list[int]], int]:
        """The tokens of each text with END behind them, and how many texts were cut to `most`."""
        found = [row.ids for row in self._tokenizer.encode_batch_fast(list(texts))]
        cut = sum(len(row) >= most for row in found)
        return [[*row[: most - 1], END] for row in found], cut

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """The text of each row of tokens, up to its END; special tokens are left out."""
        texts = []
        for row in rows:
            tokens = list(row)
            tokens = tokens[: tokens.index(END)] if END in tokens else tokens
            texts.append(self._tokenizer.decode(tokens, skip_special_tokens=True))
        return texts

    def pieces(self, row: Sequence[int]) -> list[str]:
        """What each token stands for."""
        return [self._tokenizer.id_to_token(token) for token in row]


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise ValueError(
            "texts need the tokenizers library: pip install 'vit-experiments[text]'"
        ) from None
    return tokenizers
