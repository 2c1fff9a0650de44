"""Trials on this machine: some at once, each with its own GPUs or its own share of the cores."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.failure import kind_of
from vit.sweeps.roles import Trial
from vit.sweeps.trial import TrialOptions, Verdict, run_trial


@dataclass(kw_only=True)
class Local:
    """A thread for each running trial, which watches over its processes."""

    here = True

    def default_jobs(self, config: dict[str, Any], gpus: list[str]) -> int:
        """As many as there are GPUs for, or cores for their threads."""
        devices = config["trainer"]["devices"]
        if gpus:
            return max(len(gpus) // devices, 1)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return max((cores or 1) // (config["threads"] * devices), 1)

    def open(self, jobs: int, devices: int, gpus: list[str], orders: TrialOptions) -> None:
        """`gpus` are the names CUDA knows them by; none: trials are on the CPU."""
        if gpus and jobs * devices > len(gpus):
            message = f"is {jobs}, for {devices} GPUs each; {len(gpus)} are visible"
            raise Refused([Fault("sweep.jobs", message)])
        self._orders = orders
        self._slots = [
            {"CUDA_VISIBLE_DEVICES": ",".join(gpus[at * devices : (at + 1) * devices])}
            if gpus
            else {}
            for at in range(jobs)
        ]
        self._running: dict[str, Trial] = {}
        self._ended: SimpleQueue[tuple[Trial, Verdict, dict[str, str]]] = SimpleQueue()
        self._must_kill = threading.Event()
        self._threads: list[threading.Thread] = []

    def has_room(self) -> bool:
        return bool(self._slots)

    def submit(self, trial: Trial) -> None:
        slot = self._slots.pop()
        self._running[trial.id] = trial
        thread = threading.Thread(target=self._run, args=(trial, slot), daemon=True)
        self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _run(self, trial: Trial, slot: dict[str, str]) -> None:
        verdict: Verdict = "failed"
        try:
            verdict = run_trial(trial.run_dir, self._orders, slot, self._must_kill.is_set)
        except Exception as error:  # no space for the ledger itself, say: the driver goes on
            trial.report["driver_error"] = f"{type(error).__name__}: {error}"
            trial.report["driver_kind"] = kind_of(error)
        finally:
            self._ended.put((trial, verdict, slot))

    def finished(self) -> list[tuple[Trial, Verdict]]:
        ended: list[tuple[Trial, Verdict]] = []
        while True:
            try:
                trial, verdict, slot = self._ended.get_nowait()
            except Empty:
                return ended
            self._slots.append(slot)
            del self._running[trial.id]
            ended.append((trial, verdict))

    def running(self) -> list[Trial]:
        return list(self._running.values())

    def kill(self) -> None:
        self._must_kill.set()

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
