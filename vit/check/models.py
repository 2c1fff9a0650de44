"""The data and the model of a config, made for the check: what is wrong, and what they cost."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vit.build import build_slot, factory_for
from vit.check.misfits import task_for
from vit.check.trying import error_message, is_own_part, trying, trying_own
from vit.data.core.samples import SampleData
from vit.faults import Fault, Misfit
from vit.frozen import weight_dtype
from vit.models.contract import complete, declaration_fault, features_fault
from vit.runs.check_report import CostReport, DataReport
from vit.slots import SLOTS
from vit.tasks.assembly import assemble_data, assemble_model, task_spec
from vit.tuning.freezing import Untunable, keep_still, trained_parameters
from vit.tuning.lora import require_called

HALF = "the model cannot be computed with weights of half precision; wanted bf16-mixed, or 32-true"


def checked_data(
    config: Mapping[str, Any], allow: list[str], full: bool
) -> tuple[SampleData | None, list[Fault]]:
    """The data and their faults; no data where these do not know themselves."""
    faults: list[Fault] = []
    data = trying_own("data", faults, allow, lambda: assemble_data(config, allow))
    if data is None:
        return None, faults
    of_samples = trying_own("data", faults, allow, lambda: data.faults(full=full))
    if of_samples is None:
        return None, faults
    faults += of_samples
    if of_samples:
        try:
            _ = data.facts, data.splits
        except ValueError:
            return None, faults  # one of those faults
    elif trying("data", faults, lambda: (data.facts, data.splits)) is None:
        return None, faults
    return data, faults


def settled(config: Mapping[str, Any], data: SampleData, allow: list[str]) -> dict[str, str]:
    """What the task's settings come to with these data.

    Raises ValueError where the task takes no such data, and names one that does.
    """
    try:
        spec = task_spec(config, allow)
        spec.ask(spec.from_data, data)
    except Misfit as error:
        raise ValueError(f"{error}{task_for(data)}") from error
    return spec.ask(spec.settled, data)


def data_report(data: SampleData) -> DataReport:
    return DataReport.from_plain({**data.describe(), "fingerprint": data.fingerprint()})


def checked_model(
    config: Mapping[str, Any], data: SampleData, allow: list[str]
) -> tuple[nn.Module | None, list[Fault], list[str]]:
    """The model on the meta device, its faults, and warnings; no model where there is a fault.

    It answers once for the data's own sizes and once for each other size that it is trained with.
    """
    part, is_own = "backbone", is_own_part(config["backbone"], allow)
    try:
        with torch.device("meta"):
            backbone = backbone_for(config, data, allow)
            with torch.no_grad():
                message = is_own and (
                    features_fault(backbone, data.facts.example) or declaration_fault(backbone)
                )
            if message:
                return None, [Fault("backbone", message)], []
            part = "head"
            model = assemble_model(config, data.facts, allow)
            part = "backbone"
            with torch.no_grad():
                require_called(model.eval(), data.facts.example(2))
                output = model(*data.facts.example(2))
                part = "data.train_sizes"
                for side in getattr(data, "train_sizes", ()):
                    model(torch.empty(2, data.facts.channels, side, side))
                part = "trainer.precision"
                if (half := weight_dtype(config)) != torch.float32:
                    model.to(half)(*data.facts.example(2, half))
                    model.float()
    except Untunable as error:
        return None, [Fault("tuning", str(error))], []
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as error:
        precision = part == "trainer.precision"
        message = f"{HALF} ({error})" if precision else error_message(error, allow)
        return None, [Fault(part, message)], []
    except Exception as error:  # parts of the user's own raise anything
        if not allow:
            raise
        return None, [Fault(part, error_message(error, allow))], []
    spec = task_spec(config, allow)
    if message := spec.ask(spec.check_output, output, 2, data):
        return None, [Fault("head", message)], []
    remarks = [*getattr(backbone, "remarks", []), *_normalised_otherwise(config, data)]
    return keep_still(model.train()), [], [*remarks, *spec.ask(spec.data_warnings, data, output)]


def _normalised_otherwise(config: Mapping[str, Any], data: SampleData) -> list[str]:
    weights = config["backbone"].get("weights")
    if not weights or not hasattr(data.facts, "mean"):
        return []
    from vit.models.pretrained.keys import other_normalisation

    warning = other_normalisation(weights, data.facts.mean, data.facts.std)
    return [] if warning is None else [f"backbone.weights={weights}: {warning}"]


def backbone_for(config: Mapping[str, Any], data: SampleData, allow: list[str]) -> Any:
    """The backbone; ValueError with the word for another where it takes nothing of such data."""
    known = data.facts.for_backbone()
    taken = inspect.signature(
        factory_for(config["backbone"], allow, SLOTS["backbone"], "backbone")
    ).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    if not takes_any and known.keys().isdisjoint(taken):
        other = "text" if data.unit == "text" else "vit"
        raise ValueError(
            f"is not made for {data.unit}s, which {type(data).__name__} holds; take "
            f"backbone={other}, with a head and a task for it"
        )
    return complete(build_slot("backbone", config, allow, **known), known)


def checked_cost(
    model: Any, data: SampleData, allow: list[str]
) -> tuple[CostReport | None, list[Fault]]:
    faults: list[Fault] = []
    return trying_own("backbone", faults, allow, lambda: cost_of(model, data)), faults


def cost_of(model: Any, data: SampleData) -> CostReport:
    size = data.facts.input_size()
    tokens = None
    patch = getattr(model.backbone, "patch_size", None)
    if isinstance(patch, int):
        height, width = size[:2]
        tokens = (height // patch) * (width // patch) + model.backbone.num_prefix
    return CostReport(
        parameters=(count := sum(p.numel() for p in model.parameters())),
        trained=None if (trained := trained_parameters(model)) == count else trained,
        gflops_per_image=float(model.flops(*size)) / 1e9,
        unit=data.unit,
        facts=data.facts.summary(),
        tokens=tokens,
    )
