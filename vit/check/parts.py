"""The data and the model of a config, made for the check: what is wrong, and what they cost."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vit.build import build_slot, factory_for, is_own
from vit.data.core.samples import SampleData
from vit.faults import Fault, Misfit
from vit.frozen import weight_dtype
from vit.models.contract import complete, declaration_fault, features_fault
from vit.runs.tensor_file import some
from vit.slots import SLOTS
from vit.tasks.assembly import assemble_data, assemble_model, task_spec

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
        spec = task_spec(config, allow)
        spec.ask(spec.from_data, data)
    except Misfit as error:
        known = f". Take task={data.task}, with a head for it." if data.task else ""
        raise ValueError(f"{error}{known}") from error
    return True


def told_of(data: SampleData) -> dict[str, Any]:
    return {**data.describe(), "fingerprint": data.fingerprint()}


def model_of(
    config: Mapping[str, Any], data: SampleData, allow: list[str]
) -> tuple[Any, list[Fault], list[str]]:
    part, own = "backbone", own_code(config["backbone"], allow)
    try:
        with torch.device("meta"):
            backbone = backbone_for(config, data, allow)
            with torch.no_grad():
                told = own and (
                    features_fault(backbone, data.facts.example) or declaration_fault(backbone)
                )
            if told:
                return None, [Fault("backbone", told)], []
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
        told = f"{HALF} ({error})" if part == "trainer.precision" else in_own_code(error, allow)
        return None, [Fault(part, told)], []
    except Exception as error:  # parts of the user's own raise anything
        if not allow:
            raise
        return None, [Fault(part, in_own_code(error, allow))], []
    spec = task_spec(config, allow)
    if message := spec.ask(spec.check_output, output, 2, data):
        return None, [Fault("head", message)], []
    remarks = list(getattr(backbone, "remarks", []))
    return model.train(), [], [*remarks, *spec.ask(spec.data_warnings, data, output)]


def backbone_for(config: Mapping[str, Any], data: SampleData, allow: list[str]) -> Any:
    """The backbone; ValueError with the word for another where it takes nothing of such data."""
    given = data.facts.for_backbone()
    taken = inspect.signature(
        factory_for(config["backbone"], allow, SLOTS["backbone"], "backbone")
    ).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    if not takes_any and given.keys().isdisjoint(taken):
        other = "text" if data.unit == "text" else "vit"
        raise ValueError(
            f"is not made for {data.unit}s, which {type(data).__name__} holds; take "
            f"backbone={other}, with a head and a task for it"
        )
    return complete(build_slot("backbone", config, allow, **given), given)


def optimizer_faults(config: Mapping[str, Any], model: Any) -> list[Fault]:
    """What the optimizer itself refuses of its settings, over the model's own parameters."""
    faults: list[Fault] = []
    optim = build_slot("optim", config, config.get("allow_targets") or [])
    trying("optim", faults, lambda: optim.build(model))
    return faults


def own_code(part: Mapping[str, Any], allow: list[str]) -> bool:
    """Whether a part comes from a package that only the user allowed."""
    return is_own(str(part.get("_target_")), allow)


def in_own_code(error: Exception, allow: list[str]) -> str:
    """An error as a fault tells it; with kind and line where it was raised in the user's code."""
    if not allow:
        return str(error)
    name = type(error).__name__
    lines = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if any(f"{frame.f_globals.get('__name__')}.".startswith(f"{each}.") for each in allow)
    ]
    if lines:
        return f"{name} in {Path(lines[-1][0]).name}, line {lines[-1][1]}: {error}"
    return str(error) if isinstance(error, ValueError) else f"{name}: {error}"


def recipe_fault(optim: Any, schedule: Any, model: Any) -> Fault | None:
    """What is wrong with an optimizer or a schedule of the user's own; None if nothing."""
    if not callable(getattr(optim, "build", None)):
        told = "has no `build(model)` that gives a torch.optim.Optimizer"
        return Fault("optim", f"{type(optim).__name__} {told}")
    if not callable(getattr(schedule, "scale", None)):
        told = "has no `scale(step, total_steps, steps_per_epoch)` that gives a factor"
        return Fault("schedule", f"{type(schedule).__name__} {told}")
    if model is None:
        return None
    made = optim.build(model)
    name = f"{type(optim).__name__}.build"
    if not isinstance(made, torch.optim.Optimizer):
        told = f"{name} gives a {type(made).__name__}; wanted a torch.optim.Optimizer"
        return Fault("optim", told)
    held = {id(p) for group in made.param_groups for p in group["params"]}
    wanted = {n: id(p) for n, p in model.named_parameters() if p.requires_grad}
    left = [name for name, at in wanted.items() if at not in held]
    if left:
        return Fault("optim", f"{name} leaves out {len(left)} parameters that learn: {some(left)}")
    return None


def cost_of(model: Any, data: SampleData) -> dict[str, Any]:
    size = data.facts.input_size()
    told = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops_per_image": float(model.flops(*size)) / 1e9,
        "unit": data.unit,
        **data.facts.told(),
    }
    patch = getattr(model.backbone, "patch_size", None)
    if isinstance(patch, int):
        height, width = size[:2]
        told["tokens"] = (height // patch) * (width // patch) + model.backbone.num_prefix
    return told
