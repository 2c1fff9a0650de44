"""A trained run's weights as one safetensors file that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from vit.faults import Fault, Refused
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.secrets import without_secrets
from vit.runs.writing import readable_as_usual
from vit.tasks.assembly import assemble_data, assemble_model
from vit.tasks.stored import OF_THE_MODEL, stored_config
from vit.trained import (
    facts_of,
    refusing_targets,
    require_fit,
    require_numbers,
    selected,
    without_downloads,
)
from vit.tuning.lora import ADAPTERS, adapters_of
from vit.tuning.of_config import merged_state
from vit.version import __version__
from vit.weights.of_run import of_model

SCHEMA_VERSION = 1
TIMM_BACKBONE = "vit.models.pretrained.TimmBackbone"


def export(
    run_dir: str,
    out: str,
    checkpoint: str = "best",
    average: bool | None = None,
    timm_names: bool = False,
    adapters: bool = False,
    allow_targets: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes `out`; returns what it holds.

    The names are the model's (`backbone.…`, `head.…`); with `timm_names` the backbone's alone, as
    timm has them. Adapters of `tuning=lora` are merged into the weights that they change; with
    `adapters` the file holds them as they are, with the head, and not what was frozen.
    `average` asks for averaged weights or for those that were trained; None takes
    what the run evaluates. The header's values are JSON, but for `format` and the versions.
    Raises Refused where the run has no such checkpoint, no average, or no backbone of timm's.
    """
    folder = RunFolder(Path(run_dir))
    config = folder.config()
    outside = set(config.get("allow_targets") or []) - set(allow_targets)  # whose code runs not
    if not outside:
        config = stored_config(folder, allow_targets, OF_THE_MODEL)
    source = selected(folder, checkpoint)
    content = read_checkpoint(source)
    weights, averaged = _weights(content, average)
    with refusing_targets(folder):
        facts = facts_of(content) or assemble_data(config, allow_targets).facts
    if not outside:
        with refusing_targets(folder), torch.device("meta"):
            model = assemble_model(without_downloads(config), facts, allow_targets)
        require_fit(weights, model, source, folder)
    require_numbers(weights, source)
    weights = _adapters(weights) if adapters else merged_state(config, weights, allow_targets)
    if timm_names:
        weights = _as_timm(weights, config)
    described = {
        **facts.plain(),
        "averaged": averaged,
        "step": content.get("global_step"),
        "epoch": content.get("epoch"),
        "config": without_secrets(folder.written_config()),
    }
    header = {key: json.dumps(value) for key, value in described.items()}
    header |= {"format": "pt", "vit": __version__, "schema_version": str(SCHEMA_VERSION)}
    path = Path(out)
    part = path.with_name(f"{path.name}.part")
    try:
        save_file(weights, part, header)
        readable_as_usual(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return {
        "file": str(path),
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "bytes": path.stat().st_size,
        "averaged": averaged,
        "step": content.get("global_step"),
    }


def _weights(content: dict[str, Any], average: bool | None) -> tuple[dict[str, torch.Tensor], bool]:
    trained = content.get("trained_weights")
    if average and trained is None:
        raise Refused([Fault("--ema", "the run kept no average of its weights; leave it out")])
    averaged = trained is not None and average is not False
    chosen = content["state_dict"] if averaged else {**content["state_dict"], **(trained or {})}
    # Tied weights share memory, which the format does not know.
    return {key: each.contiguous().clone() for key, each in of_model(chosen).items()}, averaged


def _adapters(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if not any(key.rpartition(".")[2] in ADAPTERS for key in weights):
        message = "is for runs of tuning=lora; this one has no adapters. Leave it out"
        raise Refused([Fault("--adapters", message)])
    return adapters_of(weights)


def _as_timm(weights: dict[str, torch.Tensor], config: dict[str, Any]) -> dict[str, torch.Tensor]:
    if config["backbone"]["_target_"] != TIMM_BACKBONE:
        target = config["backbone"]["_target_"]
        message = f"is for runs of backbone=timm; this one's is {target}, whose names timm lacks"
        raise Refused([Fault("--timm", message)])
    inside = "backbone.model."
    return {
        key.removeprefix(inside): tensor
        for key, tensor in weights.items()
        if key.startswith(inside)
    }
