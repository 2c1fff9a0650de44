"""The tuning that a run's config names, and its weights by the names of a model without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from vit.build import TargetError, build_slot
from vit.faults import Fault, Refused
from vit.tuning.freezing import Tuning
from vit.tuning.lora import ADAPTERS


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
    """Makes a trained model of a config one without adapters, of the same function."""
    if (tuning := tuning_of(config, allow_targets)) is not None:
        tuning.merge(model)


def merged_state(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A run's weights as a model without adapters has them.

    Raises Refused where there are adapters and the config does not say how they count.
    """
    if not any(key.rpartition(".")[2] in ADAPTERS for key in state):
        return dict(state)
    try:
        tuning = tuning_of(config)
        if tuning is None:
            raise ValueError("it names none, and the weights hold adapters")
        return tuning.merged(state)
    except (TargetError, ValueError, TypeError, KeyError, RuntimeError) as error:
        message = f"its config and its weights do not belong together: {error}"
        raise Refused([Fault("tuning", message)]) from error
