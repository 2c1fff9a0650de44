"""Every config group with its options, for a command's help."""

from __future__ import annotations

import textwrap
from pathlib import Path

from vit.cli.compose import config_folder
from vit.cli.config_groups import choosable, those_with

NAMED = 3  # of the parts that have a group


def choices() -> str:
    """A line for each group; of one that only some parts have, with which it goes."""
    shipped = config_folder()
    lines = ["choices, one of each group (vit keys GROUP lists the keys of one):"]
    for folder in sorted(path for path in shipped.rglob("*") if path.is_dir()):
        name = folder.relative_to(shipped).as_posix()
        if options := _options(shipped, name):
            text = f"{name}={', '.join(options)}{_of_some(shipped, name)}"
            wrapped = textwrap.wrap(text, 96, subsequent_indent="      ")
            lines += [f"  {line}" for line in wrapped]
    lines.append("task=… brings a head, a metric and epochs unless chosen (recipe=, conf/recipe)")
    return "\n".join(lines)


def _options(shipped: Path, group: str) -> list[str]:
    return choosable([shipped], group, (path.stem for path in (shipped / group).glob("*.yaml")))


def _of_some(shipped: Path, group: str) -> str:
    """` (with head=deformable)`, where only some of the group above have such a part."""
    above = group.rpartition("/")[0]
    some = those_with([shipped], group)
    if not some or some == _options(shipped, above):
        return ""
    more = ", …" if len(some) > NAMED else ""
    return f" (with {above}={', '.join(some[:NAMED])}{more})"
