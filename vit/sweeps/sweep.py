"""A sweep from its request to its end: what is planned, what is refused, who runs it."""

from __future__ import annotations

import os
import shlex
import time
import uuid
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused, did_you_mean
from vit.metrics.direction import without_direction, wrong_direction
from vit.runs.check_report import RunReport
from vit.runs.claim import claim, owner
from vit.runs.directory import SCHEMA_VERSION
from vit.runs.identity import config_hash
from vit.runs.links import links_out
from vit.runs.secrets import blacked_out
from vit.runs.stamp import code
from vit.runs.tracking import unasked_upload
from vit.runs.wandb_links import link_wandb
from vit.runs.writing import clear_leftovers, write_json
from vit.sweeps.board import Board
from vit.sweeps.driver import Driver
from vit.sweeps.folders import refuse_conflicts, reuse_folders
from vit.sweeps.ledger import Ledger, SweepRecord, changes
from vit.sweeps.plan import merged
from vit.sweeps.planning import Planner, Request
from vit.sweeps.roles import FACTS, TIMES, Sampler, SearchSampling, Space, Trial
from vit.sweeps.samplers import Planned
from vit.sweeps.trial_row import TrialRow, is_over

ONLINE = "tracking.mode=online"
WRITTEN = ("wandb", ".claims", "study.journal", "stop")  # in a sweep's folder, where they lie


