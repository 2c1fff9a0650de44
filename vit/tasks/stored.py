"""The config that a run's folder holds, before anything is built of it.

The folder may be a stranger's, or its file edited by hand: what stands there is checked as a
command's words are, and starts no download.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vit.build import parameter_types
from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.trust import without_fetching
from vit.schema import fits, readable, schema_faults
from vit.tasks.assembly import shipped_spec
from vit.tasks.spec import settings_named

OF_THE_MODEL = (
    "data",
    "backbone",
    "head",
    "tuning",
)  # what a trained model is made of, without Lightning


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
    if only is not None and "task" not in only:
        faults += _setting_faults(config.get("task") or {})
    if faults:
        file = folder.config_file
        raise Refused([Fault(f"{file}: {fault.where}", fault.message) for fault in faults])
    return without_fetching(config)


def _setting_faults(task: Mapping[str, Any]) -> list[Fault]:
    """Of those settings of a task of vit's own that its spec asks for."""
    spec = shipped_spec(task.get("_target_"))
    methods = inspect.getmembers(spec, inspect.isfunction) if spec else ()
    wanted = {
        name: parameter_types(method).get(name, Any)
        for _, method in methods
        for name in settings_named(method)
    }
    return [
        Fault(f"task.{name}", f"is {task[name]!r}; wanted {readable(hint)}")
        for name, hint in wanted.items()
        if name in task and not fits(task[name], hint)
    ]
