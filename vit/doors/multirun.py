"""vit train -m: every trial composed, checked and shown as a plan; then the sweep."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vit.doors.again import unconfirmed_reach
from vit.doors.compose import Composer, composer
from vit.doors.grid import read_words, sweep_name
from vit.doors.planning import Planner, refuse_conflicts
from vit.doors.request import objective_of, policy_of, with_params
from vit.doors.sweep_screen import show_plan
from vit.faults import Fault, Refused, did_you_mean
from vit.metrics.direction import without_direction, wrong_direction
from vit.runs.claim import claim, owner
from vit.runs.directory import SCHEMA_VERSION, RunFolder, write_json
from vit.runs.environment import granted_by
from vit.runs.files import clear_leftovers, links_out, read_json
from vit.runs.identity import trial_id
from vit.runs.secrets import blacked_out
from vit.runs.shapes import STAMP, SWEEP
from vit.runs.stamp import code
from vit.runs.tracking import untold_upload
from vit.runs.wandb_links import link_wandb
from vit.sweeps.board import Board
from vit.sweeps.driver import Driver
from vit.sweeps.ledger import Ledger, changes, is_over
from vit.sweeps.plan import merged
from vit.sweeps.roles import FACTS, TIMES, Sampler, Space, Trial
from vit.sweeps.samplers import Planned

ONLINE = "tracking.mode=online"
WRITTEN = ("wandb", ".claims", "study.journal", "stop")  # in a sweep's folder, where they lie
MOST_HIDDEN = 4  # words that are left out in turn to find the faults behind them


class Sweep:
    """One `-m` command, from its words to its exit code."""

    def __init__(self, arguments: argparse.Namespace, argv: list[str], compose_one: Composer):
        self._arguments = arguments
        self._argv = argv
        self._compose = compose_one
        self.words = read_words(arguments.overrides, compose_one.groups)
        base = compose_one(self.words.fixed, 0)
        self.words = with_params(self.words, base.policy["params"], compose_one.groups)
        self.policy = policy_of(base)
        compose_one.sweep_name = self.policy.name or sweep_name(self.words, base.experiment)
        self.base = compose_one(self.words.fixed, 0)
        self.ledger = Ledger(self.base.sweep_dir)
        # Threads are part of a trial: a sweep keeps those it began with, on whatever machine.
        compose_one.threads = (read_json(self.ledger.sweep_file, SWEEP) or {}).get("threads")
        self.base = compose_one(self.words.fixed, 0)
        self.objective = objective_of(self.policy, self.base.config)
        told = self.words, self.policy, self.ledger.path
        self.planner = Planner(arguments, argv, compose_one, *told)

    def plan(self) -> None:
        """Composes and checks all that is known beforehand, or raises Refused; writes nothing."""
        held = None if self._arguments.dry_run else owner(self.ledger.path)
        if held is not None:
            raise Refused([self._is_run_by(held)])
        home = self.ledger.path
        if faults := [fault for name in WRITTEN for fault in links_out(home / name, home)]:
            raise Refused(faults)
        trials = self.check()
        self._notes += _reuse_folders(trials, *self._read())
        refuse_conflicts(trials, self.ledger.path, self._arguments.allow_changed)
        self._trials, self._sweep_record = trials, self._record(trials)
        self._refuse_changes(self._sweep_record)

    def check(self) -> list[Trial]:
        """The trials, or Refused; whatever lies in the sweep's folder."""
        self._began = time.monotonic()
        self._notes: list[str] = []
        if self.policy.sampler.searches:
            trials = self.planner.corners()
        else:
            trials, same = merged(self.planner.planned())
            self._notes = [f"merged: {line}" for line in same]
            if not {*self.words.axes, *self.policy.points}:
                self._notes.append("no key has several values, so this is a sweep of one trial")
        self._refuse_unknown_metrics()
        return trials

    def refuse_uploads(self) -> None:
        """Raises Refused where a trial's tracker would send it away."""
        for config in (self.base.config, *(trial.config for trial in self._trials)):
            if faults := untold_upload(config["tracking"], ONLINE):
                raise Refused(faults)

    def run(self) -> int:
        """Shows the plan, then carries it out."""
        trials = self._trials
        rows, _ = self._read()
        self.planner.foretell([trial for trial in trials if not is_over(rows.get(trial.id, {}))])
        show_plan(
            self.ledger.path,
            trials,
            rows,
            self._notes,
            seconds=time.monotonic() - self._began,
            jobs=self._jobs(),
            keeping={"all": None, "best": self.policy.keep_best, "none": 0}[self.policy.keep],
            searching=self._searching(),
        )
        self.planner.find(trials)
        if self._arguments.dry_run:
            return 0
        return self._drive(trials, rows, self._sweep_record)

    def _is_run_by(self, held: dict[str, Any]) -> Fault:
        message = (
            f"is being run by process {held.get('pid')} on {held.get('host')}; "
            f"vit sweep status {self.ledger.path} shows how it stands"
        )
        return Fault(str(self.ledger.path), message)

    def _read(self) -> tuple[dict[str, dict[str, Any]], list[Fault]]:
        """The ledger by trial id, and what of it cannot be read; of two folders of one trial the
        finished one counts."""
        rows, odd = self.ledger.read()
        return {row["id"]: row for row in sorted(rows, key=is_over)}, odd

    def _gpus(self) -> list[str]:
        return visible_gpus(self.base.config["trainer"], self.planner.first["gpus"])

    def _jobs(self) -> int:
        policy = self.policy
        trainer = {**self.base.config["trainer"], "devices": self.planner.devices}
        config = {**self.base.config, "trainer": trainer}
        return policy.jobs or policy.executor.default_jobs(config, self._gpus())

    def _refuse_unknown_metrics(self) -> None:
        """Trials are compared by validation; facts of a model may be a further objective."""
        known = self.planner.first["monitors"]
        wrong = [self.objective.metrics[0]] if self.objective.metrics[0] not in known else []
        wrong += [m for m in self.objective.metrics[1:] if m not in (*known, *FACTS, *TIMES)]
        if wrong:
            message = f"{{}} is not what validation logs, which is {', '.join(known)}."
            raise Refused(
                [Fault("sweep.metric", message.format(m) + did_you_mean(m, known)) for m in wrong]
            )
        if lost := [m for m in self.objective.metrics if m in self.planner.first["signed"]]:
            raise Refused([Fault("sweep.metric", without_direction(m)) for m in lost])
        both = zip(self.objective.metrics, self.objective.modes, strict=True)
        better = self.planner.first["better"]
        told = [wrong_direction(metric, mode, better) for metric, mode in both]
        if any(told):
            raise Refused([Fault("sweep.mode", message) for message in told if message])

    def _searching(self) -> str | None:
        return str(self.policy.sampler) if self.policy.sampler.searches else None

    def _record(self, trials: list[Trial]) -> dict[str, Any]:
        """sweep.json: what was asked for, and with what code and data."""
        data = {
            _data_key(trial.config["data"]): trial.report["data"]["fingerprint"] for trial in trials
        }
        searching = self.policy.sampler.searches
        space = {"axes": self.words.axes, "ranges": self.words.ranges}
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.ledger.path.name,
            "command": blacked_out(shlex.join(["vit", "train", *self._argv])),
            "arguments": self._argv,
            "folder": str(Path.cwd()),
            "path": str(self.ledger.path.absolute()),
            "code": code(),
            "data": data,
            "counted": self.planner.first.get("counted", {}),
            "objective": vars(self.objective),
            "threads": self.base.config["threads"],
            "space": space if searching else None,
            "trials": [] if searching else [trial.id for trial in trials],
        }

    def _refuse_changes(self, record: dict[str, Any]) -> None:
        before = read_json(self.ledger.sweep_file, SWEEP)
        if before is None or self._arguments.allow_changed:
            return
        if not any(row["state"] != "planned" for row in self.ledger.rows()):
            return
        found = changes(before, record)
        if found:
            message = (
                f"was begun with something else: {'; '.join(found)}. Its trials could not be "
                "compared with new ones. --allow-changed goes on all the same; sweep.name=… or "
                "hydra.sweep.dir=… begins another."
            )
            raise Refused([Fault(str(self.ledger.path), message)])

    def _drive(
        self, trials: list[Trial], rows: dict[str, dict[str, Any]], record: dict[str, Any]
    ) -> int:
        ledger = self.ledger
        ledger.path.mkdir(parents=True, exist_ok=True)
        own = claim(ledger.path)
        if own is None:
            raise Refused([self._is_run_by(owner(ledger.path) or {})])
        try:
            before = read_json(ledger.sweep_file, SWEEP) or {}
            record["data"] = {**before.get("data", {}), **record["data"]}
            record["created"] = before.get("created", time.time())
            # Several sweeps may share a storage, and their folders a name.
            new = f"{ledger.path.name}-{uuid.uuid4().hex[:8]}" if not before else ledger.path.name
            record["study"] = before.get("study", new)
            write_json(ledger.sweep_file, {**record, "updated": time.time()})
            ledger.stop_file.unlink(missing_ok=True)
            clear_leftovers(ledger.path)
            orders = self.policy.orders(self.base.config["allow_targets"])
            self.policy.executor.open(self._jobs(), self.planner.devices, self._gpus(), orders)
            sampler, ended = self._sampler(trials, rows, record["study"])
            board = Board(f"sweep {ledger.path}")
            driver = Driver(ledger, self.policy, sampler, self.objective, board, own)
            exit_code = driver.run(ended)
            link_wandb(ledger.path)
        finally:
            own.release()
        from vit.doors.sweep_screen import sweep_summary

        sweep_summary(ledger, self.objective, exit_code)
        return exit_code

    def _sampler(
        self, trials: list[Trial], rows: dict[str, dict[str, Any]], study: str
    ) -> tuple[Sampler, list[dict[str, Any]]]:
        if self.policy.sampler.searches:
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
            sampler: Any = self.policy.sampler
            return sampler.start(space, list(rows.values()))
        for trial in trials:
            if not trial.folder.problem():  # else it fails when its turn comes
                self.ledger.enter(trial)
        ended = [rows[trial.id] for trial in trials if is_over(rows.get(trial.id, {}))]
        left = [trial for trial in trials if not is_over(rows.get(trial.id, {}))]
        planned = Planned(left)
        planned.total = len(trials)
        return planned, ended

    def _group(self, chosen: dict[str, str], seeds: list[str], point: int) -> list[Trial]:
        """The trials of one proposal: its values with each seed."""
        several = "seed" in self.words.axes
        points = [{**chosen, "seed": seed} if several else chosen for seed in seeds]
        trials, _ = merged(self.planner.make_trials(points, point=point))
        _reuse_folders(trials, *self._read())
        refuse_conflicts(trials, self.ledger.path, self._arguments.allow_changed)
        return trials


