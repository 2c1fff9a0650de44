"""What the tasks on text share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.facts import CaptionFacts, TextFacts
from vit.structures import PAD


def keep_tokenizer(trainer: Any, facts: TextFacts | CaptionFacts) -> None:
    """Writes tokenizer.json into the run's folder, for whoever wants the tokens elsewhere.

    vit itself reads the tokenizer from the checkpoint, where it is one of the facts.
    """
    if trainer.is_global_zero:
        file = Path(trainer.default_root_dir) / "tokenizer.json"
        part = file.with_suffix(".part")
        part.write_text(facts.tokenizer, encoding="utf-8")
        part.replace(file)


def tokens_of(trained: Any, texts: Sequence[str]) -> Tensor:
    """Texts as the run's model wants them, on its device."""
    rows, _ = trained.transform.encode(texts, trained.facts.max_tokens)
    longest = max(map(len, rows))
    padded = [row + [PAD] * (longest - len(row)) for row in rows]
    return torch.tensor(padded, device=next(trained.model.parameters()).device)


def require_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"task.label_smoothing={label_smoothing}; wanted 0 or more, below 1.")
