"""vit train -m: every trial composed, checked and shown as a plan; then the sweep."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vit.doors.check import FIND, finding
from vit.doors.compose import Composed, Composer, composer
from vit.doors.grid import read_words, sweep_name
from vit.doors.request import objective_of, points, policy_of, with_params
from vit.doors.screen import show_found, show_plan
from vit.faults import Fault, Refused, did_you_mean
from vit.runs import process
from vit.runs.claim import claim, owner
from vit.runs.directory import SCHEMA_VERSION, read_json, write_json
from vit.runs.stamp import code, stamp
from vit.sweeps.board import Board
from vit.sweeps.driver import Driver
from vit.sweeps.ledger import Ledger, changes, is_over
from vit.sweeps.plan import gathered, merged, trial_of
from vit.sweeps.roles import FACTS, TIMES, Sampler, Space, Trial
from vit.sweeps.samplers import Planned

MOST_FAULTS = 20  # after which no further point is looked at


class Sweep:
    """One `-m` command, from its words to its exit code."""

    def __init__(self, arguments: argparse.Namespace, argv: list[str], compose_one: Composer):
        self._arguments = arguments
        self._argv = argv
        self._compose = compose_one
        self.words = read_words(arguments.overrides)
        base = compose_one(self.words.fixed, 0)
        self.words = with_params(self.words, base.policy["params"])
        self.policy = policy_of(base)
        compose_one.sweep_name = self.policy.name or sweep_name(self.words, base.experiment)
        self.base = compose_one(self.words.fixed, 0)
        self.ledger = Ledger(self.base.sweep_dir)
        # Threads are part of a trial: a sweep keeps those it began with, on whatever machine.
        compose_one.threads = (read_json(self.ledger.sweep_file) or {}).get("threads")
        self.base = compose_one(self.words.fixed, 0)
        self.objective = objective_of(self.policy, self.base.config)
        self._stamp: dict[str, Any] = {}
        self._devices = 1  # the most that a trial takes
        self.first: dict[str, Any] = {}  # what the check told of the first trial

    def run(self) -> int:
        began = time.monotonic()
        notes: list[str] = []
        if self.policy.sampler.searches:
            trials = self._corners()
        else:
            trials, notes = merged(self._planned())
        self._refuse_unknown_metrics()
        _refuse_conflicts(trials, self.ledger.path)
        record = self._record(trials)
        self._refuse_changes(record)
        rows = self._rows()
        _reuse_folders(trials, rows)
        self._foretell([trial for trial in trials if not is_over(rows.get(trial.id, {}))])
        show_plan(
            self.ledger.path,
            trials,
            rows,
            notes,
            seconds=time.monotonic() - began,
            jobs=self._jobs(),
            keeping={"all": None, "best": self.policy.keep_best, "none": 0}[self.policy.keep],
            searching=self._searching(),
        )
        self._find(trials)
        if self._arguments.dry_run:
            return 0
        return self._drive(trials, rows, record)

    def _planned(self) -> list[Trial]:
        """Every point of the grid, or Refused with the faults of all."""
        if self.words.ranges:
            message = "a range to search in: sweep=optuna, asha or random does; or list the values"
            raise Refused([Fault(key, message) for key in self.words.ranges])
        return self.make_trials(points(self.words, self.policy.points), own=True)

    def make_trials(
        self, points: Iterable[dict[str, str]], *, own: bool = False, point: int = 0
    ) -> list[Trial]:
        composed: list[tuple[dict[str, str], Composed]] = []
        faults: list[tuple[str, list[Fault]]] = []
        known: dict[str, Fault] = {}  # finding what is wrong with a word takes seconds
        for varies in points:
            words = [*self.words.fixed, *(f"{key}={value}" for key, value in varies.items())]
            told = [known[key] for word in words for key in (word, _key(word)) if key in known]
            if told:
                faults.append((_told(varies), told))
                continue
            try:
                composed.append((varies, self._compose(words, len(composed))))
            except Refused as refused:
                faults.append((_told(varies), refused.faults))
                known.update((fault.where, fault) for fault in refused.faults)
                if len(known) >= MOST_FAULTS:
                    break
        if not composed and not faults:
            raise Refused([Fault("-m", "the sweep has no point")])
        reports = process.call(
            "vit.check.preflight:preflight_all",
            [run.config for _, run in composed],
            str(self.ledger.path),
            self._arguments.full,
        )
        asked = ["faults", "lacking"] if self.policy.executor.here else ["faults"]
        for (varies, _), report in zip(composed, reports, strict=True):
            told = [Fault(**fault) for part in asked for fault in report[part]]
            faults.append((_told(varies), told))
        if any(found for _, found in faults):
            raise Refused(gathered(faults))
        self.first = self.first or reports[0]
        devices = [run.config["trainer"]["devices"] for _, run in composed]
        self._devices = max(self._devices, *devices)
        command = ["vit", "train", *self._argv]
        self._stamp = self._stamp or stamp(command, {}, reports[0]["gpus"])
        trials = []
        for (varies, run), report in zip(composed, reports, strict=True):
            trial = trial_of(
                run.config,
                varies,
                report,
                self.ledger.path,
                own_run_dir=run.run_dir if own and run.own_folder else None,
                point=point,
                name=run.own_name,
            )
            trial.stamp = {**self._stamp, "data": report["data"]}
            trials.append(trial)
        return trials

    def _rows(self) -> dict[str, dict[str, Any]]:
        """The ledger by trial id; of two folders of one trial the finished one counts."""
        rows = sorted(self.ledger.rows(), key=is_over)
        return {row["id"]: row for row in rows}

    def _foretell(self, trials: list[Trial]) -> None:
        """Adds to each report how long the training will take; a guess is not worth a failure."""
        asked = [(trial.config, trial.report) for trial in trials]
        with suppress(RuntimeError):
            found = process.call("vit.check.probe:seconds_of_trainings", asked)
            for trial, seconds in zip(trials, found, strict=True):
                trial.report["seconds"] = seconds

    def _find(self, trials: list[Trial]) -> None:
        """Suggests a learning rate or a batch for each shape; the sweep stays as it was asked."""
        if not any(finding(self._arguments)):
            return
        asked = [(trial.config, trial.report) for trial in trials]
        told = process.call(FIND, asked, *finding(self._arguments))
        show_found(told, [_told(trial.varies) for trial in trials])

    def _gpus(self) -> list[str]:
        return visible_gpus(self.base.config["trainer"], self.first["gpus"])

    def _jobs(self) -> int:
        policy = self.policy
        trainer = {**self.base.config["trainer"], "devices": self._devices}
        config = {**self.base.config, "trainer": trainer}
        return policy.jobs or policy.executor.default_jobs(config, self._gpus())

    def _refuse_unknown_metrics(self) -> None:
        """Trials are compared by validation; facts of a model may be a further objective."""
        known = self.first["monitors"]
        wrong = [self.objective.metrics[0]] if self.objective.metrics[0] not in known else []
        wrong += [m for m in self.objective.metrics[1:] if m not in (*known, *FACTS, *TIMES)]
        if wrong:
            message = f"{{}} is not what validation logs, which is {', '.join(known)}."
            raise Refused(
                [Fault("sweep.metric", message.format(m) + did_you_mean(m, known)) for m in wrong]
            )

    def _corners(self) -> list[Trial]:
        """What stands for a search in the check: every point of a grid that is gone through, else
        each axis at each value, a range at its ends, with the others at their first."""
        if not {*self.words.axes, *self.words.ranges} - {"seed"}:
            message = "nothing to search: give a key several values, or interval(low, high)"
            raise Refused([Fault("sweep", message)])
        if getattr(self.policy.sampler, "exhaustive", False):
            return self._planned()
        axes = dict(self.words.axes)
        for key, told in self.words.ranges.items():
            axes[key] = [str(told["low"]), str(told["high"])]
        first = {key: ends[0] for key, ends in axes.items()}
        corners = [{**first, key: value} for key, values in axes.items() for value in values]
        return self.make_trials({_told(corner): corner for corner in corners}.values())

    def _searching(self) -> str | None:
        return str(self.policy.sampler) if self.policy.sampler.searches else None

    def _record(self, trials: list[Trial]) -> dict[str, Any]:
        """sweep.json: what was asked for, and with what code and data."""
        data = {
            trial.report["data"]["fingerprint"]: _data_key(trial.config["data"]) for trial in trials
        }
        searching = self.policy.sampler.searches
        space = {"axes": self.words.axes, "ranges": self.words.ranges}
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.ledger.path.name,
            "command": shlex.join(["vit", "train", *self._argv]),
            "arguments": self._argv,
            "folder": str(Path.cwd()),
            "code": code(),
            "data": {key: fingerprint for fingerprint, key in data.items()},
            "objective": vars(self.objective),
            "threads": self.base.config["threads"],
            "space": space if searching else None,
            "trials": [] if searching else [trial.id for trial in trials],
        }

    def _refuse_changes(self, record: dict[str, Any]) -> None:
        before = read_json(self.ledger.sweep_file)
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
            held = owner(ledger.path) or {}
            message = (
                f"is being run by process {held.get('pid')} on {held.get('host')}; "
                f"vit sweep status {ledger.path} shows how it stands"
            )
            raise Refused([Fault(str(ledger.path), message)])
        try:
            before = read_json(ledger.sweep_file) or {}
            created = before.get("created", time.time())
            write_json(ledger.sweep_file, {**record, "created": created, "updated": time.time()})
            ledger.stop_file.unlink(missing_ok=True)
            orders = self.policy.orders()
            self.policy.executor.open(self._jobs(), self._devices, self._gpus(), orders)
            sampler, ended = self._sampler(trials, rows)
            board = Board(f"sweep {ledger.path}")
            driver = Driver(ledger, self.policy, sampler, self.objective, board, own)
            exit_code = driver.run(ended)
            _link_wandb(ledger)
        finally:
            own.release()
        from vit.doors.screen import sweep_summary

        sweep_summary(ledger, self.objective, exit_code)
        return exit_code

    def _sampler(
        self, trials: list[Trial], rows: dict[str, dict[str, Any]]
    ) -> tuple[Sampler, list[dict[str, Any]]]:
        if self.policy.sampler.searches:
            axes = dict(self.words.axes)
            seeds = list(dict.fromkeys(axes.pop("seed", [str(self.base.config["seed"])])))
            space = Space(
                self.ledger.path,
                self.ledger.path.name,
                axes,
                self.words.ranges,
                seeds,
                self.objective,
                self._group,
            )
            sampler: Any = self.policy.sampler
            return sampler.start(space, list(rows.values()))
        for trial in trials:
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
        trials, _ = merged(self.make_trials(points, point=point))
        _reuse_folders(trials, self._rows())
        return trials


def launch(arguments: argparse.Namespace, argv: list[str]) -> int:
    """`vit train -m …` from its parsed arguments; `argv` are the words after `vit train`."""
    with composer(arguments) as compose_one:
        return Sweep(arguments, argv, compose_one).run()


def visible_gpus(trainer: dict[str, Any], found: list[str]) -> list[str]:
    """The GPUs that trials share, by the names CUDA knows them by; none for the CPU."""
    if not found or trainer.get("accelerator") == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",") if name.strip()]
        return names[: len(found)]  # CUDA stops at the first that is not there
    return [str(number) for number in range(len(found))]


def _refuse_conflicts(trials: list[Trial], home: Path) -> None:
    folders = [trial.run_dir.absolute() for trial in trials]
    shared = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if shared:
        message = "would hold several runs of this sweep; let hydra.sweep.subdir differ"
        raise Refused([Fault(folder, message) for folder in shared])
    faults = []
    for trial in trials:
        if trial.run_dir.resolve().parent != home.resolve():
            message = f"lies not right inside of {home}; let hydra.sweep.subdir be one plain name"
            faults.append(Fault(str(trial.run_dir), message))
            continue
        adapted = (read_json(trial.run_dir / "trial.json") or {}).get("adapted")
        try:
            if not adapted:
                trial.folder.refuse_conflicts(trial.config, idle=False)
        except Refused as refused:
            faults += refused.faults
    if faults:
        raise Refused(faults)


def _reuse_folders(trials: list[Trial], rows: dict[str, dict[str, Any]]) -> None:
    """The same run under another spelling (1e-3, 0.001) keeps the folder that it has."""
    for trial in trials:
        if trial.id in rows:
            trial.run_dir = Path(rows[trial.id]["run_dir"])
            trial.label = rows[trial.id]["label"]
            trial.config["name"] = trial.label


def _data_key(data: dict[str, Any]) -> str:
    from vit.runs.identity import config_hash

    return config_hash({"data": data})[:12]


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _told(varies: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in varies.items())


def _link_wandb(ledger: Ledger) -> None:
    """One folder of links to every trial's offline runs, for tools that read a wandb folder."""
    home = ledger.path / "wandb"
    for run in ledger.path.glob("*/wandb/offline-run-*"):
        home.mkdir(exist_ok=True)
        link = home / run.name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(run, home), target_is_directory=True)