def launch(
    arguments: argparse.Namespace,
    argv: list[str],
    *,
    allow_targets: Iterable[str] = (),
    home: Path | None = None,
    given: Sequence[str] = (),
    begin: Callable[[], None] = lambda: None,
) -> int:
    """`vit train -m …` from its parsed arguments; `argv` are the words after `vit train`.

    Where a file says what its words are, `home` is the only folder that the sweep may be in, and
    `given` are the words that stand on the command line; `allow_targets` are the packages that the
    user trusts besides those in the words. `begin` is called once nothing is refused any more.
    """
    with composer(arguments, allow_targets) as compose_one:
        try:
            sweep = Sweep(arguments, argv, compose_one)
            if home is not None and sweep.ledger.path.resolve() != home.resolve():
                message = f"its command is for another folder, {sweep.ledger.path}: give it by hand"
                raise Refused([Fault(str(home), message)])
            if home is not None and (faults := unconfirmed_reach(sweep.policy, given)):
                raise Refused(faults)
            sweep.plan()
            if home is not None and ONLINE not in given:
                sweep.refuse_uploads()
        except Refused as refused:
            raise _with_hidden_faults(refused, arguments, argv, compose_one) from None
        own = sweep.base.config["tracking"] if home is None else list(given)  # the user's words
        os.environ.update(granted_by(own))
        begin()
        return sweep.run()


