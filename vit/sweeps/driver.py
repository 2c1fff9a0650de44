"""Runs a sweep to its end: starts trials where there is room, watches, prunes, tells, stops."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from vit.faults import Fault
from vit.runs.claim import BEAT_SECONDS, Claim
from vit.runs.continuity import keep_stamp
from vit.runs.disk_full import disk_is_full
from vit.runs.state import Order
from vit.sweeps.board import Board, Progressing, Status, clock
from vit.sweeps.follow import Follower
from vit.sweeps.ledger import Ledger, best_validation, cost, finite
from vit.sweeps.policy import Policy
from vit.sweeps.results import write_results
from vit.sweeps.roles import Objective, Sampler, Trial
from vit.sweeps.trial import Verdict, forget_order

TICK_SECONDS = 0.05
RESULTS_SHARE = 20  # of the time, results.csv is written for one part
DONE, FAILED, STOPPED, PREEMPTED = 0, 1, 130, 143
STYLES = {
    "done": "green",
    "failed": "red",
    "pruned": "dim",
    "paused": "dim",
    "stopped": "yellow",
    "held": "yellow",
}


class Driver:
    """One for a sweep at a time: `own` is the claim on its folder."""

    def __init__(
        self,
        ledger: Ledger,
        policy: Policy,
        sampler: Sampler,
        objective: Objective,
        board: Board,
        own: Claim,
    ):
        self._ledger = ledger
        self._policy = policy
        self._executor = policy.executor
        self._sampler = sampler
        self._objective = objective
        self._board = board
        self._own = own
        self._beaten = 0.0
        self._next_results = 0.0
        self._followers: dict[str, Follower] = {}
        self._began: dict[str, float] = {}
        self._states: dict[str, str] = {}  # of trials that ended or paused
        self._kinds: list[str] = []
        self._paces: list[float] = []  # seconds a GFLOP of the trials that ended
        self._best: tuple[float, str] | None = None
        self._code: int | None = None  # why no trial is started any more
        self._asked = 0
        self._superseded = False
        self._sampler_is_behind = False  # its file was full: no more goes into it after half a line

    def run(self, ended_before: list[dict[str, Any]]) -> int:
        """Returns the exit code. `ended_before`: rows of the ledger that are left as they are."""
        for row in ended_before:
            self._states[row["id"]] = row["state"]
            value = finite(row["metrics"], self._objective.metrics[0])
            self._consider(value, row["label"])
            if row["state"] == "done" and row["cost"] and row["train_seconds"]:
                self._paces.append(row["train_seconds"] / row["cost"])
        self._total = self._sampler.total
        with self._listening(), self._board:
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
                    over = self._code is not None or self._sampler.is_done()
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
        stopped = self._code in (STOPPED, PREEMPTED) and not self._sampler_is_behind
        if stopped and self._sampler.is_done() and not unfinished:
            return DONE  # the stop came when there was nothing left to do
        if self._code is not None:
            return self._code
        return FAILED if unfinished else DONE  # nobody asked for a stop

    def _start(self) -> None:
        while self._code is None and self._executor.has_room():
            trial = self._sampler.next()
            for note in self._sampler.notes:
                self._board.say(note, style="yellow")
            self._sampler.notes.clear()
            if trial is None or self._code is not None:  # a signal may come at any moment
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
            self._to_sampler(self._sampler.tell, trial, verdict)
            self._board.say(self._line(trial, verdict, seconds), style=STYLES[verdict])
            if verdict == "done":
                self._note_pace(trial)
                self._free_checkpoints()
            if verdict == "failed":
                self._note_failure(trial)
            self._write_results()

    def _to_sampler(self, tell: Callable[..., Any], *words: Any) -> Any:
        """A sampler that can write no more hears nothing until the next start.

        The ledger has what ended, and tells it then; so no trial that ended beside it is lost.
        """
        if self._sampler_is_behind:
            return None
        try:
            return tell(*words)
        except Exception as error:  # each kind of storage has exceptions of its own
            if not disk_is_full(error):
                raise
            self._sampler_is_behind = True
            self._end_for_a_full_disk()
            return None

    def _line(self, trial: Trial, verdict: Verdict, seconds: float) -> str:
        state = trial.folder.state()
        told = f"{verdict:<8} {trial.label}  {clock(seconds)}"
        if verdict in ("done", "pruned", "paused"):
            metric = self._objective.metrics[0]
            results = trial.folder.results().get("metrics", {}) if verdict == "done" else {}
            record = best_validation(trial.folder, self._objective)
            value = finite(results, metric)
            if value is None and record:
                value = finite(record.metrics, metric)
            self._consider(value, trial.label)
            return told if value is None else f"{told}  {metric} {value:.4f}"
        if verdict == "failed":
            error = trial.report.get("driver_error") or state.error or ""
            first = str(error).strip().splitlines()[:1] or [""]
            log = trial.folder.log_file
            kind = trial.report.get("driver_kind") or state.kind
            return f"{told}  {kind}: {first[0]}  (log: {log})"
        return told

    def _note_failure(self, trial: Trial) -> None:
        kind = trial.report.get("driver_kind") or trial.folder.state().kind
        self._kinds.append(str(kind))
        most = self._policy.max_failures
        if most is not None and len(self._kinds) >= most and self._code is None:
            self._stop(FAILED)
            self._board.say(
                f"{len(self._kinds)} trials failed (sweep.max_failures), the sweep ends here",
                style="red",
            )
        if self._kinds[-1] == "disk_full":
            self._end_for_a_full_disk()

    def _end_for_a_full_disk(self) -> None:
        if self._code is not None:
            return
        self._stop(FAILED)
        self._board.say(
            "the disk is full, the sweep ends here; the same command goes on once there is room "
            "(vit clean frees some)",
            style="red",
        )

    def _follow(self) -> None:
        for follower in self._followers.values():
            order = self._report(follower)
            # After its last step a trial has nothing left to save by ending it.
            if order is not None and self._code is None and follower.part_done < 1:
                with suppress(OSError):
                    follower.trial.folder.order(order)

    def _report(self, follower: Follower) -> Order | None:
        """Whether the trial is to end, by what it told since it was looked at last."""
        report = self._sampler.report
        asked = [self._to_sampler(report, follower.trial, *told) for told in follower.look()]
        return next((order for order in asked if order is not None), None)

    def _check_signals(self) -> None:
        """Signals, `vit sweep stop`, and a driver that has taken over from this one."""
        now = time.monotonic()
        if now - self._beaten > BEAT_SECONDS:
            self._beaten = now
            if not self._superseded and not self._own.beat():
                self._superseded = True
                self._stop(FAILED)
                self._executor.kill()  # and no order: the folders are somebody else's now
                self._board.say("another process has taken this sweep over", style="red")
        if self._code is None and self._ledger.stop_file.exists():
            self._stop(STOPPED)
        if self._code is not None and not self._superseded:
            self._order_stops()  # again and again: a trial may have been about to start

    def _order_stops(self) -> None:
        for trial in self._executor.running():
            with suppress(OSError):
                if trial.folder.ordered() is None:
                    trial.folder.order("stopped")

    def _stop(self, code: int) -> None:
        self._code = code if self._code is None else self._code

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Once: running trials save and stop. Twice by hand: they are ended at once."""

        def by_hand(number: int, frame: FrameType | None) -> None:
            self._asked += 1
            self._stop(STOPPED)
            if self._asked > 1:
                self._executor.kill()

        def by_signal(number: int, frame: FrameType | None) -> None:
            self._stop(PREEMPTED)

        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, by_hand),
            signal.SIGTERM: signal.signal(signal.SIGTERM, by_signal),
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _consider(self, value: object, label: str) -> None:
        if isinstance(value, int | float) and (
            self._best is None or self._objective.better(value, self._best[0])
        ):
            self._best = (value, label)

    def _note_pace(self, trial: Trial) -> None:
        seconds, work = trial.folder.state().train_seconds, cost(trial.report)
        if seconds and work:
            self._paces.append(seconds / work)

    def _status(self) -> Status:
        running = []
        for follower in self._followers.values():
            value = follower.metrics.get(follower.metric)
            told = f"epoch {follower.epoch + 1}" if follower.step else "starting"
            if isinstance(value, int | float):
                told += f"  {follower.metric} {value:.4f}"
            seconds = time.monotonic() - self._began[follower.trial.id]
            running.append(Progressing(follower.trial.label, follower.part_done, seconds, told))
        best = ""
        if self._best is not None:
            best = f"{self._objective.metrics[0]} {self._best[0]:.4f}  {self._best[1]}"
        return Status(
            counts={**Counter(self._states.values()), "running": len(running)},
            total=self._total,
            running=running,
            best=best,
            seconds_left=self._seconds_left(),
            stopping=self._code is not None,
        )

    def _seconds_left(self) -> float | None:
        """By what ended trials took for their work, or those that run; None while none tells."""
        ended = sum(state in ("done", "pruned", "failed") for state in self._states.values())
        paces = self._paces[-10:] or self._paces_of_running()
        if not paces or self._total is None:
            return None
        pace = sum(paces) / len(paces)
        costs = [cost(follower.trial.report) for follower in self._followers.values()]
        begun = sum(
            work * (1 - follower.part_done)
            for work, follower in zip(costs, self._followers.values(), strict=True)
        )
        waiting = max(self._total - ended - len(costs), 0)
        typical = sum(costs) / len(costs) if costs else 0.0
        return pace * (begun + waiting * typical) / max(len(costs), 1)

    def _paces_of_running(self) -> list[float]:
        now = time.monotonic()
        return [
            (now - self._began[follower.trial.id]) / (follower.part_done * work)
            for follower in self._followers.values()
            if follower.part_done > 0.05 and (work := cost(follower.trial.report))
        ]

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
