"""Parts of a data set that stay the same for the same number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vit.data.core.sources import Samples

GROUP_TURNS = 4  # over all groups; the later ones mend what the first left


def split_members(
    sources: Mapping[str, Samples],
    fractions: Mapping[str, float],
    seed: int,
    train_limit: int | None = None,
    unused: Mapping[str, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[str, np.ndarray]]:
    """Split → the name of its source and the positions of its samples there.

    Splits without a source of their own are set aside from train, by `fractions` and in their
    order; of what is left, `train_limit` samples are drawn. `unused` are positions of each source
    that belong to no split; of train's `groups`, one a sample, each is in one split as a whole.
    Raises ValueError where there are not
    so many.
    """
    found = {name: (name, np.arange(len(source))) for name, source in sources.items()}
    for name, positions in (unused or {}).items():
        found[name] = (name, np.setdiff1d(found[name][1], positions))
    members = found["train"][1]
    for name, fraction in fractions.items():
        if name in found or fraction == 0:
            continue
        labels = sources["train"].labels[members]
        if groups is None:
            rest, part = stratified_split(labels, fraction, seed)
        else:
            rest, part = grouped_split(labels, groups[members], fraction, seed)
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


def grouped_split(
    labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sorted arrays of positions as `stratified_split` gives them, and no group is in both.

    In an order that the seed draws, a group goes into the part, or back, where that brings the
    shares of classes nearer to `fraction`, a few times over; each class counts as much as any
    other, and none gives its last samples. At least one group goes there. Raises ValueError where
    none can.
    """
    kinds, strata = np.unique(_groups(labels), return_inverse=True)
    names, owner = np.unique(groups, return_inverse=True)
    totals = np.bincount(strata, minlength=len(kinds))
    pairs, counts = np.unique(owner * len(kinds) + strata, return_counts=True)
    edges = np.searchsorted(pairs, np.arange(len(names) + 1) * len(kinds))
    taken, target = np.zeros(len(kinds)), fraction * totals
    chosen = np.zeros(len(names), dtype=bool)
    order = np.random.default_rng([seed, 0x96095]).permutation(len(names)).tolist()
    possible: dict[int, float] = {}  # group → how much farther it alone would bring the shares
    for turn in range(GROUP_TURNS):
        for group in order:
            inside = slice(edges[group], edges[group + 1])
            at, count = pairs[inside] % len(kinds), counts[inside]
            change = -count if chosen[group] else count
            if (taken[at] + change >= totals[at]).any():
                continue
            gap = taken[at] - target[at]
            farther = float((((gap + change) ** 2 - gap**2) / totals[at] ** 2).sum())
            if farther < 0:
                chosen[group] ^= True
                taken[at] += change
            elif not turn and not chosen.any():
                possible[group] = farther
    if not chosen.any():
        if not possible:
            some = "there is one group only" if len(names) == 1 else "each has all of some class"
            raise ValueError(
                f"no group can be set aside, as {some} ({len(names):,} groups, {len(kinds):,} "
                "classes); wanted groups that share their classes, or a split of samples."
            )
        chosen[min(possible, key=lambda group: possible[group])] = True
    in_part = chosen[owner]
    return np.flatnonzero(~in_part), np.flatnonzero(in_part)


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