class Sweep:
    """One request, from its trials to its exit code; shows nothing but the board of trials.

    After `plan` its `trials` are known, and `notes`, which are lines for whoever reads the plan.
    """

    def __init__(self, request: Request):
        self._request = request
        self.words, self.policy = request.words, request.policy
        self.objective, self.base = request.objective, request.base
        self.ledger = Ledger(self.base.sweep_dir)
        self.planner = Planner(request)
        self.trials: list[Trial] = []
        self.notes: list[str] = []

    def plan(self, *, to_run: bool = True) -> None:
        """Composes and checks all that is known beforehand, or raises Refused; writes nothing.

        A plan that is not `to_run` may be made while somebody runs the sweep.
        """
        driver = owner(self.ledger.path) if to_run else None
        if driver is not None:
            raise Refused([self._is_run_by(driver)])
        home = self.ledger.path
        if faults := [fault for name in WRITTEN for fault in links_out(home / name, home)]:
            raise Refused(faults)
        trials = self.check()
        self.notes += reuse_folders(trials, *self.read())
        refuse_conflicts(trials, self.ledger.path, self._request.allow_changed)
        self.trials, self._sweep_record = trials, self._record(trials)
        self._refuse_changes(self._sweep_record)

    def check(self) -> list[Trial]:
        """The trials, or Refused; whatever lies in the sweep's folder."""
        self.notes = []
        if self.policy.sampler.searches:
            trials = self.planner.corners()
        else:
            trials, same = merged(self.planner.planned())
            self.notes = [f"merged: {line}" for line in same]
            if not {*self.words.axes, *self.policy.points}:
                self.notes.append("no key has several values, so this is a sweep of one trial")
        self._refuse_unknown_metrics()
        return trials

    def refuse_uploads(self) -> None:
        """Raises Refused where a trial's tracker would send it away."""
        for config in (self.base.config, *(trial.config for trial in self.trials)):
            if faults := unasked_upload(config["tracking"], ONLINE):
                raise Refused(faults)

    def unfinished(self) -> list[Trial]:
        """The trials that are still to be trained, as far as they are known beforehand."""
        rows, _ = self.read()
        return [trial for trial in self.trials if not is_over(rows.get(trial.id))]

    def drive(self) -> int:
        """Carries the plan out; the exit code."""
        return self._drive(self.trials, self.read()[0], self._sweep_record)

    def _is_run_by(self, driver: dict[str, object]) -> Fault:
        message = (
            f"is being run by process {driver.get('pid')} on {driver.get('host')}; "
            f"vit sweep status {self.ledger.path} shows how it stands"
        )
        return Fault(str(self.ledger.path), message)

    def read(self) -> tuple[dict[str, TrialRow], list[Fault]]:
        """The ledger by trial id, and what of it cannot be read; of two folders of one trial the
        finished one counts."""
        rows, unreadable = self.ledger.read()
        return {row.id: row for row in sorted(rows, key=is_over)}, unreadable

    def _gpus(self) -> list[str]:
        return visible_gpus(self.base.config["trainer"], self._first.gpus)

    @property
    def _first(self) -> RunReport:
        """What the check says of the first trial; there is one once the sweep is planned."""
        assert self.planner.first is not None
        return self.planner.first

    def jobs(self) -> int:
        """How many trials run at once."""
        policy = self.policy
        trainer = {**self.base.config["trainer"], "devices": self.planner.devices}
        config = {**self.base.config, "trainer": trainer}
        return policy.jobs or policy.executor.default_jobs(config, self._gpus())

    def _refuse_unknown_metrics(self) -> None:
        """Trials are compared by validation; facts of a model may be a further objective."""
        known = self._first.metrics.monitors
        wrong = [self.objective.metrics[0]] if self.objective.metrics[0] not in known else []
        wrong += [m for m in self.objective.metrics[1:] if m not in (*known, *FACTS, *TIMES)]
        if wrong:
            message = f"{{}} is not what validation logs, which is {', '.join(known)}."
            raise Refused(
                [Fault("sweep.metric", message.format(m) + did_you_mean(m, known)) for m in wrong]
            )
        if lost := [m for m in self.objective.metrics if m in self._first.metrics.signed]:
            raise Refused([Fault("sweep.metric", without_direction(m)) for m in lost])
        both = zip(self.objective.metrics, self.objective.modes, strict=True)
        better = self._first.metrics.better
        messages = [wrong_direction(metric, mode, better) for metric, mode in both]
        if any(messages):
            raise Refused([Fault("sweep.mode", message) for message in messages if message])

    def searching(self) -> str | None:
        """What proposes the trials, where it is no grid."""
        return str(self.policy.sampler) if self.policy.sampler.searches else None

    def _record(self, trials: list[Trial]) -> SweepRecord:
        """sweep.json: what was asked for, and with what code and data."""
        data = {
            _data_key(trial.config["data"]): trial.report["data"]["fingerprint"] for trial in trials
        }
        searching = self.policy.sampler.searches
        ranges = {key: vars(span) for key, span in self.words.ranges.items()}
        space = {"axes": self.words.axes, "ranges": ranges}
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.ledger.path.name,
            "command": blacked_out(shlex.join(["vit", "train", *self._request.argv])),
            "arguments": self._request.argv,
            "folder": str(Path.cwd()),
            "path": str(self.ledger.path.absolute()),
            "code": code(),
            "data": data,
            "counted": self._first.metrics.counted or {},
            "objective": vars(self.objective),
            "threads": self.base.config["threads"],
            "space": space if searching else None,
            "trials": [] if searching else [trial.id for trial in trials],
        }

    def _refuse_changes(self, record: SweepRecord) -> None:
        before = self.ledger.earlier()
        if before is None or self._request.allow_changed:
            return
        if not any(row.state != "planned" for row in self.ledger.rows()):
            return
        changed = changes(before, record)
        if changed:
            message = (
                f"was begun with something else: {'; '.join(changed)}. Its trials could not be "
                "compared with new ones. --allow-changed goes on all the same; sweep.name=… or "
                "hydra.sweep.dir=… begins another."
            )
            raise Refused([Fault(str(self.ledger.path), message)])

    def _drive(self, trials: list[Trial], rows: dict[str, TrialRow], record: SweepRecord) -> int:
        ledger = self.ledger
        ledger.path.mkdir(parents=True, exist_ok=True)
        held = claim(ledger.path)
        if held is None:
            raise Refused([self._is_run_by(owner(ledger.path) or {})])
        try:
            before: SweepRecord = ledger.earlier() or {}
            record["data"] = {**before.get("data", {}), **record["data"]}
            record["created"] = before.get("created", time.time())
            # Several sweeps may share a storage, and their folders a name.
            new = f"{ledger.path.name}-{uuid.uuid4().hex[:8]}" if not before else ledger.path.name
            record["study"] = before.get("study", new)
            write_json(ledger.sweep_file, {**record, "updated": time.time()})
            ledger.stop_file.unlink(missing_ok=True)
            clear_leftovers(ledger.path)
            orders = self.policy.orders(self.base.config["allow_targets"])
            self.policy.executor.open(self.jobs(), self.planner.devices, self._gpus(), orders)
            sampler, ended = self._sampler(trials, rows, record["study"])
            board = Board(f"sweep {ledger.path}")
            driver = Driver(ledger, self.policy, sampler, self.objective, board, held)
            exit_code = driver.run(ended)
            link_wandb(ledger.path)
        finally:
            held.release()
        return exit_code

    def _sampler(
        self, trials: list[Trial], rows: dict[str, TrialRow], study: str
    ) -> tuple[Sampler, list[TrialRow]]:
        settings = self.policy.sampler
        if isinstance(settings, SearchSampling) and settings.searches:
            axes = dict(self.words.axes)
            seeds = list(dict.fromkeys(axes.pop("seed", [str(self.base.config["seed"])])))
            space = Space(
                self.ledger.path,
                study,
                axes,
                self.words.ranges,
                seeds,
                self.objective,
                self._group,
            )
            return settings.start(space, list(rows.values()))
        for trial in trials:
            if not trial.folder.problem():  # else it fails when its turn comes
                self.ledger.enter(trial)
        ended = [rows[trial.id] for trial in trials if is_over(rows.get(trial.id))]
        left = [trial for trial in trials if not is_over(rows.get(trial.id))]
        planned = Planned(left)
        planned.total = len(trials)
        return planned, ended

    def _group(self, chosen: dict[str, str], seeds: list[str], point: int) -> list[Trial]:
        """The trials of one proposal: its values with each seed."""
        several = "seed" in self.words.axes
        points = [{**chosen, "seed": seed} if several else chosen for seed in seeds]
        trials, _ = merged(self.planner.make_trials(points, point=point))
        reuse_folders(trials, *self.read())
        refuse_conflicts(trials, self.ledger.path, self._request.allow_changed)
        return trials


def visible_gpus(trainer: dict[str, Any], names: list[str]) -> list[str]:
    """The GPUs that trials share, by the names CUDA knows them by; none for the CPU."""
    if not names or trainer.get("accelerator") == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        visible = [name.strip() for name in named.split(",") if name.strip()]
        return visible[: len(names)]  # CUDA stops at the first that is not there
    return [str(number) for number in range(len(names))]


def _data_key(data: dict[str, Any]) -> str:
    return config_hash({"data": data})[:12]
