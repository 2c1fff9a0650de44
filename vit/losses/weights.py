"""What each term of a detection loss counts, and what the same costs in matching."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True)
class LossWeights:
    """Weights of the classes, boxes (L1), generalised IoU, masks and Dice.

    In a config they are called weight_class, weight_box and so on. Raises ValueError for one that
    is negative or no number.
    """

    prefix: ClassVar[str] = "weight"

    class_: float = 1.0
    box: float = 5.0
    giou: float = 2.0
    mask: float = 5.0
    dice: float = 5.0

    def __post_init__(self) -> None:
        for name, value in self.by_term().items():
            require_weight(f"{self.prefix}_{name}", value)

    def by_term(self) -> dict[str, float]:
        """The weights by the terms' names: class, box, giou, mask, dice."""
        return {each.name.rstrip("_"): getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class MatchingCosts(LossWeights):
    """What the same terms cost in matching queries with objects: cost_class and so on.

    Published with "cross_entropy" of boxes is 1 for the class (DETR).
    """

    prefix: ClassVar[str] = "cost"

    class_: float = 2.0


def require_weight(name: str, value: float) -> None:
    """Raises ValueError unless it is a number of 0 or more."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value}; wanted a number of 0 or more.")
