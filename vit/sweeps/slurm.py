"""Trials as Slurm jobs through submitit: arrays, time limits, requeueing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

from vit.faults import Fault, Refused
from vit.runs.environment import handed_on
from vit.sweeps.job import Job
from vit.sweeps.roles import Trial
from vit.sweeps.slurm_queue import Standing, standings
from vit.sweeps.trial import TrialOptions, Verdict, take_order

REQUEUES = 1_000_000  # of a job whose time is over: a trial takes as long as it takes
# A result may reach a shared file system some seconds after its job has left the queue.
RESULT_SECONDS = 30.0


@dataclass(kw_only=True)
class Slurm:
    """One node a trial. A job whose time is over saves and is queued again.

    Args:
        minutes: time limit of a job.
        partition, account, qos, constraint: Slurm's own.
        cpus: CPU cores of a job, or None for the trial's threads times its processes.
        mem_gb: memory of a job in GB, or None for the cluster's default.
        parameters: further parameters of submitit's executor, such as
            {slurm_additional_parameters: {...}}.
        cluster: `local` runs the jobs as processes of this machine, to try things out.
        poll_seconds: how often the queue is asked.
    """

    minutes: int = 240
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cpus: int | None = None
    mem_gb: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    cluster: Literal["slurm", "local"] = "slurm"
    poll_seconds: float = 5.0

    here = False

    def default_jobs(self, config: dict[str, Any], gpus: list[str]) -> int:
        return 100 if self.cluster == "slurm" else 1

    def open(self, jobs: int, devices: int, gpus: list[str], orders: TrialOptions) -> None:
        try:
            import submitit
        except ImportError as error:
            message = "needs submitit: pip install 'vit-experiments[slurm]'"
            raise Refused([Fault("sweep.executor", message)]) from error
        self._submitit = submitit
        self._jobs_at_once, self._devices, self._orders = jobs, devices, orders
        self._gpus = bool(gpus)
        self._queue: Any = None
        self._waiting: list[Trial] = []
        self._jobs: dict[str, tuple[Trial, Any]] = {}
        self._asked = 0.0
        self._standings: dict[str, Standing] = {}
        self._left: dict[str, float] = {}  # when a job was first seen to have left the queue

    def has_room(self) -> bool:
        return len(self._waiting) + len(self._jobs) < self._jobs_at_once

    def submit(self, trial: Trial) -> None:
        self._waiting.append(trial)

    def finished(self) -> list[tuple[Trial, Verdict]]:
        self._send()
        ended: list[tuple[Trial, Verdict]] = []
        if time.monotonic() - self._asked < self.poll_seconds:
            return ended
        self._asked = time.monotonic()
        self._standings = self._ask_queue()
        for key, (trial, job) in list(self._jobs.items()):
            standing = self._standings.get(key)
            if standing is not None and standing.waits and trial.folder.ordered() == "stopped":
                job.cancel()  # it would wait in the queue only to be stopped
                del self._jobs[key]
                ended.append((trial, take_order(trial.folder) or "stopped"))
            elif job.paths.result_pickle.exists() or (self.cluster == "local" and job.done()):
                del self._jobs[key]
                ended.append((trial, _verdict(trial, job)))
            elif self._is_lost(key, standing):
                del self._jobs[key]
                ended.append((trial, _lost(trial, str(standing))))
        return ended

    def standing(self, trial: Trial) -> str:
        """Why a trial does not run yet (`pending: Resources`); empty while it does."""
        standing = self._standings.get(trial.id)
        return str(standing) if standing is not None and standing.waits else ""

    def _ask_queue(self) -> dict[str, Standing]:
        """By trial; those of which Slurm says nothing now are left out."""
        if self.cluster == "local":
            return {}
        answer = standings([job.job_id for _, job in self._jobs.values()]) or {}
        jobs = {key: answer.get(job.job_id) for key, (_, job) in self._jobs.items()}
        return {key: standing for key, standing in jobs.items() if standing is not None}

    def _is_lost(self, key: str, standing: Standing | None) -> bool:
        """Whether a job left the queue long ago, and no result of it has come."""
        if standing is None or not standing.ended:
            self._left.pop(key, None)
            return False
        return self._asked - self._left.setdefault(key, self._asked) >= RESULT_SECONDS

    def _send(self) -> None:
        """All that wait go as one array."""
        if not self._waiting:
            return
        queue = self._open_queue(self._waiting[0])
        # submitit writes a job down; values, which may be secrets, travel as sbatch hands them on.
        planned = [
            (str(trial.run_dir.absolute()), handed_on(trial.config, written=True))
            for trial in self._waiting
        ]
        try:
            with queue.batch():
                jobs = [queue.submit(Job(path, self._orders, handed)) for path, handed in planned]
        except Exception as error:  # sbatch's own words, of a partition that is not there, say
            message = f"Slurm did not take the jobs: {str(error).strip()}"
            raise Refused([Fault("sweep.executor", message)]) from error
        for trial, job in zip(self._waiting, jobs, strict=True):
            self._jobs[trial.id] = (trial, job)
        self._waiting = []

    def _open_queue(self, trial: Trial) -> Any:
        if self._queue is None:
            folder = trial.run_dir.parent / "slurm"
            queue = self._submitit.AutoExecutor(
                folder=str(folder), cluster=self.cluster, slurm_max_num_timeout=REQUEUES
            )
            options = {
                "slurm_partition": self.partition,
                "slurm_account": self.account,
                "slurm_qos": self.qos,
                "slurm_constraint": self.constraint,
                "mem_gb": self.mem_gb,
                "slurm_array_parallelism": self._jobs_at_once,
            }
            queue.update_parameters(
                name=trial.run_dir.parent.name,
                timeout_min=self.minutes,
                nodes=1,
                tasks_per_node=1,
                cpus_per_task=self.cpus or trial.config["threads"] * self._devices,
                **({"gpus_per_node": self._devices} if self._wants_gpus(trial) else {}),
                **{key: value for key, value in options.items() if value is not None},
                **self.parameters,
            )
            self._queue = queue
        return self._queue

    def _wants_gpus(self, trial: Trial) -> bool:
        """The machine that submits need not have a GPU itself."""
        accelerator = trial.config["trainer"].get("accelerator")
        return accelerator in ("gpu", "cuda") or (accelerator == "auto" and self._gpus)

    def running(self) -> list[Trial]:
        return [*self._waiting, *(trial for trial, _ in self._jobs.values())]

    def kill(self) -> None:
        for _, job in self._jobs.values():
            job.cancel()

    def close(self) -> None:
        return None


def _verdict(trial: Trial, job: Any) -> Verdict:
    """What the job returned; a job that was lost fails its trial, which keeps its checkpoint."""
    try:
        return job.result()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return _lost(trial, lines[-1])


def _lost(trial: Trial, why: str) -> Verdict:
    ordered = trial.folder.ordered()
    if ordered:
        trial.folder.set_state(ordered)
        return ordered
    trial.folder.set_state("failed", kind="lost", error=f"the job was lost: {why}")
    return "failed"
