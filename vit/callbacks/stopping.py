"""Ctrl-C and a scheduler's signals, answered after the same batch by every process of a run."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer

from vit.runs.distributed import several_ranks

POLL_SECONDS = 0.2
AGREE_SECONDS = 25.0  # torchrun's agent kills 30 s after it has sent SIGTERM
# Whoever ignores one of the last two (a job's warning that is its parent's to answer) goes on so.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Stopping(Callback):
    """Tells when to stop (`due`) and by which signal (`by`); raises nothing while it can wait.

    A signal may reach one process, or all at different batches, and each must end after the same
    one or the others wait for it for ever. Lightning asks all of them before every batch, which
    makes a GPU wait each time, and broadcasts inside the signal's handler, which hangs (measured;
    issues 20806, 21487). Here a thread of each process looks at the process group's store; once
    one was asked to stop, each says in the store how many batches it has begun, and all stop after
    the batch that follows the most. The training itself exchanges nothing.

    In an evaluation nothing can be saved: one process ends it at once, several end it first, but
    for the final test, which each leaves as soon as it is asked.
    """

    def __init__(self) -> None:
        self.by: int | None = None
        self._times = 0
        self._begun = 0  # batches, in this process's life
        self._announced: int | None = None  # of them, when the others were asked to stop
        self._stop_after: int | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._agreed = threading.Event()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._due = False
        self._before: dict[int, Any] = {}

    @property
    def due(self) -> bool:
        """Whether to stop here; asked after a batch."""
        return self._due if several_ranks() else self.by is not None

    @property
    def exit_code(self) -> int:
        return 130 if self.by == signal.SIGINT else 143

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.received_sigterm:  # before this moment the signals were Lightning's
            self.by = signal.SIGTERM
        self._listen(self._note)
        if trainer.world_size > 1:
            # Lightning 2.6.6 (2026-11) has no public way to leave out its broadcast per batch.
            trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]
            where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            arguments = (*where, trainer.global_rank, trainer.world_size)
            self._thread = threading.Thread(target=self._watch, args=arguments, daemon=True)
            self._thread.start()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        with self._lock:
            self._begun += 1

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        with self._lock:
            begun, announced = self._begun, self._announced
        # The batch to stop after comes after all that were begun when that was announced.
        if announced is not None and begun > announced:
            self._due = begun >= self._agreed_batch()

    def _agreed_batch(self) -> int:
        self._agreed.wait(AGREE_SECONDS)
        if self._stop_after is None:
            reason = self._error or f"no answer within {AGREE_SECONDS:.0f} s"
            raise RuntimeError(
                f"a stop was asked for, and not all processes answered ({reason}); the last "
                "checkpoint is as it was"
            )
        return self._stop_after

    def on_validation_batch_end(self, trainer: Trainer, *_: object) -> None:
        if self.by is not None and trainer.world_size == 1 and not trainer.sanity_checking:
            raise KeyboardInterrupt

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.by is not None:
            raise KeyboardInterrupt
        self._listen(self._leave)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_listening()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_listening()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop_listening()

    def _listen(self, handler: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            now = signal.getsignal(number)
            default = signal.SIG_DFL, signal.default_int_handler
            if number == signal.SIGTERM or now in default:
                self._before[number] = signal.signal(number, handler)

    def _stop_listening(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()  # it looks at least so often; its store must not outlive the group
            self._thread = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: object) -> None:
        self._times += 1
        self.by = self.by or number
        if number == signal.SIGINT and self._times > 1 and not several_ranks():
            raise KeyboardInterrupt

    def _leave(self, number: int, frame: object) -> None:
        self.by = self.by or number
        raise KeyboardInterrupt

    def _watch(self, address: str, port: int, rank: int, world_size: int) -> None:
        """In a thread, so that a process that waits for another's tensors still answers."""
        try:
            timeout = timedelta(seconds=AGREE_SECONDS)
            server = dist.TCPStore(address, port, is_master=False, timeout=timeout)
            start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            store = dist.PrefixStore(f"vit/stopping/{start}", server)
            while self.by is None and not store.check(["by"]):
                if self._over.wait(POLL_SECONDS):
                    return
            if self.by is None:
                self.by = int(store.get("by"))
            else:
                store.set("by", str(int(self.by)))
            with self._lock:
                self._announced = self._begun
            store.set(f"begun/{rank}", str(self._announced))
            all_ranks = [f"begun/{other}" for other in range(world_size)]
            store.wait(all_ranks)
            self._stop_after = max(int(store.get(key)) for key in all_ranks) + 1
        except Exception as error:  # a rank that died, most likely; the training says what it saw
            self._error = error
        finally:
            self._agreed.set()


def _nothing() -> None:
    return None
