"""Trials as tasks of a Ray cluster, each in a placement group of its own."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.environment import handed_on, set_for_a_while
from vit.sweeps.job import warm_up_in_a_job
from vit.sweeps.roles import Trial
from vit.sweeps.trial import TrialOptions, Verdict, run_trial


@dataclass(kw_only=True)
class Ray:
    """All processes of a trial on one machine of the cluster.

    Args:
        address: of a running cluster (`auto` finds this machine's), or None to start one here.
        cpus: CPU cores of a trial, or None for its threads times its processes.
    """

    address: str | None = None
    cpus: int | None = None

    here = False

    def default_jobs(self, config: dict[str, Any], gpus: list[str]) -> int:
        return 100  # the cluster lets wait what it has no room for

    def open(self, jobs: int, devices: int, gpus: list[str], orders: TrialOptions) -> None:
        try:
            import ray
        except ImportError as error:
            message = "needs ray: pip install 'vit-experiments[ray]'"
            raise Refused([Fault("sweep.executor", message)]) from error
        self._ray = ray
        try:
            ray.init(
                address=self.address,
                logging_level=logging.ERROR,
                include_dashboard=False,
                log_to_driver=False,
            )
        except Exception as error:
            first = str(error).strip().splitlines()[:1] or [type(error).__name__]
            message = f"no Ray at {self.address or 'this machine'}: {first[0]}"
            raise Refused([Fault("sweep.executor.address", message)]) from error
        self._jobs_at_once, self._devices, self._orders = jobs, devices, orders
        self._gpus = bool(gpus)
        self._tasks: dict[object, tuple[Trial, object]] = {}

    def has_room(self) -> bool:
        return len(self._tasks) < self._jobs_at_once

    def submit(self, trial: Trial) -> None:
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        cpus = self.cpus or trial.config["threads"] * self._devices
        accelerator = trial.config["trainer"].get("accelerator")
        wants = accelerator in ("gpu", "cuda") or (accelerator == "auto" and self._gpus)
        gpus = self._devices if wants else 0
        group = placement_group([{"CPU": cpus, **({"GPU": gpus} if gpus else {})}])
        task = self._ray.remote(_run).options(
            num_cpus=cpus,
            num_gpus=gpus,
            max_retries=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(placement_group=group),
        )
        path = str(trial.run_dir.absolute())
        reference = task.remote(path, vars(self._orders), handed_on(trial.config))
        self._tasks[reference] = (trial, group)

    def finished(self) -> list[tuple[Trial, Verdict]]:
        from ray.util.placement_group import remove_placement_group

        if not self._tasks:
            return []
        done, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        ended: list[tuple[Trial, Verdict]] = []
        for reference in done:
            trial, group = self._tasks.pop(reference)
            remove_placement_group(group)
            ended.append((trial, self._verdict(trial, reference)))
        return ended

    def _verdict(self, trial: Trial, reference: object) -> Verdict:
        try:
            return self._ray.get(reference)
        except Exception as error:
            if ordered := trial.folder.ordered():
                trial.folder.set_state(ordered)
                return ordered
            message = f"{type(error).__name__}: the task was lost"
            trial.folder.set_state("failed", kind="lost", error=message)
            return "failed"

    def running(self) -> list[Trial]:
        return [trial for trial, _ in self._tasks.values()]

    def kill(self) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)

    def close(self) -> None:
        self._ray.shutdown()


def _run(run_dir: str, orders: dict[str, Any], handed: dict[str, str]) -> Verdict:
    with set_for_a_while(handed):  # the worker may run another sweep's trial next
        warm_up_in_a_job()
        # It may have run a trial before, and its warm parent know that one's GPUs and variables.
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": gpus}
        return run_trial(Path(run_dir), TrialOptions(**orders), {**handed, **visible})
