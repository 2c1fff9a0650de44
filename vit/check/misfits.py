"""Data and a task that are not for one another: refused with the words that fit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from vit.build import factory_for
from vit.check.case import Case
from vit.data.core.samples import SampleData
from vit.data.recognition.layout import TASKS
from vit.faults import Fault, Misfit
from vit.slots import SLOTS
from vit.tasks.assembly import assemble_data, task_spec

# What a task would bring by itself (conf/recipe), and does not where an experiment has parts.
PARTS = {
    "classification": ("head=linear",),
    "detection": ("head=deformable", "checkpoint.monitor=val/ap"),
    "segmentation": ("head=semantic", "checkpoint.monitor=val/miou"),
    "text_classification": ("backbone=text",),
    "captioning": ("head=caption_decoder", "checkpoint.monitor=val/loss", "checkpoint.mode=min"),
    "text_to_text": (
        *("backbone=text", "head=text_decoder"),
        *("checkpoint.monitor=val/loss", "checkpoint.mode=min"),
    ),
}


def check_misfit(case: Case) -> None:
    """Keys that data do not take, since they are another task's, are one fault of the task."""
    if "data" in case.unusable and "task" not in case.unusable:
        misfit = misfit_of(case.config, case.faults, case.allow)
        if misfit is not None:
            others = [fault for fault in case.faults if not fault.where.startswith("data.")]
            case.faults = [*others, misfit]


def misfit_of(config: Mapping[str, Any], faults: list[Fault], allow: list[str]) -> Fault | None:
    """What to say of data that take none of the keys of another task's, as of an experiment's.

    Their class is asked without those keys, and reads nothing.
    """
    wrong = {fault.where.split(".")[1] for fault in faults if fault.where.startswith("data.")}
    try:
        kind = factory_for(config["data"], allow, SLOTS["data"], "data")
        given = {key: value for key, value in config["data"].items() if key not in wrong}
        needed = {
            each.name: "."
            for each in inspect.signature(kind).parameters.values()
            if each.kind is each.KEYWORD_ONLY and each.default is each.empty
        }
        data = assemble_data({**config, "data": {**needed, **given}}, allow)
        spec = task_spec(config, allow)
        spec.ask(spec.from_data, data)
    except Misfit as error:
        more = " Leave out an experiment=… that is for another task."
        return Fault("task", f"{error}{task_for(data)}{more}")
    except (ValueError, TypeError, ImportError, OSError):
        pass  # told as what it is
    return None


def task_for(data: SampleData) -> str:
    """The words that choose a task, and a head, for such data."""
    if not data.task:
        return ""
    _, words = TASKS.get(data.task, ("", ()))
    others = [word for word in words if not word.startswith("data.")]
    return f". Take {' '.join([*(others or [f'task={data.task}']), *PARTS.get(data.task, ())])}."
