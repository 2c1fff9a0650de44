"""One training and its final test: parts, callbacks and Lightning's loops put together."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning import Callback

from vit.build import build_slot
from vit.callbacks.added_epochs import RatesOfNow
from vit.callbacks.agreement import Agreement
from vit.callbacks.checkpoints.policy import checkpoint_callbacks, policy_of
from vit.callbacks.checkpoints.resume import ExactResume
from vit.callbacks.checkpoints.saving import AtomicCheckpointIO
from vit.callbacks.device import device_name
from vit.callbacks.heartbeat import Heartbeat
from vit.callbacks.left_out import LeftOut
from vit.callbacks.progress import Progress
from vit.callbacks.record import Record
from vit.callbacks.schedule_free import ScheduleFree
from vit.callbacks.stopping import Stopping
from vit.callbacks.throughput import Throughput
from vit.callbacks.watch import Watch
from vit.data.core.membership import splits_of
from vit.data.core.samples import SampleData
from vit.explain.after_training import look_back
from vit.frozen import accumulation, without_weights
from vit.jobs.bad_batch import BadBatches
from vit.jobs.beginning import begin_from
from vit.jobs.going_on import accept_data, must_agree, require_checkpoint
from vit.runs.clock import Clocks
from vit.runs.continuity import begun, lost_checkpoint
from vit.runs.directory import SCHEMA_VERSION, RunFolder
from vit.runs.failure import DONE, FAILED, PREEMPTED, STOPPED
from vit.runs.files import read_json
from vit.runs.left_out import left_out_summary
from vit.runs.rare_classes import told_of_unfound, unfound_classes
from vit.runs.record import Metric, Recorder, read_records
from vit.runs.splits import write_splits
from vit.runs.trust import without_fetching
from vit.runs.writing import write_json
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task, task_spec
from vit.tasks.task import Task
from vit.tasks.trainer import completed, launched_by, syncing

log = logging.getLogger("vit")


@dataclass
class Job:
    """What one process of a run is to train, and what it measures the training with."""

    folder: RunFolder
    config: dict[str, Any]
    tracking: Any  # vit.runs.tracking.Tracking, or a part that does as much
    clocks: Clocks
    rank: int
    world_size: int
    allow_targets: tuple[str, ...] = ()
    allow_changed: bool = False
    throughput: Throughput = field(default_factory=Throughput)
    stopping: Stopping = field(default_factory=Stopping)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.folder.metrics_file)
        self.writer = AtomicCheckpointIO(self.config["checkpoint"].get("asynchronous", False))
        watch = self.config.get("watch")
        self.watch = build_slot("watch", self.config, self.allow_targets) if watch else Watch()

    @property
    def goes_on(self) -> bool:
        return self.folder.last_checkpoint.exists()

    def loader(self, data: SampleData, split: str, **more: Any) -> Any:
        return data.loader(split, rank=self.rank, world_size=self.world_size, **more)


def fit(job: Job) -> int:
    """Trains and tests the run, and writes its results; returns the exit code.

    Raises Refused where what is there cannot be gone on with.
    """
    config, folder, allowed = job.config, job.folder, job.allow_targets
    lightning.seed_everything(config["seed"], verbose=False)
    # What was to be fetched, the check of the command that said so has fetched.
    data = assemble_data(without_fetching(config), allowed)
    data.recall((read_json(folder.stamp_file) or {}).get("data"))
    if begun(folder):
        accept_data(folder, data, rank=job.rank, allow_changed=job.allow_changed)
    if job.rank == 0:
        write_splits(folder.path, splits_of(data))
    started = without_weights(config) if job.goes_on else config  # a checkpoint brings its own
    model = assemble_model(started, data.facts, allowed)
    if not job.goes_on:
        begin_from(folder, config, model, rank=job.rank)
    task = assemble_task(config, model, data, allowed)
    train_loader = job.loader(
        data, "train", accumulate=accumulation(config), mix_neighbours=task.mixes
    )
    val_loader = job.loader(data, "val")
    left_out = LeftOut(data.unit)
    trainer = _trainer(job, data, model, train_loader.batch_sampler, left_out)
    if job.goes_on:
        require_checkpoint(
            folder,
            task,
            trainer,
            rank=job.rank,
            world_size=job.world_size,
            allow_changed=job.allow_changed,
        )
    elif job.rank == 0 and (lost := lost_checkpoint(folder, job.clocks.wall.seconds())):
        log.warning(lost)
    begin = str(folder.last_checkpoint) if job.goes_on else None
    log.info("training%s", f" goes on from {begin}" if begin else "")
    job.clocks.start()
    try:
        try:
            trainer.fit(task, train_loader, val_loader, ckpt_path=begin)
        finally:
            job.writer.wait()
        job.clocks.stop()
        if (code := _stopped(trainer, job.stopping)) is not None:
            return code
        device = device_name(trainer.strategy.root_device)
        results = {**_results(trainer, job), "unit": data.unit, "device": device}
        if task.counted:
            results["counted"] = dict(task.counted)
        tables = task.tables()  # of the last validation
        if "test" in data.lengths:
            _test(job, trainer, task, data, results)
            tables = results["tables"]
    except SystemExit:  # Lightning leaves this way after a signal
        if (code := _stopped(trainer, job.stopping)) is not None:
            return code
        raise
    if counts := left_out.counts():
        results["left_out"] = counts
    if unfound := unfound_classes(tables):
        results["unfound_classes"] = unfound
    if job.rank == 0:
        write_json(folder.results_file, results)
        try:
            look_back(folder.path, data, job.watch.attention, trainer, allowed)
        except Exception:  # a bug is logged in full; what was trained stands all the same
            log.warning("what it looks at could not be drawn", exc_info=True)
        shown = ", ".join(f"{key} {float(value):.4f}" for key, value in results["metrics"].items())
        if counts:
            log.info("left out, %s", left_out_summary(counts, data.unit))
        if unfound:
            log.info("at 0 %% IoU: %s", told_of_unfound(unfound, config))
        log.info("done in %.0f s: %s", job.clocks.wall.seconds(), shown)
    return DONE


def _trainer(
    job: Job, data: SampleData, model: object, sampler: object, left_out: LeftOut
) -> lightning.Trainer:
    """Lightning's, as the config has it, with the callbacks of a training."""
    config, folder = job.config, job.folder
    return build_slot(
        "trainer",
        {"trainer": completed(config, folder.path, job.world_size)},
        job.allow_targets,
        logger=job.tracking.logger(folder.path, config) if job.rank == 0 else False,
        callbacks=_callbacks(job, data, model, sampler, left_out),
        plugins=[job.writer, launched_by(), *syncing(config["trainer"])],
        use_distributed_sampler=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder.path),
    )


