"""Lightning's Trainer, made of a config in the check: what it refuses is known before any work."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import Strategy, StrategyRegistry
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vit.build import build, build_slot
from vit.faults import Fault, did_you_mean
from vit.tasks.log import silenced

# Checked by name, or only where the run trains: here the Trainer must touch no device, start no
# process and leave torch's global switches as they are.
STAND_IN = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
SWITCHES = ("deterministic", "benchmark", "sync_batchnorm")


def trainer_faults(config: Mapping[str, Any], allow_targets: Iterable[str]) -> list[Fault]:
    """What Lightning would refuse of a config whose keys and types are sound, key by key."""
    trainer = dict(config["trainer"])
    faults = [*_unknown_names(trainer), *_strategy_faults(trainer, allow_targets)]
    if trainer.get("barebones"):
        message = "leaves out checkpoints and the record, which a run is made of; wanted false"
        faults.append(Fault("trainer.barebones", message))
    if trainer.get("fast_dev_run"):
        message = "ends as a whole run would, with nothing trained; debug=one_batch is for that"
        faults.append(Fault("trainer.fast_dev_run", message))
    if trainer.get("enable_checkpointing") is False:
        message = "a run goes on from its checkpoints, and is tested with the best; wanted true"
        faults.append(Fault("trainer.enable_checkpointing", message))
    plain = {key: value for key, value in trainer.items() if key not in SWITCHES} | STAND_IN
    for known in faults:
        plain.pop(known.where.removeprefix("trainer."), None)
    make = partial(_refusal, allow_targets=allow_targets)
    while (refusal := make(plain)) is not None:
        # Lightning names the key in its own words only: it is the one without which all is well.
        others = [key for key in plain if key not in (*STAND_IN, "_target_")]
        wrong = next((key for key in others if make(_without(plain, key)) != refusal), None)
        if wrong is None:
            faults.append(Fault("trainer", refusal))
            break
        faults.append(Fault(f"trainer.{wrong}", f"is {plain[wrong]!r}: {refusal}"))
        plain = _without(plain, wrong)
    return faults


def _without(trainer: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in trainer.items() if name != key}


def _refusal(trainer: dict[str, Any], allow_targets: Iterable[str]) -> str | None:
    """Lightning's words, or None where it makes a Trainer of this."""
    with silenced(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            build_slot(
                "trainer",
                {"trainer": trainer},
                allow_targets,
                logger=False,
                plugins=[LightningEnvironment()],  # whatever cluster this is called on
                use_distributed_sampler=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
            return str(error) or type(error).__name__
    return None


def _unknown_names(trainer: Mapping[str, Any]) -> list[Fault]:
    known = {
        "accelerator": ("auto", "gpu", *AcceleratorRegistry.available_accelerators()),
        "strategy": ("auto", *StrategyRegistry.available_strategies()),
    }
    return [
        Fault(
            f"trainer.{key}",
            f"is {chosen!r}; wanted one of {', '.join(names)}.{did_you_mean(chosen, names)}",
        )
        for key, names in known.items()
        if isinstance(chosen := trainer.get(key, "auto"), str) and chosen not in names
    ]


def _strategy_faults(trainer: Mapping[str, Any], allow_targets: Iterable[str]) -> list[Fault]:
    strategy = trainer.get("strategy")
    if not isinstance(strategy, Mapping):
        return []
    try:
        build(strategy, allow_targets, Strategy, "trainer.strategy")
    except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
        return [Fault("trainer.strategy", str(error))]
    return []
