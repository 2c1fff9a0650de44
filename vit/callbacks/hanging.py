"""A process that stands still is named and the run ended, instead of waited for without end."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer

PERIOD = 1.0  # seconds between two signs of life
SILENT_AFTER = 4  # periods without a sign of life
STORE_SECONDS = 10.0
FRAMES = 3  # innermost, of a process's main thread
FAILED = 1
log = logging.getLogger("vit")


class Report(NamedTuple):
    """What a process says of itself: signs of life, places reached, and where it stands."""

    beats: int
    ticks: int
    place: str
    line: str


class Hanging(Callback):
    """Ends a run of several processes where none has got any further for `seconds`.

    Each notes the places it passes, which are the same in all. A thread of its own tells the
    process group's store about it once a second; the training exchanges nothing for it. A process
    that has not moved for `seconds` looks at what all have reported. Those whose threads are silent
    (stopped, or on a machine that is gone), else those that are behind, are the ones that all
    others wait for. Every process that still can logs its stack; the first that is waited for by
    nobody calls `failed` with what is to be said, and all leave at once with exit code 1, since
    a process that waits for another's tensors cannot be interrupted. Checkpoints stay as they are.

    Should come last among the callbacks, so that waiting for data is not taken for what the
    others do after a batch.
    """

    def __init__(self, seconds: float, failed: Callable[[str], None]):
        self._seconds = seconds
        self._failed = failed
        self._reached: tuple[int, str] = (0, "the start")
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._reach(f"the start of the {stage}")
        if trainer.world_size > 1:
            where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            self._over.clear()
            self._thread = threading.Thread(
                target=self._connect_and_watch,
                args=(*where, trainer.global_rank, trainer.world_size),
                daemon=True,
            )
            self._thread.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()  # its store must not outlive the group
            self._thread = None

    def _reach(self, place: str) -> None:
        self._reached = self._reached[0] + 1, place

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reach(f"loading the next batch of epoch {trainer.current_epoch}")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        self._reach(f"forward of batch {batch_idx}, epoch {trainer.current_epoch}")

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: object
    ) -> None:
        self._reach(f"backward of step {trainer.global_step}, epoch {trainer.current_epoch}")

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: object
    ) -> None:
        self._reach(f"the optimizer step {trainer.global_step}, or what follows it")

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        self._reach(f"loading batch {batch_idx + 1}, epoch {trainer.current_epoch}")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._reach(f"the checkpoint of step {trainer.global_step}")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reach("loading validation batch 0")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._reach(f"validation after batch {batch_idx}")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reach("the end of the validation")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reach("loading test batch 0")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._reach(f"test after batch {batch_idx}")

    def _connect_and_watch(self, address: str, port: int, rank: int, world_size: int) -> None:
        try:
            timeout = timedelta(seconds=STORE_SECONDS)
            server = dist.TCPStore(address, port, is_master=False, timeout=timeout)
        except Exception as error:
            log.warning("rank %d: nobody watches for hanging processes: %s", rank, error)
            return
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._watch(dist.PrefixStore(f"vit/hanging/{start}", server), rank, world_size)

    def _watch(self, store: dist.Store, rank: int, world_size: int) -> None:
        beats, before, stood, looked = 0, -1, 0.0, monotonic()
        while True:
            now = monotonic()
            # Time in which this process itself was stopped does not count.
            passed, looked = min(now - looked, 2 * PERIOD), now
            beats += 1
            report = Report(beats, *self._reached, _line_of_main_thread())
            stood = stood + passed if report.ticks == before else 0.0
            before = report.ticks
            hangs = stood >= self._seconds
            first = _exchanged(store, rank, world_size, report, look=hangs)
            last = first
            for _ in range(SILENT_AFTER if hangs else 1):
                if self._over.wait(PERIOD):
                    return
                if hangs:
                    beats += 1
                    report = report._replace(beats=beats, ticks=self._reached[0])
                    last = _exchanged(store, rank, world_size, report, look=True)
            if hangs and not _somebody_moved(first, last):
                self._leave(rank, world_size, *verdict(first, last, world_size))

    def _leave(self, rank: int, world_size: int, missing: set[int], where: str) -> None:
        log.error("rank %d stands here:\n%s", rank, _stacks())
        speakers = [other for other in range(world_size) if other not in missing]
        if rank == min(speakers, default=rank):
            message = f"no process has got any further for {self._seconds:.0f} s: {where}"
            log.error(message)
            print(message, file=sys.stderr, flush=True)
            self._failed(message)
        logging.shutdown()
        os._exit(FAILED)


def verdict(
    first: Mapping[int, Report], last: Mapping[int, Report], world_size: int
) -> tuple[set[int], str]:
    """The ranks that all others wait for, and what to say of each process.

    `first` and `last` are what all reported some seconds apart. Nobody is named where all stand at
    one place.
    """
    silent = {
        rank
        for rank in range(world_size)
        if rank not in first or rank not in last or last[rank].beats == first[rank].beats
    }
    furthest = max((report.ticks for report in last.values()), default=0)
    behind = {rank for rank, report in last.items() if report.ticks < furthest}
    missing = silent or behind
    standing = []
    for rank in sorted(missing):
        report = last.get(rank)
        life = "gives no sign of life" if rank in silent else "is behind the others"
        seen = "nothing of it is in the process group's store, which may be gone"
        if report:
            seen = f"it was last seen at {report.place}, {report.line}"
        standing.append(f"rank {rank} {life}; {seen}")
    rest = [f"rank {n} at {last[n].place}, {last[n].line}" for n in sorted(last.keys() - missing)]
    waiting = "waiting" if missing else "all are at one place"
    return missing, "; ".join([*standing, f"{waiting}: {'; '.join(rest)}"])


def _exchanged(
    store: dist.Store, rank: int, world_size: int, report: Report, look: bool
) -> dict[int, Report]:
    """Reports to the store; with `look` what all have reported, or its own where it is gone."""
    try:
        store.set(str(rank), json.dumps(report))
        if not look:
            return {}
        there = [other for other in range(world_size) if store.check([str(other)])]
        return {other: Report(*json.loads(store.get(str(other)))) for other in there}
    except Exception:  # whoever holds it has ended, or hangs: then no other gives a sign of life
        return {rank: report}


def _somebody_moved(first: Mapping[int, Report], last: Mapping[int, Report]) -> bool:
    return any(first[rank].ticks != last[rank].ticks for rank in first.keys() & last.keys())


def _line_of_main_thread() -> str:
    """`read (folder.py:80) < __getitems__ (loading.py:75) < …`."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    lines: list[str] = []
    while frame is not None and len(lines) < FRAMES:
        code = frame.f_code
        lines.append(f"{code.co_name} ({Path(code.co_filename).name}:{frame.f_lineno})")
        frame = frame.f_back
    return " < ".join(lines)


def _stacks() -> str:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read()
