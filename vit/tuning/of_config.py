"""The tuning that a run's config names, and its weights by the names of a model without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from vit.build import TargetError, build_slot
from vit.faults import Fault, Refused
from vit.tuning.freezing import Tuning, thaw


def tuning_of(config: Mapping[str, Any], allow_targets: Iterable[str] = ()) -> Tuning | None:
    """What of the model a config trains; None where that is all of it."""
    return build_slot("tuning", config, allow_targets) if config.get("tuning") else None


def apply_tuning(
    model: nn.Module, config: Mapping[str, Any], allow_targets: Iterable[str] = ()
) -> None:
    """Freezes what the config does not train; ValueError where that cannot be."""
    if (tuning := tuning_of(config, allow_targets)) is not None:
        tuning.apply(model)


def merge_tuning(
    model: nn.Module, config: Mapping[str, Any], allow_targets: Iterable[str] = ()
) -> None:
    """Makes a trained model of a config one that was not tuned, of the same function."""
    if (tuning := tuning_of(config, allow_targets)) is not None:
        tuning.merge(model)
        thaw(model)


def merged_state(
    config: Mapping[str, Any], state: Mapping[str, Tensor], allow_targets: Iterable[str] = ()
) -> dict[str, Tensor]:
    """A run's weights as a model without adapters has them.

    Raises Refused where the config's tuning cannot be made, or is not that of the weights.
    """
    try:
        tuning = tuning_of(config, allow_targets)
        return dict(state) if tuning is None else tuning.merged(state)
    except (TargetError, ValueError, TypeError, KeyError, RuntimeError) as error:
        message = f"its config and its weights do not belong together: {error}"
        raise Refused([Fault("tuning", message)]) from error