def _with_hidden_faults(
    refused: Refused, arguments: argparse.Namespace, argv: list[str], compose_one: Composer
) -> Refused:
    """A word that cannot be composed hides the faults of the others: they are tried without it.

    Fewer words may mean another sweep's folder, of which nothing is to be told here.
    """
    faults = list(refused.faults)
    words = list(arguments.overrides)
    for _ in range(MOST_HIDDEN):
        wrong = {fault.where for fault in faults}
        keys = [word.partition("=")[0].lstrip("+~") for word in words]
        # A part's own fault is told of the part: sweep, optim.
        good = [not {key, key.partition(".")[0]} & wrong for key in keys]
        left = list(itertools.compress(words, good))
        if len(left) == len(words):
            break
        words = left
        try:
            fewer = argparse.Namespace(**{**vars(arguments), "overrides": words})
            Sweep(fewer, argv, compose_one).check()
            break
        except Refused as more:
            faults += more.faults
    return Refused(list(dict.fromkeys(faults)))


def visible_gpus(trainer: dict[str, Any], found: list[str]) -> list[str]:
    """The GPUs that trials share, by the names CUDA knows them by; none for the CPU."""
    if not found or trainer.get("accelerator") == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",") if name.strip()]
        return names[: len(found)]  # CUDA stops at the first that is not there
    return [str(number) for number in range(len(found))]


