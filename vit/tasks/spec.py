"""What a task is, apart from its training: data, model, answers. Imports no Lightning."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

Answer = TypeVar("Answer")


class TaskSpec(ABC):
    """A kind of task: what data it takes, what model it trains, what an answer of that means.

    Checking a config, estimating its memory, `vit.load` and `vit predict` ask the spec and nothing
    else; training and evaluation are the module's, which carries the spec's class:

        class Mine(Task):        # vit.tasks.task: steps and measures; `_target_` names it
            spec = MineSpec

    A task's author writes the abstract methods here, and those of `vit.tasks.task.Task`; whoever
    leaves one out is told all that are missing by `vit check`. `settled`,
    `independent_classes`,
    `data_warnings` and `progress_metrics` have defaults.

    A task's settings are the keyword-only arguments of its module. A method here that needs some of
    them names these as keyword-only parameters of its own:

        def build_model(self, backbone, head, facts, *, mask_ratio=0.75): ...

    and is given them wherever the model is built: in training, for FLOPs and memory, by `vit.load`.
    There is no other way to them, so that the check knows what a model depends on. Of a setting
    that a config leaves out, the default here is that of the module.

    A spec has no state of its own: two of one kind and the same settings say the same.
    """

    chosen_by: ClassVar[str] = "this task"  # how a person chooses it, for errors: task=detection
    head_protocol: ClassVar[type | None] = None  # of its heads: see vit/models/protocols.py
    head_example: ClassVar[str] = ""  # how a person chooses one, for errors: head=deformable

    def __init__(self, settings: Mapping[str, Any] | None = None):
        self._settings = dict(settings or {})

    def ask(self, method: Callable[..., Answer], *given: Any) -> Answer:
        """What a method of this spec answers, given also those of the settings that it names."""
        return method(*given, **self._settings_for(method))

    def model_settings(self) -> dict[str, Any]:
        """Those of the settings that model, its costs, or what is said of its output depend on."""
        asked = (self.build_model, self.check_output, self.data_warnings, self.dummy_loss)
        settings = {k: v for method in asked for k, v in self._settings_for(method).items()}
        return {name: settings[name] for name in sorted(settings)}

    def _settings_for(self, method: Callable[..., Any]) -> dict[str, Any]:
        defaults = setting_defaults(method)
        return {
            name: self._settings[name]
            if name not in defaults
            else self._settings.get(name, defaults[name])
            for name in settings_named(method)
        }

    @abstractmethod
    def from_data(self, data: Any) -> dict[str, Any]:
        """What the module is given of its data, as keywords of its own; {} where that is nothing.

        Raises `vit.faults.Misfit` where the data are of another kind, saying what is wanted.
        """

    @abstractmethod
    def build_model(self, backbone: Any, head: Callable[..., Any], facts: Any) -> nn.Module:
        """The model; `vit.tasks.heads.build_head` builds `head` from what is given it there.

        `facts` are those of vit/facts.py. The model offers `flops(*facts.input_size())`, and
        `depths()`, `shards()` and `no_weight_decay()` as in `vit.models.backbone_head`.
        Raises ValueError for a head of another task.
        """

    @abstractmethod
    def check_output(self, output: object, count: int, data: Any) -> str | None:
        """What is wrong with a model's answer to so many samples, by its shape; None if nothing."""

    @abstractmethod
    def dummy_loss(self, output: Any) -> Tensor:
        """A loss that reads all of an answer to samples of which nothing is known.

        What a step takes, in seconds and in memory, is measured by it.
        """

    @abstractmethod
    def predict(self, trained: Any, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """What a trained run (vit/trained.py) says of each image or text, as plain values."""

    @abstractmethod
    def metric_names(self, model: Any, data: Any) -> tuple[str, ...]:
        """The names that `compute_metrics` of the module gives, which a checkpoint may follow.

        `model` is any module where the config's own could not be built.
        """

    def independent_classes(self, facts: Any) -> bool:
        """Whether each class is learnt by itself: a sigmoid for each, in place of one softmax."""
        return bool(facts.multi_label)

    def settled(self, data: Any) -> dict[str, str]:
        """What the settings come to with these data, for the check and the log: label → text.

        May read the data. Raises ValueError where they cannot be trained on with these settings.
        """
        return {}

    def data_warnings(self, data: Any, output: Any) -> list[str]:
        """What the check warns of, from the data and the model's answer to two samples."""
        return data.warnings()

    def progress_metrics(self, model: Any) -> tuple[tuple[str, str], ...]:
        """What a person watches while it trains: a label, and the metric that it stands for."""
        return LOSSES


LOSSES = (("loss", "train/loss"), ("val loss", "val/loss"))


def settings_named(method: Callable[..., Any]) -> list[str]:
    """The settings that a method of a spec asks for: its keyword-only parameters."""
    return [
        each.name
        for each in inspect.signature(method).parameters.values()
        if each.kind is each.KEYWORD_ONLY
    ]


def settings_of(kind: Callable[..., Any], configured: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a task's module: what the config says, and the defaults of what it omits."""
    return {**setting_defaults(kind), **configured}


def setting_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The defaults of the keyword-only parameters that have one."""
    return {
        each.name: each.default
        for each in inspect.signature(function).parameters.values()
        if each.kind is each.KEYWORD_ONLY and each.default is not each.empty
    }


def contract_fault(kind: type) -> str | None:
    """What a task's module and its spec lack of their contracts, all at once; None if nothing."""
    spec = getattr(kind, "spec", None)
    if not (inspect.isclass(spec) and issubclass(spec, TaskSpec)):
        came = "names no spec" if spec is None else f"has {spec!r} as its spec"
        return f"{came}; wanted `spec = …`, a class that extends vit.tasks.spec.TaskSpec"
    faults = [
        f"{owner.__name__} lacks {', '.join(lacking)}"
        for owner in (spec, kind)
        if (lacking := [_called(owner, name) for name in dir(owner) if _is_abstract(owner, name)])
    ]
    if not faults:
        settings = [
            each.name
            for each in inspect.signature(kind).parameters.values()
            if each.kind is each.KEYWORD_ONLY
        ]
        for name, method in inspect.getmembers(spec, inspect.isfunction):
            unknown = [each for each in settings_named(method) if each not in settings]
            if unknown:
                faults.append(
                    f"{spec.__name__}.{name} asks for the setting {', '.join(unknown)}, which "
                    f"{kind.__name__} does not take as a keyword-only argument"
                )
    return f"is no whole task: {'; '.join(faults)}" if faults else None


def _is_abstract(owner: type, name: str) -> bool:
    return bool(getattr(getattr(owner, name, None), "__isabstractmethod__", False))


def _called(owner: type, name: str) -> str:
    parameters = [*inspect.signature(getattr(owner, name)).parameters][1:]  # without self
    return f"{name}({', '.join(parameters)})"
