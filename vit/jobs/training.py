"""What every process of a run executes: a run folder in, a trained and tested model out.

Knows no Hydra and reads nothing but the folder's frozen config, so all ranks agree by
construction.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch

from vit.build import TargetError, build_slot
from vit.callbacks.agreement import Agreement
from vit.callbacks.checkpoints.policy import checkpoint_callbacks, policy_of
from vit.callbacks.checkpoints.resume import ExactResume
from vit.callbacks.checkpoints.saving import AtomicCheckpointIO, tidy
from vit.callbacks.heartbeat import Heartbeat
from vit.callbacks.left_out import LeftOut
from vit.callbacks.progress import Progress
from vit.callbacks.record import Record
from vit.callbacks.schedule_free import ScheduleFree
from vit.callbacks.stopping import Stopping
from vit.callbacks.throughput import Throughput
from vit.callbacks.watch import Watch
from vit.check.changed import changes_of
from vit.data.core.membership import splits_of
from vit.data.core.samples import SampleData
from vit.explain.after_training import look_back
from vit.faults import Fault, Refused
from vit.frozen import accumulation, processes
from vit.jobs.bad_batch import BadBatches
from vit.runs.checkpoint import look_at_checkpoint, misfit
from vit.runs.clock import Clocks
from vit.runs.continuity import (
    begun,
    keep_stamp,
    lost_checkpoint,
    lost_record,
    refuse_changed_data,
    refuse_lost_record,
)
from vit.runs.counted import BEFORE, differing, going_on, ways
from vit.runs.directory import SCHEMA_VERSION, RunFolder, content_of, write_json
from vit.runs.environment import for_the_tracker, hidden, told_by_name
from vit.runs.failure import kind_of
from vit.runs.files import clear_leftovers, refuse_links
from vit.runs.identity import config_hash
from vit.runs.left_out import told_of_left_out
from vit.runs.process import unstopped
from vit.runs.record import Recorder, read_records
from vit.runs.secrets import concealed
from vit.runs.splits import write_splits
from vit.runs.stamp import code
from vit.runs.trust import without_fetching
from vit.schema import frozen_faults
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task, task_spec
from vit.tasks.log import said_into
from vit.tasks.task import Task
from vit.tasks.trainer import completed, launched_by

DONE, FAILED, REFUSED, STOPPED, PREEMPTED = 0, 1, 2, 130, 143
log = logging.getLogger("vit")


def train(run_dir: Path, allow_targets: Iterable[str] = (), allow_changed: bool = False) -> int:
    """Trains, or goes on with, the run in a folder; returns the exit code.

    With `allow_changed` also on other data than it was begun with, which the stamp then tells.
    Raises Refused where the folder holds no run, where something in it leads out of it, or where
    this process group is not the one that the config promises.
    """
    folder = RunFolder(run_dir)
    config = folder.config()
    config["tracking"] = for_the_tracker(folder.written_config().get("tracking"))
    refuse_links(folder.path)
    if faults := frozen_faults(config):
        raise Refused(faults)
    secret, log_file = hidden(config), folder.log_file
    rank, world_size = _rank_and_world(config)
    torch.set_num_threads(config["threads"])
    if config["trainer"].get("deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    with folder.locked() if rank == 0 else nullcontext(), said_into(log_file, rank, secret):
        clocks = Clocks(folder.state())
        if rank == 0:
            folder.set_state("running", **clocks.told())
            tidy(folder.checkpoints)
            clear_leftovers(folder.path)
        tracking: Any = None
        code, error, kind = FAILED, None, None
        try:
            tracking = build_slot("tracking", config, allow_targets)
            allowed = tuple(allow_targets)
            code = _train(
                folder, config, tracking, rank, world_size, allowed, clocks, allow_changed
            )
        except KeyboardInterrupt:
            code = STOPPED  # outside of Lightning's loops, which answer it themselves
        except FloatingPointError as problem:
            error, kind = str(problem), kind_of(problem)
            log.error("stopped: %s", problem)
        except Refused as problem:
            code, error, kind = REFUSED, str(problem), "refused"
            log.error("refused: %s", problem)
        except TargetError as problem:
            code, error, kind = REFUSED, str(problem), "refused"
            log.error("refused: %s", problem)
        except Exception as problem:
            kind = kind_of(problem)
            if isinstance(problem, OSError) and kind == "disk_full":
                error = problem.strerror or str(problem)
                log.error("stopped: %s", error)
            else:
                error = f"{type(problem).__name__}: {problem}"
                log.exception("failed")
        if rank == 0:
            names = {DONE: "done", STOPPED: "stopped", PREEMPTED: "preempted"}
            state: Any = names.get(code, "failed")
            if code in (STOPPED, PREEMPTED):
                state = folder.ordered() or state
            told: dict[str, Any] = {"kind": kind} if kind else {}
            told |= clocks.told()
            if code == DONE:
                told["last_checkpoint"] = content_of(folder.last_checkpoint)
            with unstopped(folder.is_done) if code == DONE else nullcontext():
                try:
                    error = error and concealed(error, secret)
                    folder.set_state(state, exit_code=code, error=error, **told)
                except OSError as problem:  # a full disk
                    print(f"state.json could not be written: {problem}. {error}", file=sys.stderr)
                if tracking is not None:
                    _finish(tracking, 0 if state in ("pruned", "paused") else code)
        return code


def _finish(tracking: Any, code: int) -> None:
    try:
        tracking.finish(code)
    except Exception:  # what was trained stands; the tracker's copy can be sent again
        message = "the tracker could not be closed; vit sync uploads what it kept"
        log.warning(message, exc_info=True)


def _train(
    folder: RunFolder,
    config: dict[str, Any],
    tracking: Any,
    rank: int,
    world_size: int,
    allow_targets: tuple[str, ...],
    clocks: Clocks,
    allow_changed: bool,
) -> int:
    lightning.seed_everything(config["seed"], verbose=False)
    # What was to be fetched, the check of the command that said so has fetched.
    data = assemble_data(without_fetching(config), allow_targets)
    if begun(folder):
        if not allow_changed:
            found = data.fingerprint()
            refuse_changed_data(folder, found, changes_of(folder, data, found))
        elif rank == 0:
            _note_changes(folder, data)
    if rank == 0:
        write_splits(folder.path, splits_of(data))
    model = assemble_model(config, data.facts, allow_targets)
    task = assemble_task(config, model, data, allow_targets)
    spec = task_spec(config, allow_targets)
    watched = spec.ask(spec.progress_metrics, model)
    shared: Any = {"rank": rank, "world_size": world_size}
    train_loader = data.loader(
        "train", **shared, accumulate=accumulation(config), mix_neighbours=task.mixes
    )
    val_loader = data.loader("val", **shared)
    sampler: Any = train_loader.batch_sampler  # an EpochSampler
    recorder = Recorder(folder.metrics_file)
    last = folder.last_checkpoint
    throughput = Throughput()
    stopping = Stopping()
    left_out = LeftOut(data.unit)
    saving = config["checkpoint"]
    writer = AtomicCheckpointIO(saving.get("asynchronous", False))
    watch = build_slot("watch", config, allow_targets) if config.get("watch") else Watch()

    def hung(error: str) -> None:
        told = {"exit_code": FAILED, "error": error, "kind": "hung"}
        folder.set_state("failed", **told, **clocks.told())

    # The order matters: the bar looks before the record forgets, and checkpoints come last.
    callbacks = [
        Agreement(_must_agree(config, data) if world_size > 1 else {}, world_size),
        ExactResume(sampler, last if last.exists() else None),
        ScheduleFree(),
        *([build_slot("ema", config, allow_targets)] if config["ema"] else []),
        Progress(throughput, unit=data.unit, metrics=watched),
        Heartbeat(folder.heartbeat_file),
        Record(recorder, throughput, BadBatches(data, folder.bad_batch_file), data.unit),
        throughput,
        left_out,
        *watch.recording(folder.path),
        *checkpoint_callbacks(folder.checkpoints, **policy_of(saving), stopping=stopping),
        *(watch.hanging(hung) if world_size > 1 else []),
    ]
    trainer = build_slot(
        "trainer",
        {"trainer": completed(config, folder.path, world_size)},
        allow_targets,
        logger=tracking.logger(folder.path, config) if rank == 0 else False,
        callbacks=callbacks,
        plugins=[writer, launched_by()],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder.path),
    )
    if last.exists():
        content = _own_content(last, task, rank, world_size)
        stands = content["global_step"], _last_recorded(content, trainer)
        if not allow_changed:
            refuse_lost_record(folder, *stands)
        elif rank == 0 and (lost := lost_record(folder, *stands)):
            log.warning(lost)
    elif rank == 0 and (lost := lost_checkpoint(folder, clocks.told())):
        log.warning(lost)
    log.info("training%s", f" goes on from {last}" if last.exists() else "")
    clocks.start()
    try:
        begin = str(last) if last.exists() else None
        try:
            trainer.fit(task, train_loader, val_loader, ckpt_path=begin)
        finally:
            writer.wait()
        clocks.stop()
        if (code := _stopped(trainer, stopping)) is not None:
            return code
        results = {**_results(trainer, config, folder, clocks), "unit": data.unit}
        if task.counted:
            results["counted"] = dict(task.counted)
        if "test" in data.lengths:
            best = folder.best_checkpoint if folder.best_checkpoint.exists() else last
            test_loader = data.loader("test", **shared)
            tested = trainer.test(
                task, test_loader, ckpt_path=str(best), verbose=False, weights_only=True
            )[0]
            results["metrics"].update(tested)
            results["tables"] = task.tables()
            selected = results["best"] or {"step": trainer.global_step, "epoch": 0}
            if rank == 0:
                recorder.write(selected["step"], selected["epoch"], tested, {})
    except SystemExit:  # Lightning leaves this way after a signal
        if (code := _stopped(trainer, stopping)) is not None:
            return code
        raise
    if counts := left_out.counts():
        results["left_out"] = counts
    if rank == 0:
        write_json(folder.results_file, results)
        try:
            look_back(folder.path, data, watch.attention, trainer, allow_targets)
        except Exception:  # a bug is told in full; what was trained stands all the same
            log.warning("what it looks at could not be drawn", exc_info=True)
        shown = ", ".join(f"{key} {float(value):.4f}" for key, value in results["metrics"].items())
        if counts:
            log.info("left out, %s", told_of_left_out(counts, data.unit))
        log.info("done in %.0f s: %s", clocks.wall.seconds(), shown)
    return DONE


def _note_changes(folder: RunFolder, data: SampleData) -> None:
    found = {**data.describe(), "fingerprint": data.fingerprint()}
    now = {"code": code(), "data": told_by_name(found, hidden(folder.config()))}
    if changed := keep_stamp(folder, now):
        log.warning("changed since the run was begun: %s", "; ".join(changed))


def _last_recorded(content: dict[str, Any], trainer: lightning.Trainer) -> int:
    """The last step that was written down (vit/callbacks/record.py) before a checkpoint."""
    step, every = content["global_step"], trainer.log_every_n_steps  # type: ignore[attr-defined]
    of_this_epoch = content["exact_resume"]["next_batch"] // trainer.accumulate_grad_batches
    return int(max(step // every * every, step - of_this_epoch))


def _own_content(checkpoint: Path, task: Task, rank: int, world_size: int) -> dict[str, Any]:
    """What a checkpoint of this run holds.

    Raises Refused where it is damaged, newer than this vit or of another model.
    """
    content = look_at_checkpoint(checkpoint, rank, world_size)
    if told := misfit(content["state_dict"], task.state_dict()):
        raise Refused([Fault(str(checkpoint), told)])
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


def _must_agree(config: dict[str, Any], data: SampleData) -> dict[str, str]:
    """What the numbers depend on, as each process finds it on its machine."""
    found = code()
    return {
        "config": config_hash(config),
        "code": found["vit"],
        "packages": ", ".join(f"{name} {version}" for name, version in found["packages"].items()),
        "data": data.fingerprint(),
    }


def _stopped(trainer: lightning.Trainer, stopping: Stopping) -> int | None:
    """The exit code of a training that was stopped from outside, its checkpoint written."""
    if trainer.interrupted and stopping.by is not None:
        return stopping.exit_code
    if trainer.received_sigterm:  # before the training began, or after it ended
        return PREEMPTED
    return STOPPED if trainer.interrupted else None


def _results(
    trainer: lightning.Trainer, config: dict[str, Any], folder: RunFolder, clocks: Clocks
) -> dict[str, Any]:
    """metrics.json: what came out at the end, and at the checkpoint that was selected."""
    monitor, mode = config["checkpoint"]["monitor"], config["checkpoint"]["mode"]
    records = [
        record
        for record in read_records(folder.metrics_file)
        if math.isfinite(float(record["metrics"].get(monitor, "nan")))
    ]
    pick = max if mode == "max" else min
    best = pick(records, key=lambda record: float(record["metrics"][monitor]), default=None)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config["name"],
        "seed": config["seed"],
        # Selected by val; test joins them once the selected checkpoint has been measured.
        "metrics": {} if best is None else _validated(best["metrics"]),
        "best": None if best is None else {"epoch": best["epoch"], "step": best["step"]},
        "final": _validated(records[-1]["metrics"]) if records else {},
        "timing": clocks.told(),
        "steps": trainer.global_step,
        "epochs": trainer.current_epoch,
    }


def _validated(metrics: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if key.startswith("val/")}


def _rank_and_world(config: dict[str, Any]) -> tuple[int, int]:
    promised = processes(config)
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if world_size != promised:
        raise Refused(
            [
                Fault(
                    "trainer.devices",
                    f"the run was frozen for {promised} processes, this is one of {world_size}; "
                    f"start it with: torchrun --nproc-per-node {promised} -m vit run RUN_DIR",
                )
            ]
        )
    return int(os.environ.get("RANK", 0)), world_size
