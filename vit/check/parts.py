"""The data and the model of a config, made for the check: what is wrong, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from vit.build import build
from vit.data.base import ImageData
from vit.faults import Fault
from vit.tasks.assembly import assemble_data, assemble_model, task_class


def trying(where: str, faults: list[Fault], make: Callable[[], Any]) -> Any:
    """What `make` returns; an error that tells the user what to change becomes a fault."""
    try:
        return make()
    except (ValueError, TypeError, ImportError, OSError) as error:
        faults.append(Fault(where, str(error)))
        return None


def data_of(
    config: Mapping[str, Any], allow: list[str], full: bool
) -> tuple[ImageData | None, list[Fault]]:
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


def told_of(data: ImageData) -> dict[str, Any]:
    return {**data.describe(), "fingerprint": data.fingerprint()}


def model_of(
    config: Mapping[str, Any], data: ImageData, allow: list[str]
) -> tuple[Any, list[Fault], list[str]]:
    part = "backbone"
    try:
        with torch.device("meta"):
            backbone = build(
                config["backbone"],
                allow,
                image_size=data.facts.image_size,
                channels=data.facts.channels,
            )
            part = "head"
            model = assemble_model(config, data.facts, allow)
            part = "backbone"
            height, width = data.facts.image_size
            images = torch.empty(2, data.facts.channels, height, width)
            with torch.no_grad():
                output = model.eval()(images)
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as error:
        return None, [Fault(part, str(error))], []
    del backbone
    kind = task_class(config, allow)
    if message := kind.output_fault(output, 2, data):
        return None, [Fault("head", message)], []
    return model.train(), [], kind.oddities(data, output)


def cost_of(model: Any, data: ImageData) -> dict[str, Any]:
    height, width = data.facts.image_size
    told = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gflops_per_image": model.flops(height, width) / 1e9,
        "image_size": [height, width],
        "channels": data.facts.channels,
        "num_classes": data.facts.num_classes,
    }
    patch = getattr(model.backbone, "patch_size", None)
    if isinstance(patch, int):
        told["tokens"] = (height // patch) * (width // patch) + model.backbone.num_prefix
    return told
