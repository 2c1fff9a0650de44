"""Parts of a data set that stay the same for the same number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vit.data.core.sources import Samples


def split_members(
    sources: Mapping[str, Samples],
    fractions: Mapping[str, float],
    seed: int,
    train_limit: int | None = None,
    unused: Mapping[str, np.ndarray] | None = None,
) -> dict[str, tuple[str, np.ndarray]]:
    """Split → the name of its source and the positions of its samples there.

    Splits without a source of their own are set aside from train, by `fractions` and in their
    order; of what is left, `train_limit` samples are drawn. `unused` are positions of each source
    that belong to no split. Raises ValueError where there are not
    so many.
    """
    found = {name: (name, np.arange(len(source))) for name, source in sources.items()}
    for name, positions in (unused or {}).items():
        found[name] = (name, np.setdiff1d(found[name][1], positions))
    members = found["train"][1]
    for name, fraction in fractions.items():
        if name in found or fraction == 0:
            continue
        rest, part = stratified_split(sources["train"].labels[members], fraction, seed)
        found[name] = ("train", members[part])
        members = members[rest]
    if train_limit is not None:
        if train_limit > len(members):
            raise ValueError(
                f"data.train_limit={train_limit}, but train holds {len(members)} images."
            )
        members = members[evenly_drawn(sources["train"].labels[members], train_limit, seed)]
    found["train"] = ("train", members)
    return {name: found[name] for name in ("train", "val", "test") if name in found}


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted arrays of positions: the rest, and `fraction` of the samples of every class.

    Each class gives its share rounded to the nearest, at least one and never all, so a class
    with a single image stays in the rest. Images with several labels count under the set of
    labels they have; where nearly every image has a set of its own, they are drawn as one group.
    """
    groups = _groups(labels)
    generator = np.random.default_rng([seed, 0x5B117])
    taken = []
    for members in _members(groups):
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        taken.append(generator.permutation(members)[:count])
    part = np.sort(np.concatenate(taken))
    return np.setdiff1d(np.arange(len(labels)), part, assume_unique=True), part


def evenly_drawn(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` sorted positions, as many of each class as of any other while they last."""
    generator = np.random.default_rng([seed, 0xE7E])
    turn = np.empty(len(labels), dtype=np.int64)
    for members in _members(_groups(labels)):
        turn[generator.permutation(members)] = np.arange(len(members))
    # Within a turn the classes come in random order, so that the cut favours none.
    tie = generator.permutation(len(labels))
    return np.sort(np.lexsort((tie, turn))[:count])


def _groups(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 1:
        return labels
    kinds, groups = np.unique(labels, axis=0, return_inverse=True)
    if 2 * len(kinds) > len(labels):
        return np.zeros(len(labels), dtype=np.int64)
    return groups.ravel()


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """The positions of every group, without a pass over all samples for each."""
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, edges)
