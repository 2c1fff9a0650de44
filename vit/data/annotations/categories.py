"""Classes of objects as files list them: numbers with names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vit.data.core.unsound import Unsound
from vit.faults import Fault


def categories_in(file: Path, entries: list[dict[str, Any]], faults: list[Fault]) -> dict[int, str]:
    """Id → name."""
    found: dict[int, str] = {}
    for at, entry in enumerate(entries):
        number, name = entry.get("id"), entry.get("name")
        if type(number) is not int or not isinstance(name, str):
            came = f": id={number!r}, name={name!r}"[:100]
            message = f"categories[{at}] has no whole `id` or no `name`{came}; wanted as in "
            faults.append(Fault(str(file), message + '{"id": 1, "name": "cat"}.'))
        elif number in found:
            faults.append(Fault(str(file), f"two categories have the id {number}."))
        else:
            found[number] = name
    if not found:
        raise Unsound(faults or [Fault(str(file), "lists no categories.")])
    return found


def class_names(categories: Mapping[int, str]) -> tuple[str, ...]:
    """Names in the order of their ids; one that several have gets the id behind it."""
    names = list(categories.values())
    return tuple(
        name if names.count(name) == 1 else f"{name} ({number})"
        for number, name in sorted(categories.items())
    )


def same_names(categories: Mapping[int, str], where: str) -> list[str]:
    """A warning for each name that several classes have."""
    numbers: dict[str, list[int]] = {}
    for number, name in categories.items():
        numbers.setdefault(name, []).append(number)
    return [
        f"{where}: {', '.join(map(str, several))} are all called {name!r}, and are taken for "
        f"{len(several)} classes."
        for name, several in numbers.items()
        if len(several) > 1
    ]


def other_categories(file: Path, here: dict[int, str], train: dict[int, str]) -> Fault:
    """What to say of a file whose categories are not those of train."""
    differences = [f"lacks {n} {train[n]!r}" for n in sorted(train.keys() - here.keys())]
    differences += [f"adds {n} {here[n]!r}" for n in sorted(here.keys() - train.keys())]
    differences += [
        f"calls {n} {here[n]!r}, not {train[n]!r}"
        for n in sorted(here.keys() & train.keys())
        if here[n] != train[n]
    ]
    message = f"its categories differ from those of train: {'; '.join(differences[:5])}."
    return Fault(str(file), message)
