"""The data and the model of a config, made for the check: what is wrong, and what they cost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from vit.build import build, locate
from vit.check.communication import weight_dtype
from vit.data.samples import SampleData
from vit.faults import Fault, Misfit
from vit.tasks.assembly import assemble_data, assemble_model, task_class

HALF = "the model cannot be computed with weights of half precision; wanted bf16-mixed, or 32-true"


def trying(where: str, faults: list[Fault], make: Callable[[], Any]) -> Any:
    """What `make` returns; an error that tells the user what to change becomes a fault."""
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        faults.append(Fault(where, str(error)))
        return None


def data_of(
    config: Mapping[str, Any], allow: list[str], full: bool
) -> tuple[SampleData | None, list[Fault]]:
    faults: list[Fault] = []
    data = trying("data", faults, lambda: assemble_data(config, allow))
    if data is None:
        return None, faults
    found = trying("data", faults, lambda: data.faults(full=full))
    if found is None:
        return None, faults
    faults += found
    if found:
        try:
            _ = data.facts, data.splits
        except ValueError:
            return None, faults  # already told
    elif trying("data", faults, lambda: (data.facts, data.splits)) is None:
        return None, faults
    return data, faults


def fitting(config: Mapping[str, Any], data: SampleData, allow: list[str]) -> bool:
    """True; raises ValueError where the task takes no such data, and names one that does."""
    try:
        task_class(config, allow).given_by(data)
    except Misfit as error:
        known = f". Take task={data.task}, with a head for it." if data.task else ""
        raise ValueError(f"{error}{known}") from error
    return True


def told_of(data: SampleData) -> dict[str, Any]:
    return {**data.describe(), "fingerprint": data.fingerprint()}


def model_of(
    config: Mapping[str, Any], data: SampleData, allow: list[str]
) -> tuple[Any, list[Fault], list[str]]:
    part = "backbone"
    try:
        with torch.device("meta"):
            backbone = backbone_for(config, data, allow)
            part = "head"
            model = assemble_model(config, data.facts, allow)
            part = "backbone"
            with torch.no_grad():
                output = model.eval()(*data.facts.example(2))
                part = "data.train_sizes"
                for side in getattr(data, "train_sizes", ()):
                    model(torch.empty(2, data.facts.channels, side, side))
                part = "trainer.precision"
                if (half := weight_dtype(config)) != torch.float32:
                    model.to(half)(*data.facts.example(2, half))
                    model.float()
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as error:
        told = f"{HALF} ({error})" if part == "trainer.precision" else str(error)
        return None, [Fault(part, told)], []
    kind = task_class(config, allow)
    if message := kind.output_fault(output, 2, data):
        return None, [Fault("head", message)], []
    remarks = list(getattr(backbone, "remarks", []))
    return model.train(), [], [*remarks, *kind.oddities(data, output)]


def backbone_for(config: Mapping[str, Any], data: SampleData, allow: list[str]) -> Any:
    """The backbone; ValueError with the word for another where it takes nothing of such data."""
    given = data.facts.for_backbone()
    taken = inspect.signature(locate(config["backbone"]["_target_"], allow)).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    if not takes_any and given.keys().isdisjoint(taken):
        other = "text" if data.unit == "text" else "vit"
        raise ValueError(
            f"is not made for {data.unit}s, which {type(data).__name__} holds; take "
            f"backbone={other}, with a head and a task for it"
        )
    return build(config["backbone"], allow, **given)


def cost_of(model: Any, data: SampleData) -> dict[str, Any]:
    size = data.facts.input_size()
    told = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops_per_image": model.flops(*size) / 1e9,
        "unit": data.unit,
        **data.facts.told(),
    }
    patch = getattr(model.backbone, "patch_size", None)
    if isinstance(patch, int):
        height, width = size[:2]
        told["tokens"] = (height // patch) * (width // patch) + model.backbone.num_prefix
    return told
