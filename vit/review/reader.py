"""From folders to runs: the one reader behind the terminal, the page and programs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.review.history import Series, read_history
from vit.review.wandb_files import read_wandb, wandb_runs
from vit.runs.claim import owner
from vit.runs.counted import mark, ways
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.identity import group_id
from vit.runs.secrets import blacked_out, without_secrets
from vit.runs.shapes import RESULTS, STAMP, STATE, SWEEP, TRIAL, is_number
from vit.runs.writing import is_alive
from vit.sweeps.trial import log_tail

DEEPEST = 4  # folders below a source that are looked into
NO_RUNS_IN = {"checkpoints", "wandb", "node_modules", "__pycache__"}
MOST_PROCESSES = 1 << 31  # of a system's numbers; 0 and below mean groups
SILENT_SECONDS = 600.0  # after which a run of another machine is taken for dead


@dataclass
class Run:
    """One run folder as it was found: its small files, and every metric as a series.

    A run that only W&B has recorded is told in the same words.
    """

    path: Path
    config: dict[str, Any]
    told: dict[str, Any]  # state.json
    results: dict[str, Any]  # metrics.json; empty unless the run is done
    stamp: dict[str, Any]  # without the text of uncommitted changes
    trial: dict[str, Any]  # trial.json; empty where the run belongs to no sweep
    history: dict[str, Series]
    log_tail: list[str] = field(default_factory=list)
    state: str = "planned"  # as in state.json, or `cut off`: its process is gone
    title: str = ""  # where its folder's name says little

    @property
    def name(self) -> str:
        return self.title or self.path.name

    @property
    def seed(self) -> int:
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else 0

    @property
    def group(self) -> str:
        """The same for all seeds of one configuration on the same data."""
        planned = self.trial.get("group") or group_id(self.config)
        data = str(inside(self.stamp, "data", "fingerprint") or "")
        return "-".join(filter(None, (str(planned), data[:8], mark(self.counted))))

    @property
    def counted(self) -> dict[str, str]:
        """How its metrics were counted, where that has changed; see vit/runs/counted.py."""
        found = (self.results if self.state == "done" else self.stamp).get("counted")
        return ways(found) or ways(self.trial.get("counted"))

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the selected checkpoint; of a run that is not done none."""
        found = self.results.get("metrics")
        return found if self.state == "done" and isinstance(found, dict) else {}

    @property
    def tables(self) -> dict[str, Any]:
        found = self.results.get("tables")
        return found if isinstance(found, dict) else {}

    @property
    def monitor(self) -> tuple[str, str] | None:
        """The metric that selected its checkpoint, and `max` or `min`."""
        metric = inside(self.config, "checkpoint", "monitor")
        mode = inside(self.config, "checkpoint", "mode")
        return (metric, "max" if mode == "max" else "min") if isinstance(metric, str) else None


def inside(told: Any, *keys: str) -> Any:
    """`told[key][key]…`, or None where there is no such thing: files come from anywhere."""
    for key in keys:
        if not isinstance(told, dict):
            return None
        told = told.get(key)
    return told


def find_runs(source: Path) -> list[Path]:
    """The run folders in a source, which may itself be one; those of a sweep as it planned them.

    Raises Refused where there is no such folder, or no run in it.
    """
    if not source.is_dir():
        raise Refused([Fault(str(source), "no such folder; wanted a run, a sweep, or runs in it")])
    found = [source] if _is_run(source) else list(_below(source, DEEPEST))
    if not found and any(source.glob("run-*.wandb")):
        found = [source]
    if not found:
        message = "holds no runs: no folder in it has a config.yaml and a state.json of vit train, "
        message += "or files of W&B"
        raise Refused([Fault(str(source), message)])
    return found


def _below(folder: Path, deepest: int) -> Iterator[Path]:
    try:
        entries = [e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]
    except PermissionError:
        return
    inside = sorted(n for n in entries if not n.startswith(".") and n not in NO_RUNS_IN)
    runs = [folder / name for name in inside if _is_run(folder / name)]
    yield from _as_planned(folder, runs)
    yield from wandb_runs(folder)
    if deepest > 1:
        for name in inside:
            if folder / name not in runs:
                yield from _below(folder / name, deepest - 1)


def _as_planned(folder: Path, runs: list[Path]) -> list[Path]:
    planned = (read_json(folder / "sweep.json", SWEEP) or {}).get("trials")
    if planned is None:
        return runs
    order = {name: at for at, name in enumerate(planned)}
    ids = {run: (read_json(run / "trial.json", TRIAL) or {}).get("id") for run in runs}
    return sorted(runs, key=lambda run: order.get(str(ids[run]), len(order)))


def _is_run(folder: Path) -> bool:
    return all(os.path.lexists(folder / name) for name in ("config.yaml", "state.json"))


def read_run(path: Path) -> Run:
    """Everything the review wants of one folder; `state` as the file has it.

    Raises Refused where one of its files cannot be read, or is of another schema version.
    """
    folder = RunFolder(path)
    if not folder.config_file.exists() and any(path.glob("run-*.wandb")):
        return Run(**read_wandb(path))
    told = json_of(folder.state_file, STATE) or {}
    unfinished = told.get("state") not in ("done", "planned")
    last = (told.get("log_tail") or log_tail(folder)) if unfinished else []
    return Run(
        path=path,
        config=without_secrets(folder.written_config()),
        told=told,
        results=(None if unfinished else json_of(folder.results_file, RESULTS)) or {},
        stamp=without_secrets(_without_diff(json_of(folder.stamp_file, STAMP) or {})),
        trial=json_of(path / "trial.json", TRIAL) or {},
        history=read_history(folder.metrics_file),
        log_tail=[blacked_out(line) for line in last],
        state=str(told.get("state", "planned")),
    )


def _without_diff(stamp: dict[str, Any]) -> dict[str, Any]:
    git = stamp.get("git")
    if not isinstance(git, dict):
        return stamp
    return {**stamp, "git": {**git, "diff": "…" if git.get("diff") else ""}}


def judge_state(run: Run) -> None:
    """Tells a run that is being trained from one whose process is gone: asked anew each time."""
    if run.told.get("state") == "running":
        run.state = "running" if _lives(run) else "cut off"
    elif run.state == "done" and "metrics" not in run.results:
        run.state = "cut off"  # a kill, or a full disk, between its last words


def _lives(run: Run) -> bool:
    if run.trial and owner(run.path) is not None:
        return True
    pid = inside(run.told, "owner", "pid")
    own = inside(run.told, "owner", "host") == socket.gethostname()
    if own and isinstance(pid, int) and 0 < pid < MOST_PROCESSES:
        return not run.trial and is_alive(pid)
    try:
        last = RunFolder(run.path).heartbeat_file.stat().st_mtime
    except OSError:
        updated = run.told.get("updated")
        last = float(updated) if updated is not None and is_number(updated) else 0.0
    return time.time() - last < SILENT_SECONDS


@dataclass
class Runs:
    """What was read, and what could not be."""

    runs: list[Run]
    notes: list[str] = field(default_factory=list)