def _reuse_folders(
    trials: list[Trial], rows: dict[str, dict[str, Any]], odd: list[Fault]
) -> list[str]:
    """The same run under another spelling (1e-3, 0.001) keeps the folder that it has.

    So does one whose trial.json was lost: its config and its data's fingerprint tell which it is.
    Returns what is to be said of `odd` folders.
    """
    lost = _trials_without_record(odd)
    for trial in trials:
        if trial.id in rows:
            trial.run_dir = Path(rows[trial.id]["run_dir"])
            trial.label = rows[trial.id]["label"]
        elif trial.id in lost:
            trial.run_dir = lost[trial.id]
            trial.label = trial.run_dir.name
        trial.config["name"] = trial.label
    known = {str(trial.run_dir.absolute()) for trial in trials if trial.id in lost}
    notes = []
    for fault in odd:
        mine = str(_run_dir_of(fault).absolute()) in known
        notes.append(f"{fault}{'; its config tells which trial it is' if mine else ''}")
    return notes


def _trials_without_record(odd: list[Fault]) -> dict[str, Path]:
    """Trial id → folder, of those whose trial.json alone cannot be read."""
    found = {}
    for path in {_run_dir_of(fault) for fault in odd}:
        folder = RunFolder(path)
        stamp = read_json(folder.stamp_file, STAMP) or {}
        fingerprint = stamp.get("data", {}).get("fingerprint")
        with suppress(Refused):
            config = folder.config()
            if fingerprint and "data" in config and not folder.problem():
                found[trial_id(config, str(fingerprint))] = path
    return found


def _run_dir_of(fault: Fault) -> Path:
    """The folder of a trial, of which `where` names it or a file in it."""
    path = Path(fault.where)
    return path.parent if path.suffix == ".json" else path


def _data_key(data: dict[str, Any]) -> str:
    from vit.runs.identity import config_hash

    return config_hash({"data": data})[:12]
