"""How much the loss of each class's pixels counts, given by name or computed from their number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vit.faults import did_you_mean, shorten

Kind = Literal["balanced", "inverse_sqrt", "median_frequency"]
WIDE = 1000  # times the smallest weight; what is beyond makes steps jump


def given_weights(given: Mapping[Any, Any], names: Sequence[str]) -> list[float]:
    """The weights by class, 1 for those not named.

    Raises ValueError for a name that is no class and for what is no number above 0.
    """
    by_name = {str(name): value for name, value in given.items()}
    for name, value in by_name.items():
        if name not in names:
            raise ValueError(
                f"task.class_weights names {name!r}, which is no class."
                f"{did_you_mean(name, names)} The classes are {shorten(list(names))}."
            )
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ValueError(
                f"task.class_weights gives {name!r} the weight {value!r}; wanted a number above 0. "
                "Pixels that are not to count are labelled 255 (data.ignore_value)."
            )
    return [float(by_name.get(name, 1.0)) for name in names]


def computed_weights(
    kind: Kind, counts: np.ndarray, around: np.ndarray, names: Sequence[str]
) -> list[float]:
    """Weights by class from its pixels in all training maps, of mean 1 over these pixels.

    So that the loss, and with it the learning rate, keeps its size. Of a class with n of the
    pixels "balanced" is in proportion to 1 / n, "inverse_sqrt" to 1 / √n, and "median_frequency"
    to 1 / f, with f its share of the pixels of those maps that show it (`around`).

    Raises ValueError where a class has no pixels.

    Source of the last: Eigen and Fergus 2015, arXiv:1411.4734, section 6.3.2.
    """
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if len(absent) == len(names):
        raise ValueError(
            f"task.class_weights={kind}: no training map has a pixel of any class to count; wanted "
            "null, or maps with classes."
        )
    if absent:
        raise ValueError(
            f"task.class_weights={kind}: no training map shows {shorten(absent)}, whose weight "
            "would have no end. Leave what is never shown out of the classes, or give weights by "
            f"name, 1 for whatever is not named: task.class_weights={{{_example(counts, names)}}}."
        )
    pixels = counts.astype(np.float64)
    if kind == "balanced":
        raw = 1 / pixels
    elif kind == "inverse_sqrt":
        raw = 1 / np.sqrt(pixels)
    else:
        raw = around / pixels
    return (raw * pixels.sum() / (raw * pixels).sum()).tolist()


def _example(counts: np.ndarray, names: Sequence[str]) -> str:
    """The rarest class that there is."""
    shown = [at for at in range(len(names)) if counts[at]]
    return f"{names[min(shown, key=lambda at: counts[at])]}:10"


def told_weights(weights: Sequence[float], names: Sequence[str]) -> str:
    """The largest first, as the check and the log show them."""
    order = sorted(range(len(names)), key=lambda at: -weights[at])
    return shorten([f"{names[at]} {weights[at]:.3g}" for at in order])
