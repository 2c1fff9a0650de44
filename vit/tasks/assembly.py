"""From a frozen config to its data, its model and its task: the one place where they meet."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import nn

from vit.build import CONTROL_KEYS, TargetError, arguments_of, build_slot, factory_for
from vit.data.core.samples import SampleData
from vit.facts import AnyFacts
from vit.models.contract import complete
from vit.optim.schedules import Extended
from vit.slots import SLOTS
from vit.tasks.spec import TaskSpec, contract_fault, settings_of
from vit.tuning.of_config import apply_tuning

if TYPE_CHECKING:  # Lightning, which whoever only looks at a trained model need not import
    from vit.tasks.task import Task


def assemble_data(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> SampleData:
    """The data set; reads nothing yet."""
    return build_slot("data", config, allow_targets, seed=config["seed"])


def assemble_model(
    config: Mapping[str, Any], facts: AnyFacts, allow_targets: Iterable[str] = ()
) -> Any:
    """Backbone and head, fitted to the data set, and what of them is to be trained."""
    given = facts.for_backbone()
    backbone = complete(build_slot("backbone", config, allow_targets, **given), given)
    spec = task_spec(config, allow_targets)
    model = spec.ask(spec.build_model, backbone, Unbuilt("head", config, allow_targets), facts)
    apply_tuning(model, config, allow_targets)
    return model


class Unbuilt:
    """A part of a config that its owner builds, with what only the owner knows.

    `inspect.signature` gives what it takes; what the config has of that need not be given.
    `needs_stages` is what its class says of itself, if anything: see `vit.models.contract`.
    """

    def __init__(self, slot: str, config: Mapping[str, Any], allow_targets: Iterable[str]):
        self._slot, self._config, self._allow = slot, config, tuple(allow_targets)
        factory = factory_for(config[slot], self._allow, SLOTS[slot], slot)
        self.needs_stages: str | None = getattr(factory, "needs_stages", None)
        with suppress(ValueError):  # something written in C tells none
            self.__signature__ = _still_taken(inspect.signature(factory), config[slot])

    def __call__(self, **given: object) -> Any:
        return build_slot(self._slot, self._config, self._allow, **given)


def _still_taken(signature: inspect.Signature, node: Mapping[str, Any]) -> inspect.Signature:
    """What a factory takes by keyword; of what the config has, it need not be given any."""
    parameters = []
    for each in signature.parameters.values():
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            default = node.get(each.name, each.default)
            parameters.append(each.replace(kind=each.KEYWORD_ONLY, default=default))
        elif each.kind is not each.VAR_POSITIONAL:
            parameters.append(each)
    return signature.replace(parameters=parameters)


SHIPPED = re.compile(r"vit\.tasks\.([a-z]\w*)\.([A-Z]\w*)")


def task_class(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> type[Task]:
    """What is to be trained for, before it is built.

    Raises TargetError where it is no task, or lacks something that every task must have.
    """
    kind: Any = factory_for(config["task"], allow_targets, SLOTS["task"], "task")
    if fault := contract_fault(kind):
        raise TargetError(f"{config['task']['_target_']!r} {fault}")
    return kind


def task_spec(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> TaskSpec:
    """The task apart from its training, with the settings of this config.

    The class that `_target_` names has the spec's as its `spec`; of vit's own tasks the spec is
    found without that class, which would import Lightning. Raises TargetError as `task_class` does.
    """
    node = config["task"]
    if (spec := shipped_spec(node.get("_target_"))) is not None:
        return spec({key: value for key, value in node.items() if key not in CONTROL_KEYS})
    kind = task_class(config, allow_targets)
    configured = arguments_of(kind, config["task"], allow_targets, "task")
    return kind.spec(settings_of(kind, configured))


def shipped_spec(target: object) -> type[TaskSpec] | None:
    """The spec of a task of vit's own, by its place; None for any other.

    `vit.tasks.detection.Detection` has `vit.tasks.specs.detection.DetectionSpec`.
    """
    named = SHIPPED.fullmatch(target) if isinstance(target, str) else None
    if named is None or importlib.util.find_spec(f"vit.tasks.specs.{named[1]}") is None:
        return None
    return getattr(importlib.import_module(f"vit.tasks.specs.{named[1]}"), f"{named[2]}Spec", None)


def assemble_schedule(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> Any:
    """How the learning rate goes, through the epochs of `extend` too where there are any."""
    schedule = build_slot("schedule", config, allow_targets)
    if not config.get("extend"):
        return schedule
    return Extended(schedule, config["extend"], config.get("extend_lr_scale"))


def assemble_task(
    config: Mapping[str, Any],
    model: nn.Module,
    data: SampleData,
    allow_targets: Iterable[str] = (),
) -> Task:
    """The model with its loss, optimizer, schedule and metrics."""
    spec = task_spec(config, allow_targets)
    return build_slot(
        "task",
        config,
        allow_targets,
        model=model,
        facts=data.facts,
        optim=build_slot("optim", config, allow_targets),
        schedule=assemble_schedule(config, allow_targets),
        seed=config["seed"],
        compile=config["compile"],
        **spec.ask(spec.from_data, data),
    )
