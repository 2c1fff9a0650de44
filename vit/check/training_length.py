"""How long a training is: batches shared by the processes, steps, validations in between."""

from __future__ import annotations

from functools import partial
from warnings import filterwarnings

from vit.check.case import Case
from vit.check.selection import NOT_SELECTED, validation_faults
from vit.check.trying import trying
from vit.faults import Fault
from vit.frozen import accumulation, micro_batches, processes, total_steps
from vit.runs.check_report import TrainingReport


def check_length(case: Case) -> None:
    """Sets `case.training`, where the data can be shared out and there is something to train."""
    data, config = case.data, case.config
    if data is None or not case.usable("trainer"):
        return
    # Loaders of unsound data fail with the same words again.
    faults_of_loaders = case.faults if case.data_is_sound else []
    world, accumulate = processes(config), accumulation(config)
    # Of torch, on the cores of this machine, which may not be the one to train.
    filterwarnings("ignore", ".*worker processes in total.*")
    load = partial(data.loader, rank=0, world_size=world, accumulate=accumulate)
    loader = trying("data.batch_size", faults_of_loaders, partial(load, "train"))
    for split in data.lengths:
        if split != "train":
            trying("trainer.devices", faults_of_loaders, partial(load, split))
    if loader is None:
        return
    batches = len(loader)
    trainer = config["trainer"]
    if micro_batches(config, batches) < 1:
        limit = trainer.get("limit_train_batches")
        message = f"is {limit} of {batches} batches, which leaves none; wanted more"
        case.faults.append(Fault("trainer.limit_train_batches", message))
        return
    steps, per_epoch = total_steps(config, batches)
    if steps < 1:
        message = (
            f"is {trainer.get('max_epochs')} and max_steps {trainer.get('max_steps', -1)}: nothing "
            "would be trained, or without end; wanted 1 or more of either"
        )
        case.faults.append(Fault("trainer.max_epochs", message))
        return
    case.faults += validation_faults(config, batches, steps, case.warnings)
    _warn_of_limits(case)
    case.training = TrainingReport(
        processes=world,
        batch_size=data.batch_size,
        micro_batch_size=data.batch_size // (world * accumulate),
        batches_per_epoch=batches,
        steps_per_epoch=per_epoch,
        steps=steps,
    )


def _warn_of_limits(case: Case) -> None:
    """Where evaluation sees nothing, or the first samples only."""
    few = []
    for key in ("limit_val_batches", "limit_test_batches"):
        share = case.config["trainer"].get(key)
        if share == 0:
            rest = NOT_SELECTED if key == "limit_val_batches" else ""
            case.warnings.append(f"trainer.{key}=0: there is no {key.split('_')[1]} at all{rest}")
        elif share is not None and (isinstance(share, int) or share != 1.0):  # 1 is one batch
            few.append(f"trainer.{key}={share}")
    if few:
        case.warnings.append(
            f"{' and '.join(few)}: only the first {case.data.unit if case.data else 'sample'}s are "
            "evaluated; the numbers show that it runs, not how good it is"
        )
