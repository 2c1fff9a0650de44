"""Whether `trainer.deterministic=true` lets a model train, known without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vit.check.memory import dummy_loss
from vit.facts import AnyFacts
from vit.faults import Fault
from vit.runs.check_report import DeterminismReport
from vit.tasks.assembly import assemble_model
from vit.tuning.freezing import keep_still

# What raises on a GPU, by ATen's names: those that `torch.use_deterministic_algorithms` lists
# (torch 2.14). On the CPU it lists none that a model uses.
REFUSED_ON_GPU = {
    "_adaptive_avg_pool2d_backward": "AdaptiveAvgPool2d",
    "_adaptive_avg_pool3d_backward": "AdaptiveAvgPool3d",
    "adaptive_max_pool2d_backward": "AdaptiveMaxPool2d",
    "avg_pool3d_backward": "AvgPool3d",
    "fractional_max_pool2d_backward": "FractionalMaxPool2d",
    "fractional_max_pool3d_backward": "FractionalMaxPool3d",
    "max_unpool2d": "MaxUnpool2d",
    "max_unpool3d": "MaxUnpool3d",
    "upsample_linear1d_backward": "interpolate, linear",
    "upsample_bilinear2d_backward": "interpolate, bilinear",
    "_upsample_bilinear2d_aa_backward": "interpolate, bilinear",
    "upsample_bicubic2d_backward": "interpolate, bicubic",
    "_upsample_bicubic2d_aa_backward": "interpolate, bicubic",
    "upsample_trilinear3d_backward": "interpolate, trilinear",
    "reflection_pad1d_backward": "ReflectionPad1d",
    "reflection_pad2d_backward": "ReflectionPad2d",
    "reflection_pad3d_backward": "ReflectionPad3d",
    "nll_loss2d_forward": "NLLLoss of pixels",
    "_ctc_loss_backward": "CTCLoss",
    "grid_sampler_2d_backward": "grid_sample",
    "grid_sampler_3d_backward": "grid_sample",
    "put_": "put_",
    "histc": "histc",
}


class Names(TorchDispatchMode):
    """Notes every operation that is run, those of the backward pass among them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def determinism(
    config: dict[str, Any], facts: AnyFacts, micro_batch_size: int
) -> tuple[DeterminismReport, Fault | None]:
    """What a deterministic run comes to, and a fault where its first step would fail on a GPU."""
    trainer = config["trainer"]
    with suppress(ImportError, RuntimeError, NotImplementedError, TypeError, AttributeError):
        with torch.device("meta"):
            model = keep_still(assemble_model(config, facts, config["allow_targets"]).train())
        refused = refused_operations(model, config, facts, micro_batch_size)
        if not refused:
            summary = "deterministic; PyTorch refuses nothing that the model does"
            return DeterminismReport(summary), None
        named = ", ".join(refused)
        fault = None
        if _on_gpu(trainer) and trainer["deterministic"] is True:
            message = f"PyTorch has no deterministic form of {named} on a GPU; "
            message += "trainer.deterministic=warn trains all the same, or change the model"
            fault = Fault("trainer.deterministic", message)
        summary = f"deterministic on the CPU; on a GPU PyTorch refuses {named}"
        return DeterminismReport(summary), fault
    return DeterminismReport(None), None  # the model cannot be run without values


def refused_operations(
    model: nn.Module, config: dict[str, Any], facts: AnyFacts, micro_batch_size: int
) -> list[str]:
    """What of a training step has no deterministic form on GPUs, in words a person knows."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # as in vit/check/memory

    names = Names()
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = model.to_empty(device="cpu")
        with names:
            dummy_loss(fake, config, facts, micro_batch_size).backward()
    return sorted({REFUSED_ON_GPU[name] for name in names.seen & REFUSED_ON_GPU.keys()})


def _on_gpu(trainer: Mapping[str, Any]) -> bool:
    accelerator = trainer.get("accelerator", "auto")
    return accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available())
