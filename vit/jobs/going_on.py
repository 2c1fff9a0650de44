"""What a run goes on from: its checkpoint, its data and its code, as they are now."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning

from vit.check.changed import changes_of
from vit.data.core.samples import SampleData
from vit.faults import Fault, Refused
from vit.runs.checkpoint import look_at_checkpoint, misfit
from vit.runs.continuity import keep_stamp, lost_record, refuse_changed_data, refuse_lost_record
from vit.runs.counted import BEFORE, differing, going_on, ways
from vit.runs.directory import RunFolder
from vit.runs.environment import hidden, with_names
from vit.runs.identity import config_hash
from vit.runs.stamp import code
from vit.tasks.task import Task

log = logging.getLogger("vit")


def accept_data(folder: RunFolder, data: SampleData, *, rank: int, allow_changed: bool) -> None:
    """Of a run that goes on: refuses other data than it was begun with, or notes the change."""
    if not allow_changed:
        fingerprint = data.fingerprint()
        refuse_changed_data(folder, fingerprint, changes_of(folder, data, fingerprint))
    elif rank == 0:
        _note_changes(folder, data)


def _note_changes(folder: RunFolder, data: SampleData) -> None:
    description = {**data.describe(), "fingerprint": data.fingerprint()}
    now = {"code": code(), "data": with_names(description, hidden(folder.config()))}
    if changed := keep_stamp(folder, now):
        log.warning("changed since the run was begun: %s", "; ".join(changed))


def require_checkpoint(
    folder: RunFolder,
    task: Task,
    trainer: lightning.Trainer,
    *,
    rank: int,
    world_size: int,
    allow_changed: bool,
) -> None:
    """Refuses a last checkpoint that nothing can go on from, or that the record does not reach."""
    content = _own_content(folder.last_checkpoint, task, rank, world_size)
    stands = content["global_step"], _last_recorded(content, trainer)
    if not allow_changed:
        refuse_lost_record(folder, *stands)
    elif rank == 0 and (lost := lost_record(folder, *stands)):
        log.warning(lost)


def _last_recorded(content: Mapping[str, Any], trainer: lightning.Trainer) -> int:
    """The last step that was written down (vit/callbacks/record.py) before a checkpoint."""
    step, every = content["global_step"], trainer.log_every_n_steps  # type: ignore[attr-defined]
    of_this_epoch = content["exact_resume"]["next_batch"] // trainer.accumulate_grad_batches
    return int(max(step // every * every, step - of_this_epoch))


def _own_content(checkpoint: Path, task: Task, rank: int, world_size: int) -> dict[str, Any]:
    """What a checkpoint of this run holds.

    Raises Refused where it is damaged, newer than this vit or of another model.
    """
    content = look_at_checkpoint(checkpoint, rank, world_size)
    if difference := misfit(content["state_dict"], task.state_dict()):
        raise Refused([Fault(str(checkpoint), difference)])
    if lacking := [
        key for key in ("loops", "optimizer_states", "exact_resume") if key not in content
    ]:
        message = f"holds weights, but not where a training stood: it lacks {', '.join(lacking)}"
        raise Refused([Fault(str(checkpoint), message)])
    before = ways(content.get("counted"))
    begun = going_on(before, task.counted)
    if rank == 0 and (other := differing(begun, task.counted, task.counted)):
        log.warning(
            "%s: counted %s up to now, and %s from here on. The checkpoint that is selected is the "
            "best of all; vit report compares these numbers with none that were counted in one way",
            " and ".join(other),
            before.get(other[0], BEFORE),
            type(task).counted[other[0]],
        )
    task.counted = begun
    return content


def must_agree(config: Mapping[str, Any], data: SampleData) -> dict[str, str]:
    """What the numbers depend on, as each process sees it on its machine."""
    here = code()
    return {
        "config": config_hash(config),
        "code": here["vit"],
        "packages": ", ".join(f"{name} {version}" for name, version in here["packages"].items()),
        "data": data.fingerprint(),
    }