def _callbacks(
    job: Job, data: SampleData, model: Any, sampler: Any, left_out: LeftOut
) -> list[Callback]:
    config, folder, several = job.config, job.folder, job.world_size > 1
    spec = task_spec(config, job.allow_targets)
    last = folder.last_checkpoint
    policy = policy_of(config["checkpoint"])

    def hung(error: str) -> None:
        spent = job.clocks.seconds()
        folder.set_state("failed", exit_code=FAILED, error=error, kind="hung", **spent)

    # The order matters: the bar looks before the record forgets, and checkpoints come last.
    return [
        Agreement(must_agree(config, data) if several else {}, job.world_size),
        ExactResume(sampler, last if job.goes_on else None),
        *([RatesOfNow()] if config.get("extend") else []),
        ScheduleFree(),
        *job.watch.probing(data),
        *([build_slot("ema", config, job.allow_targets)] if config["ema"] else []),
        Progress(job.throughput, unit=data.unit, metrics=spec.ask(spec.progress_metrics, model)),
        Heartbeat(folder.heartbeat_file),
        Record(job.recorder, job.throughput, BadBatches(data, folder.bad_batch_file), data.unit),
        job.throughput,
        left_out,
        *job.watch.recording(folder.path),
        *checkpoint_callbacks(folder.checkpoints, **policy, stopping=job.stopping),
        *(job.watch.hanging(hung) if several else []),
    ]


def _test(
    job: Job, trainer: lightning.Trainer, task: Task, data: SampleData, results: dict[str, Any]
) -> None:
    """Measures the selected checkpoint on the test split, once, and adds that to the results."""
    best, last = job.folder.best_checkpoint, job.folder.last_checkpoint
    chosen = str(best if best.exists() else last)
    loader = job.loader(data, "test")
    (tested,) = trainer.test(task, loader, ckpt_path=chosen, verbose=False, weights_only=True)
    results["metrics"].update(tested)
    results["tables"] = task.tables()
    selected = results["best"] or {"step": trainer.global_step, "epoch": 0}
    if job.rank == 0:
        job.recorder.write(selected["step"], selected["epoch"], tested, {})


def _stopped(trainer: lightning.Trainer, stopping: Stopping) -> int | None:
    """The exit code of a training that was stopped from outside, its checkpoint written."""
    if trainer.interrupted and stopping.by is not None:
        return stopping.exit_code
    if trainer.received_sigterm:  # before the training began, or after it ended
        return PREEMPTED
    return STOPPED if trainer.interrupted else None


def _results(trainer: lightning.Trainer, job: Job) -> dict[str, Any]:
    """metrics.json: what came out at the end, and at the checkpoint that was selected."""
    config = job.config
    monitor, mode = config["checkpoint"]["monitor"], config["checkpoint"]["mode"]
    records = [
        record
        for record in read_records(job.folder.metrics_file)
        if math.isfinite(record.number(monitor))
    ]
    pick = max if mode == "max" else min
    best = pick(records, key=lambda record: record.number(monitor), default=None)
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config["name"],
        "seed": config["seed"],
        # Selected by val; test joins them once the selected checkpoint has been measured.
        "metrics": {} if best is None else _validated(best.metrics),
        "best": None if best is None else {"epoch": best.epoch, "step": best.step},
        "final": _validated(records[-1].metrics) if records else {},
        "timing": job.clocks.seconds(),
        "steps": trainer.global_step,
        "epochs": trainer.current_epoch,
    }


def _validated(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {key: value for key, value in metrics.items() if key.startswith("val/")}
