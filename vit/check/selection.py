"""Whether a run can select its best checkpoint: a metric, its direction, a validation at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vit.faults import Fault, did_you_mean
from vit.frozen import accumulation, micro_batches
from vit.metrics.direction import best_at_zero, mode_of, without_direction, wrong_direction
from vit.runs.check_report import TrainingReport
from vit.tasks.spec import TaskSpec

NOT_SELECTED = "; nothing is selected, and the test's numbers are those of the last step"


def monitor_faults(
    checkpoint: Mapping[str, Any], spec: TaskSpec, known: tuple[str, ...]
) -> list[Fault]:
    """A metric that is none of the `known` ones, or the worst taken for the best."""
    monitor = checkpoint.get("monitor")
    if monitor not in known:
        message = (
            f"{monitor!r} is never logged; validation logs {', '.join(known)}."
            f"{did_you_mean(str(monitor), known, 0.8) or _headline(known)}"
        )
        return [Fault("checkpoint.monitor", message)]
    if monitor in signed(spec, known):
        return [
            Fault("checkpoint.monitor", f"{without_direction(str(monitor))}.{_headline(known)}")
        ]
    message = wrong_direction(str(monitor), checkpoint.get("mode"), directions(spec, known)) or ""
    return [Fault("checkpoint.mode", message)] if message else []


def directions(spec: TaskSpec, names: Iterable[str]) -> dict[str, str]:
    """`max` or `min` of each metric that is vit's own; a user's task may mean what it likes."""
    if not of_vit(spec):
        return {}
    return {name: mode for name in names if (mode := mode_of(name))}


def of_vit(spec: TaskSpec) -> bool:
    return type(spec).__module__.startswith("vit.")


def signed(spec: TaskSpec, names: Iterable[str]) -> list[str]:
    """The metrics of vit's own that nothing can be chosen by, since they are best at zero."""
    return [name for name in names if best_at_zero(name)] if of_vit(spec) else []


def _headline(known: tuple[str, ...]) -> str:
    """What a task is usually judged by: the first thing it measures besides its loss."""
    measured = next((name for name in known if not name.endswith("/loss")), None)
    return f" Take checkpoint.monitor={measured}." if measured else ""


def validation_faults(
    config: Mapping[str, Any], batches: int, steps: int, warnings: list[str]
) -> list[Fault]:
    """Where a training of `steps`, with `batches` in an epoch of the data, never validates.

    What is asked for by its own key (limit_val_batches=0, max_steps) is a warning.
    """
    trainer = config["trainer"]
    every = trainer.get("check_val_every_n_epoch", 1)
    interval = trainer.get("val_check_interval", 1.0)
    interval = 1.0 if interval is None else interval
    epoch = micro_batches(config, batches)
    trained = steps * accumulation(config)
    limit = trainer.get("limit_val_batches", 1.0)
    if limit == 0 or isinstance(interval, str | dict):
        return []  # has its warning among the other limits; by the clock, nobody knows
    if isinstance(interval, int) and every is not None and interval > epoch:
        message = (
            f"is {interval}, and an epoch has {epoch} batches; wanted at most as many, or "
            "trainer.check_val_every_n_epoch=null to count through all epochs"
        )
        return [Fault("trainer.val_check_interval", message)]
    within = interval if isinstance(interval, int) else max(1, int(epoch * interval))
    first = within if every is None else (every - 1) * epoch + within
    if first <= trained:
        return []
    if every is None:
        message = f"is {interval}, and the training has {trained} batches; it would never validate"
        return [Fault("trainer.val_check_interval", message)]
    epochs = trainer.get("max_epochs")
    if epochs is not None and 0 < epochs < every:
        message = (
            f"is {every}, and trainer.max_epochs={epochs}: it would never validate{NOT_SELECTED}. "
            f"Wanted at most {epochs}; trainer.limit_val_batches=0 does without on purpose"
        )
        return [Fault("trainer.check_val_every_n_epoch", message)]
    warnings.append(
        f"the training ends after {trained} batches and would validate after {first}{NOT_SELECTED}"
    )
    return []


def validations(config: Mapping[str, Any], training: TrainingReport) -> int | None:
    """How many times a training looks at val; None where the clock decides."""
    trainer = config["trainer"]
    every, interval = trainer.get("check_val_every_n_epoch", 1), trainer.get("val_check_interval")
    interval = 1.0 if interval is None else interval
    if trainer.get("limit_val_batches", 1.0) == 0:
        return 0
    if isinstance(interval, str | dict):
        return None
    epoch = micro_batches(config, training.batches_per_epoch)
    within = interval if isinstance(interval, int) else max(1, int(epoch * interval))
    trained = training.steps * accumulation(config)
    if every is None:
        return trained // within
    whole, rest = divmod(trained, epoch)
    last = rest // within if (whole + 1) % every == 0 else 0
    return whole // every * (epoch // within) + last
