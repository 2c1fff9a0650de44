"""What can be chosen where classes of few pixels are never predicted, as words to paste."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vit.faults import shorten

PAGE = "docs/segmentation.md, Rare classes"
RARE = 0.1  # of an even share of the pixels: below it a class is rare
PLAIN = "vit.losses.pixels.CrossEntropy"


def rare_classes(shares: Mapping[str, float]) -> dict[str, float]:
    """Classes that have some pixels, and less than a tenth of an even share of them."""
    limit = RARE / max(len(shares), 1)
    return {name: share for name, share in shares.items() if 0 < share < limit}


def unfound_classes(tables: Mapping[str, Any]) -> dict[str, float]:
    """Class → its share of the pixels, of those that have some and an IoU of 0."""
    ious, pixels = tables.get("class_iou"), tables.get("pixels")
    if not ious or not pixels or not (total := sum(pixels)):
        return {}
    rows = zip(tables["classes"], ious, pixels, strict=True)
    return {name: count / total for name, iou, count in rows if count and iou == 0}


def with_shares(shares: Mapping[str, float]) -> str:
    """The first classes with their shares of the pixels, and how many more there are."""
    told = [f"{name} ({100 * share:.2g} % of the pixels)" for name, share in shares.items()]
    return shorten(told)


def choices_left(task: Mapping[str, Any], data: Mapping[str, Any], maps: bool) -> list[str]:
    """Words of which each may help, without what these parts of a config have already.

    `maps` says whether the head answers with maps of classes, which `task.class_weights` and
    `task/pixel_loss` are for.
    """
    left = []
    if maps and task.get("class_weights") is None:
        left.append("task.class_weights=inverse_sqrt")
    loss = task.get("pixel_loss")
    if maps and (loss is None or loss.get("_target_") == PLAIN):
        left.append("task/pixel_loss=sum")
    if not data.get("class_sampling"):
        left.append("data.class_sampling=0.5")
    return left


def joined(words: list[str]) -> str:
    """The choices in words. Drawing images alone does little where many show the class already."""
    first = [word for word in words if not word.startswith("data.")]
    last = [word for word in words if word.startswith("data.")]
    few = [f"{word} where few images show them" for word in last]
    return ", and ".join(filter(None, [" or ".join(first), *few]))


def told_of_unfound(shares: Mapping[str, float], config: Mapping[str, Any]) -> str:
    """What the end of a run says of classes that it never found."""
    maps = str((config.get("head") or {}).get("_target_", "")).endswith("SemanticHead")
    words = choices_left(config.get("task") or {}, config.get("data") or {}, maps)
    told = f"{with_shares(shares)}: not one pixel found"
    if words:
        return f"{told}. Try {joined(words)}: {PAGE}"
    return f"{told}, with all that {PAGE} has for rare classes; train longer, or look at the labels"
