"""From folders to runs: the one reader behind the terminal, the page and programs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.review.history import read_history
from vit.review.run import Run, inside
from vit.review.wandb_files import read_wandb, wandb_runs
from vit.runs.claim import owner
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.secrets import blacked_out, without_secrets
from vit.runs.shapes import RESULTS, STAMP, STATE, SWEEP, TRIAL, is_number
from vit.runs.writing import is_alive
from vit.sweeps.trial import log_tail

DEEPEST = 4  # folders below a source that are looked into
NO_RUNS_IN = {"checkpoints", "wandb", "node_modules", "__pycache__"}
MOST_PROCESSES = 1 << 31  # of a system's numbers; 0 and below mean groups
SILENT_SECONDS = 600.0  # after which a run of another machine is taken for dead


def find_runs(source: Path) -> list[Path]:
    """The run folders in a source, which may itself be one; those of a sweep as it planned them.

    Raises Refused where there is no such folder, or no run in it.
    """
    if not source.is_dir():
        raise Refused([Fault(str(source), "no such folder; wanted a run, a sweep, or runs in it")])
    folders = [source] if _is_run(source) else list(_below(source, DEEPEST))
    if not folders and any(source.glob("run-*.wandb")):
        folders = [source]
    if not folders:
        message = "holds no runs: no folder in it has a config.yaml and a state.json of vit train, "
        message += "or files of W&B"
        raise Refused([Fault(str(source), message)])
    return folders


def _below(folder: Path, deepest: int) -> Iterator[Path]:
    try:
        entries = [e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]
    except PermissionError:
        return
    names = sorted(n for n in entries if not n.startswith(".") and n not in NO_RUNS_IN)
    runs = [folder / name for name in names if _is_run(folder / name)]
    yield from _as_planned(folder, runs)
    yield from wandb_runs(folder)
    if deepest > 1:
        for name in names:
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
        return read_wandb(path)
    state = json_of(folder.state_file, STATE) or {}
    unfinished = state.get("state") not in ("done", "planned")
    last = (state.get("log_tail") or log_tail(folder)) if unfinished else []
    return Run(
        path=path,
        config=without_secrets(folder.written_config()),
        state_json=state,
        results=(None if unfinished else json_of(folder.results_file, RESULTS)) or {},
        stamp=without_secrets(_without_diff(json_of(folder.stamp_file, STAMP) or {})),
        trial=json_of(path / "trial.json", TRIAL) or {},
        history=read_history(folder.metrics_file),
        log_tail=[blacked_out(line) for line in last],
        state=str(state.get("state", "planned")),
    )


def _without_diff(stamp: dict[str, Any]) -> dict[str, Any]:
    git = stamp.get("git")
    if not isinstance(git, dict):
        return stamp
    return {**stamp, "git": {**git, "diff": "…" if git.get("diff") else ""}}


def judge_state(run: Run) -> None:
    """Tells a run that is being trained from one whose process is gone: asked anew each time."""
    if run.state_json.get("state") == "running":
        run.state = "running" if _lives(run) else "cut off"
    elif run.state == "done" and "metrics" not in run.results:
        run.state = "cut off"  # a kill, or a full disk, between its last words


def _lives(run: Run) -> bool:
    if run.trial and owner(run.path) is not None:
        return True
    pid = inside(run.state_json, "owner", "pid")
    is_here = inside(run.state_json, "owner", "host") == socket.gethostname()
    if is_here and isinstance(pid, int) and 0 < pid < MOST_PROCESSES:
        return not run.trial and is_alive(pid)
    try:
        last = RunFolder(run.path).heartbeat_file.stat().st_mtime
    except OSError:
        updated = run.state_json.get("updated")
        last = float(updated) if updated is not None and is_number(updated) else 0.0
    return time.time() - last < SILENT_SECONDS
