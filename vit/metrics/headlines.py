"""Of all that is measured, what a person looks for first."""

from __future__ import annotations

# Shares of one, by the last part of a metric's name, as people call them.
HEADLINES = {
    "accuracy": "accuracy",
    "ap": "AP",
    "ap50": "AP50",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "miou": "mIoU",
    "pq": "PQ",
    "exact_match": "exact match",
    "token_accuracy": "tokens right",
}
