"""The classes of maps: their names, and by what value or colour each stands in a file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from vit.data.core.file_names import expanded
from vit.data.formats.plain_text import lines_of, read_json, read_text
from vit.faults import did_you_mean

IGNORED = 255  # that of vit.structures, whose import takes torch: recognition does without
MOST = IGNORED - 1  # classes: 255 and 254 mean something else in a map (vit.data.annotations)
SPELT_OUT = 3  # lines of a file that are shown

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class MapClasses:
    """`values` are those of the classes in a map, None where they count on; `colours` their RGB,
    None where maps have numbers. `void_values` and `void_colours` are of what is ignored."""

    names: tuple[str, ...]
    values: tuple[int, ...] | None = None
    colours: tuple[Colour, ...] | None = None
    void_values: tuple[int, ...] = ()
    void_colours: tuple[Colour, ...] = ()

    def without(self, ignored: Sequence[str]) -> MapClasses:
        """The classes but those named, whose pixels are where nobody said; raises ValueError."""
        unknown = [name for name in ignored if name not in self.names]
        if unknown:
            raise ValueError(
                f"data.ignore_classes: there is no class {', '.join(map(repr, unknown))}, only "
                f"{', '.join(self.names[:20])}.{did_you_mean(unknown[0], self.names)}"
            )
        if not ignored:
            return self
        kept = [at for at, name in enumerate(self.names) if name not in ignored]
        if not kept:
            raise ValueError("data.ignore_classes names every class; wanted one left to be learnt.")
        gone = [at for at, name in enumerate(self.names) if name in ignored]
        names = tuple(self.names[at] for at in kept)
        if self.colours is not None:
            colours = self.colours
            return MapClasses(
                names,
                colours=tuple(colours[at] for at in kept),
                void_colours=tuple(colours[at] for at in gone),
            )
        values = range(len(self.names)) if self.values is None else self.values
        return MapClasses(
            names,
            values=tuple(values[at] for at in kept),
            void_values=tuple(values[at] for at in gone),
        )


def sound(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Raises ValueError where a name comes twice, or there are too few or too many."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not 1 <= len(names) <= MOST:
        came = f"the name {twice[0]!r} comes twice" if twice else f"{len(names)} names"
        raise ValueError(f"{where}: {came}; wanted 1 to {MOST} different names.")
    return tuple(names)


def of_values(given: Mapping[Any, Any], where: str) -> MapClasses:
    """Of `{0: background, 255: lesion}`, or turned about, `{background: 0}`, as JSON has it."""
    wrong = []
    found: dict[int, str] = {}
    turned = bool(given) and all(type(value) is int for value in given.values())
    pairs = [(value, key) for key, value in given.items()] if turned else given.items()
    for key, name in pairs:
        text = str(key).strip()
        if not text.isdecimal() or int(text) > IGNORED:
            wrong.append(f"{key!r} is no value of a PNG of 8 bits, 0 to {IGNORED}")
        elif not isinstance(name, str | int) or not str(name).strip():
            wrong.append(f"the name of {key} is {name!r}; wanted a text")
        elif int(text) in found:
            wrong.append(f"the value {text} comes twice")
        else:
            found[int(text)] = str(name).strip()
    if wrong or not found:
        said = "; ".join(wrong) or "no class"
        raise ValueError(f"{where}: {said}. Wanted such as {{0: background, 255: lesion}}.")
    values = tuple(sorted(found))
    return MapClasses(sound([found[value] for value in values], where), values)


def of_file(file: Path) -> MapClasses:
    """Of a file with a name a line; a .json with a list of names, or with value → name."""
    if file.suffix.lower() != ".json":
        return MapClasses(sound(lines_of(file), str(file)))
    content = read_json(file)
    if isinstance(content, list) and all(isinstance(name, str | int) for name in content):
        return MapClasses(sound([str(name).strip() for name in content], str(file)))
    if isinstance(content, dict):
        if any(isinstance(value, list) for value in content.values()):
            raise ValueError(f"{file} names colours: data.palette={file.name} reads them.")
        return of_values(content, str(file))
    raise ValueError(f"{file}: wanted a list of names, or an object of values and their names.")


def of_palette(given: Mapping[Any, Any] | str, root: Path) -> MapClasses:
    """Of `{road: [128, 64, 128]}`, or of a file in `root`: .json of the same form, or a .csv or
    .txt with a name and three numbers a line, in either order. Raises ValueError."""
    if isinstance(given, Mapping):
        rows = [(str(name).strip(), colour) for name, colour in given.items()]
        return _coloured(rows, "data.palette")
    file = root / expanded(given)
    if not file.is_file():
        near = sorted(path.name for path in root.iterdir() if path.is_file())
        raise ValueError(
            f"data.palette={given}: there is no file {file}.{did_you_mean(file.name, near)}"
        )
    if file.suffix.lower() == ".json":
        content = read_json(file)
        if not isinstance(content, dict):
            raise ValueError(f"{file}: wanted an object of names and colours, [red, green, blue].")
        return _coloured(
            [(str(name).strip(), colour) for name, colour in content.items()], str(file)
        )
    rows, odd = [], []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = next(csv.reader(StringIO(line))) if "," in line else line.split()
        cells = [cell.strip() for cell in cells if cell.strip()]
        if len(cells) > 3 and all(map(str.isdecimal, cells[-3:])):
            rows.append((" ".join(cells[:-3]), [int(cell) for cell in cells[-3:]]))
        elif len(cells) > 3 and all(map(str.isdecimal, cells[:3])):
            rows.append((" ".join(cells[3:]), [int(cell) for cell in cells[:3]]))
        elif rows or not {"r", "red"} & {cell.lower() for cell in cells}:
            odd.append(f"row {number} ({line.strip()[:40]})")
    if odd:
        raise ValueError(
            f"{file}: {', '.join(odd[:SPELT_OUT])} ({len(odd)} in all); wanted a name and its red, "
            "green and blue, 0 to 255, in each line."
        )
    return _coloured(rows, str(file))


def _coloured(rows: Sequence[tuple[str, Any]], where: str) -> MapClasses:
    wrong = []
    names_of: dict[Colour, str] = {}
    for name, colour in rows:
        numbers = colour if isinstance(colour, list | tuple) else ()
        whole = [n for n in numbers if type(n) is int and 0 <= n <= IGNORED]
        if len(whole) != 3 or len(numbers) != 3:
            wrong.append(f"{name}: {colour!r} is no colour; wanted three numbers from 0 to 255")
            continue
        key = (whole[0], whole[1], whole[2])
        if key in names_of:
            wrong.append(f"{names_of[key]} and {name} have one colour, {list(key)}")
        names_of[key] = name
    if wrong:
        raise ValueError(f"{where}: {'; '.join(wrong)}.")
    return MapClasses(sound([name for name, _ in rows], where), colours=tuple(names_of))
