"""What was skipped because it could not be read, in words: of metrics.json and of evaluations."""

from __future__ import annotations


def left_out_summary(counts: object, unit: str) -> str:
    """`3 images of train, 1 of val could not be read`; nothing where all could."""
    if not isinstance(counts, dict):
        return ""
    counted = [(split, n) for split, n in counts.items() if isinstance(n, int) and n > 0]
    named = ", ".join(f"{n:,} of {split}" for split, n in counted)
    return f"{unit}s that could not be read: {named}" if counted else ""
