"""Parts of a data set that stay the same for the same number."""

from __future__ import annotations

import numpy as np


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted arrays of positions: the rest, and `fraction` of the samples of every class.

    Each class gives its share rounded to the nearest, at least one and never all, so a class
    with a single image stays in the rest. Images with several labels count under the set of
    labels they have.
    """
    generator = np.random.default_rng([seed, 0x5B117])
    groups = labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1]
    taken = []
    for group in np.unique(groups):
        members = np.flatnonzero(groups.ravel() == group)
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        taken.append(generator.permutation(members)[:count])
    part = np.sort(np.concatenate(taken))
    rest = np.setdiff1d(np.arange(len(labels)), part, assume_unique=True)
    return rest, part
