"""What a check says of one image that stands twice in data, whatever their kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit.data.core.same_files import Repeats
from vit.data.core.sources import Contents, Source
from vit.faults import Fault

SAYS_NOTHING = "a test on images that were trained on says nothing"


def listed_twice(
    found: Repeats, sources: Mapping[str, Source], origin: Mapping[str, str]
) -> list[Fault]:
    """A fault for each split, and each two of them, in which the path of an image comes again."""
    faults = []
    for split, pairs in found.within.items():
        first, again = (_named(sources[split], at) for at in pairs[0])
        other = f" (a second time as {again})" if again != first else ""
        message = (
            f"{len(pairs)} images have more than one row or entry, such as {first}{other}; "
            f"{SAYS_NOTHING}, and each lacks what the other entry says. Keep one of each, with all "
            "that is said of it (several labels of a table's row: data.separator)."
        )
        faults.append(Fault(origin.get(split, "data"), message))
    for (one, other), pairs in found.across.items():
        names = (
            f"{_named(sources[other], pairs[0][1])}, which is {_named(sources[one], pairs[0][0])}"
        )
        message = f"{len(pairs)} images are in {one} too, such as {names}; {SAYS_NOTHING}."
        faults.append(Fault(origin.get(other, "data"), message))
    return faults


@dataclass
class Copies:
    """What is said of images whose bytes are another's."""

    contents: Contents[Any]
    splits: Mapping[str, tuple[str, np.ndarray]]  # see SampleData.splits
    repeats: Repeats
    unit: str
    splits_are_published: bool

    def faults(self) -> list[Fault]:
        """One for each two splits of the data's own that hold images of the same bytes."""
        faults = []
        for (one, other), pairs in self.repeats.across.items():
            if not self._whose(one, other):
                message = f"{self._across(one, other, pairs)}. Keep one of each."
                faults.append(Fault(self.contents.origin.get(other, "data"), message))
        return faults

    def warnings(self) -> list[str]:
        """Copies within a split, and in one that was set aside, or that nobody looked for them."""
        if not self.repeats.looked:
            many = sum(len(members) for _, members in self.splits.values())
            return [
                f"copies among the {many:,} {self.unit}s were not looked for, within splits and "
                "across them: vit check --full does"
            ]
        lines = [
            f"{self._across(one, other, pairs)}; of a split that is {why} they are reported only."
            for (one, other), pairs in self.repeats.across.items()
            if (why := self._whose(one, other))
        ]
        for split, pairs in self.repeats.within.items():
            other_classes, named = self._pairs(split, split, pairs)
            lines.append(
                f"{split}: {len(pairs)} {self.unit}s hold the same bytes as another of "
                f"it{other_classes}, such as {named}."
            )
        return lines

    def _whose(self, one: str, other: str) -> str:
        """Why copies in two splits are nobody's to mend, in words; nothing where they are."""
        if self.splits[one][0] == self.splits[other][0]:
            return "set aside by chance"
        return "published so" if self.splits_are_published else ""

    def _across(self, one: str, other: str, pairs: list[tuple[int, int]]) -> str:
        other_classes, named = self._pairs(one, other, pairs)
        return (
            f"{len(pairs)} {self.unit}s of {other} hold the same bytes as {self.unit}s of "
            f"{one}{other_classes}, such as {named}; {SAYS_NOTHING}"
        )

    def _pairs(self, one: str, other: str, pairs: list[tuple[int, int]]) -> tuple[str, str]:
        """How many copies have other classes than their like, and a copy by name, such if any."""
        sources = self.contents.sources
        of_one, of_other = (sources[self.splits[split][0]] for split in (one, other))
        apart = [(a, b) for a, b in pairs if np.any(of_one.labels[a] != of_other.labels[b])]
        first, again = (apart or pairs)[0]
        named = f"{_named(of_other, again)}, a copy of {_named(of_one, first)}"
        if not apart:
            return "", named
        if of_one.labels.ndim == 1:
            names = self.contents.class_names
            classes = names[int(of_other.labels[again])], names[int(of_one.labels[first])]
            named += " ({!r} and {!r})".format(*classes)
        return f", {len(apart)} of them with another class", named


def _named(source: Source, position: int) -> str:
    return repr(source.name(position))
