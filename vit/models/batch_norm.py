"""BatchNorm, which baselines have and nothing of ours: whose statistics are those of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norm_parts(model: nn.Module) -> dict[str, nn.Module]:
    """By name the parts that normalise by a batch and keep running statistics for evaluation."""
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, KINDS) and part.running_mean is not None
    }


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """The running means and variances by their names in the state of the model."""
    return {
        f"{name}.{which}" if name else which: part.get_buffer(which)
        for name, part in batch_norm_parts(model).items()
        for which in ("running_mean", "running_var")
    }


@contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Meanwhile BatchNorm takes its running statistics: one value a channel is enough for it."""
    learning = [part for part in batch_norm_parts(model).values() if part.training]
    for each in learning:
        each.training = False
    try:
        yield
    finally:
        for each in learning:
            each.training = True
