"""Runs a sweep to its end: starts trials where there is room, watches, prunes, reports, stops."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from vit.faults import Fault
from vit.runs.claim import BEAT_SECONDS, Claim
from vit.runs.continuity import keep_stamp
from vit.runs.disk_full import disk_is_full
from vit.runs.state import Order
from vit.sweeps.board import Board, Progressing, Status, clock
from vit.sweeps.follow import Follower
from vit.sweeps.ledger import Ledger
from vit.sweeps.outcomes import best_validation, finite
from vit.sweeps.pace import Pace, Work
from vit.sweeps.policy import Policy
from vit.sweeps.results import write_results
from vit.sweeps.roles import Objective, Queueing, Sampler, Trial
from vit.sweeps.stopping import DONE, FAILED, PREEMPTED, STOPPED, Stopping
from vit.sweeps.trial import Verdict, forget_order
from vit.sweeps.trial_row import TrialRow, cost

T = TypeVar("T")

TICK_SECONDS = 0.05
RESULTS_SHARE = 20  # of the time, results.csv is written for one part
STYLES = {
    "done": "green",
    "failed": "red",
    "pruned": "dim",
    "paused": "dim",
    "stopped": "yellow",
    "held": "yellow",
}


class Driver:
    """One for a sweep at a time: `held` is the claim on its folder."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        sampler: Sampler,
        objective: Objective,
        board: Board,
        held: Claim,
    ):
        self._ledger = ledger
        self._policy = policy
        self._executor = policy.executor
        self._sampler = sampler
        self._objective = objective
        self._board = board
        self._claim = held
        self._last_beat = 0.0
        self._next_results = 0.0
        self._followers: dict[str, Follower] = {}
        self._began: dict[str, float] = {}
        self._states: dict[str, str] = {}  # of trials that ended or paused
        self._kinds: list[str] = []
        self._pace = Pace()
        self._best: tuple[float, str] | None = None
        self._stopping = Stopping()
        self._superseded = False
        self._sampler_is_behind = False  # its file was full: no more goes into it after half a line

    def run(self, ended_before: list[TrialRow]) -> int:
        """Returns the exit code. `ended_before`: rows of the ledger that are left as they are."""
        for row in ended_before:
            self._states[row.id] = row.state
            self._consider(finite(row.metrics, self._objective.metrics[0]), row.label)
            if row.state == "done":
                self._pace.note(row.train_seconds, row.cost)
        self._total = self._sampler.total
        with self._stopping.on_signals(self._executor.kill), self._board:
            try:
                while True:
                    try:
                        self._check_signals()
                        self._start()
                        self._collect()
                        self._follow()
                    except Exception as error:  # of the sampler's own file, say
                        if not disk_is_full(error):
                            raise
                        self._sampler_is_behind = True
                        self._end_for_a_full_disk()
                    self._board.show(self._status())
                    over = self._stopping or self._sampler.is_done()
                    if over and not self._executor.running():
                        break
                    time.sleep(TICK_SECONDS)
            except BaseException:
                self._order_stops()  # closing waits for them
                raise
            finally:
                self._executor.close()
        self._free_checkpoints()  # of what was paused until now, too
        self._write_results(now=True)
        unfinished = set(self._states.values()) & {"failed", "held", "stopped"}
        stopped = self._stopping.code in (STOPPED, PREEMPTED) and not self._sampler_is_behind
        if stopped and self._sampler.is_done() and not unfinished:
            return DONE  # the stop came when there was nothing left to do
        if self._stopping.code is not None:
            return self._stopping.code
        return FAILED if unfinished else DONE  # nobody asked for a stop

    def _start(self) -> None:
        while not self._stopping and self._executor.has_room():
            trial = self._sampler.next()
            for note in self._sampler.notes:
                self._board.say(note, style="yellow")
            self._sampler.notes.clear()
            if trial is None or self._stopping:  # a signal may come at any moment
                return
            if (problem := trial.folder.problem()) is not None:
                self._leave_out(trial, problem)
                continue
            try:
                self._ledger.enter(trial)
                keep_stamp(trial.folder, trial.stamp)
            except OSError:
                self._sampler.tell(trial, "stopped")
                raise
            forget_order(trial.folder)
            self._states.pop(trial.id, None)  # it was paused
            self._followers[trial.id] = Follower(trial, self._objective.metrics[0])
            self._began[trial.id] = time.monotonic()
            self._executor.submit(trial)

    def _leave_out(self, trial: Trial, problem: Fault) -> None:
        """One folder that nothing can be trained in is no reason to train none of the others."""
        self._states[trial.id] = "failed"
        self._board.say(f"failed   {trial.label}: {problem}", style=STYLES["failed"])
        self._sampler.tell(trial, "failed")

    def _collect(self) -> None:
        for trial, verdict in self._executor.finished():
            follower = self._followers.pop(trial.id)
            seconds = time.monotonic() - self._began.pop(trial.id)
            self._states[trial.id] = verdict
            self._report(follower)
            self._from_sampler(partial(self._sampler.tell, trial, verdict))
            self._board.say(self._line(trial, verdict, seconds), style=STYLES[verdict])
            if verdict == "done":
                self._pace.note(trial.folder.state().train_seconds, cost(trial.report))
                self._free_checkpoints()
            if verdict == "failed":
                self._note_failure(trial)
            self._write_results()

    def _from_sampler(self, call: Callable[[], T]) -> T | None:
        """What the sampler answers; one that can write no more hears nothing until the next start.

        The ledger has what ended, and the sampler learns it then: no trial that ended is lost.
        """
        if self._sampler_is_behind:
            return None
        try:
            return call()
        except Exception as error:  # each kind of storage has exceptions of its own
            if not disk_is_full(error):
                raise
            self._sampler_is_behind = True
            self._end_for_a_full_disk()
            return None

    def _line(self, trial: Trial, verdict: Verdict, seconds: float) -> str:
        state = trial.folder.state()
        line = f"{verdict:<8} {trial.label}  {clock(seconds)}"
        if verdict in ("done", "pruned", "paused"):
            metric = self._objective.metrics[0]
            results = trial.folder.results().get("metrics", {}) if verdict == "done" else {}
            record = best_validation(trial.folder, self._objective)
            value = finite(results, metric)
            if value is None and record:
                value = finite(record.metrics, metric)
            self._consider(value, trial.label)
            return line if value is None else f"{line}  {metric} {value:.4f}"
        if verdict == "failed":
            error = trial.report.get("driver_error") or state.error or ""
            first = str(error).strip().splitlines()[:1] or [""]
            log = trial.folder.log_file
            kind = trial.report.get("driver_kind") or state.kind
            return f"{line}  {kind}: {first[0]}  (log: {log})"
        return line

    def _note_failure(self, trial: Trial) -> None:
        kind = trial.report.get("driver_kind") or trial.folder.state().kind
        self._kinds.append(str(kind))
        most = self._policy.max_failures
        if most is not None and len(self._kinds) >= most and not self._stopping:
            self._stopping.stop(FAILED)
            self._board.say(
                f"{len(self._kinds)} trials failed (sweep.max_failures), the sweep ends here",
                style="red",
            )
        if self._kinds[-1] == "disk_full":
            self._end_for_a_full_disk()

    def _end_for_a_full_disk(self) -> None:
        if self._stopping:
            return
        self._stopping.stop(FAILED)
        self._board.say(
            "the disk is full, the sweep ends here; the same command goes on once there is room "
            "(vit clean frees some)",
            style="red",
        )

    def _follow(self) -> None:
        for follower in self._followers.values():
            order = self._report(follower)
            # After its last step a trial has nothing left to save by ending it.
            if order is not None and not self._stopping and follower.part_done < 1:
                with suppress(OSError):
                    follower.trial.folder.order(order)

    def _report(self, follower: Follower) -> Order | None:
        """Whether the trial is to end, by what it validated since it was looked at last."""
        orders = [self._order_after(follower.trial, *each) for each in follower.look()]
        return next((order for order in orders if order is not None), None)

    def _order_after(self, trial: Trial, validation: int, value: float) -> Order | None:
        return self._from_sampler(partial(self._sampler.report, trial, validation, value))

    def _check_signals(self) -> None:
        """Signals, `vit sweep stop`, and a driver that has taken over from this one."""
        now = time.monotonic()
        if now - self._last_beat > BEAT_SECONDS:
            self._last_beat = now
            if not self._superseded and not self._claim.beat():
                self._superseded = True
                self._stopping.stop(FAILED)
                self._executor.kill()  # and no order: the folders are somebody else's now
                self._board.say("another process has taken this sweep over", style="red")
        if not self._stopping and self._ledger.stop_file.exists():
            self._stopping.stop(STOPPED)
        if self._stopping and not self._superseded:
            self._order_stops()  # again and again: a trial may have been about to start

    def _order_stops(self) -> None:
        for trial in self._executor.running():
            with suppress(OSError):
                if trial.folder.ordered() is None:
                    trial.folder.order("stopped")

    def _consider(self, value: object, label: str) -> None:
        if isinstance(value, int | float) and (
            self._best is None or self._objective.better(value, self._best[0])
        ):
            self._best = (value, label)

    def _status(self) -> Status:
        running = []
        for follower in self._followers.values():
            value = follower.metrics.get(follower.metric)
            text = f"epoch {follower.epoch + 1}" if follower.step else "starting"
            if isinstance(value, int | float):
                text += f"  {follower.metric} {value:.4f}"
            standing = self._standing(follower.trial)
            seconds = time.monotonic() - self._began[follower.trial.id]
            row = Progressing(
                follower.trial.label, follower.part_done, seconds, standing or text, bool(standing)
            )
            running.append(row)
        best = ""
        if self._best is not None:
            best = f"{self._objective.metrics[0]} {self._best[0]:.4f}  {self._best[1]}"
        return Status(
            counts={
                **Counter(self._states.values()),
                "running": sum(not row.waits for row in running),
                "waiting": sum(row.waits for row in running),
            },
            total=self._total,
            running=running,
            best=best,
            seconds_left=self._seconds_left(),
            stopping=bool(self._stopping),
        )

    def _standing(self, trial: Trial) -> str:
        return self._executor.standing(trial) if isinstance(self._executor, Queueing) else ""

    def _seconds_left(self) -> float | None:
        if self._total is None:
            return None
        ended = sum(state in ("done", "pruned", "failed") for state in self._states.values())
        now = time.monotonic()
        running = [
            Work(cost(each.trial.report), each.part_done, now - self._began[each.trial.id])
            for each in self._followers.values()
        ]
        return self._pace.seconds_left(running, max(self._total - ended - len(running), 0))

    def _free_checkpoints(self) -> None:
        """As sweep.keep says, of trials that are done."""
        if self._policy.keep == "all":
            return
        from vit.sweeps.clean import free

        keep = self._policy.keep_best if self._policy.keep == "best" else 0
        free(self._ledger, self._objective, keep)

    def _write_results(self, *, now: bool = False) -> None:
        """Not at each end of many trials, since it reads all of them."""
        began = time.monotonic()
        if not now and began < self._next_results:
            return
        with suppress(OSError):  # a full disk ends trials; it must not end the driver
            write_results(self._ledger, self._ledger.rows(), self._objective)
        self._next_results = began + RESULTS_SHARE * (time.monotonic() - began)
