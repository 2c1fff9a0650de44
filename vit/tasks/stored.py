"""The config that a run's folder holds, before anything is built of it.

The folder may be a stranger's, or its file edited by hand: what stands there is checked as a
command's words are, and starts no download.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.trust import without_fetching
from vit.schema import schema_faults

OF_THE_MODEL = ("data", "backbone", "head")  # what a trained model is made of, without Lightning


def stored_config(
    folder: RunFolder, allow_targets: Iterable[str] = (), only: Collection[str] | None = None
) -> dict[str, Any]:
    """A run's config, sound in keys, types and numbers, and without a download.

    Parts may come from the usual packages and from `allow_targets`, whatever the file says. With
    `only` these parts alone are checked against their classes, which imports them: whoever trains
    nothing need not wait for Lightning.
    Raises Refused naming the file and each key. Takes milliseconds: nothing is built or read.
    """
    config = folder.config()
    faults = schema_faults({**config, "allow_targets": list(allow_targets)}, only)
    if faults:
        file = folder.config_file
        raise Refused([Fault(f"{file}: {fault.where}", fault.message) for fault in faults])
    return without_fetching(config)
