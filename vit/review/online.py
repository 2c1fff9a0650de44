"""Runs of a W&B project, asked of its server: `entity/project` beside folders as a source.

What comes becomes `Run`s, in the words of a run folder. A project costs one request a page of
runs, and about four for each run that was not read before; runs that have ended are kept in
`$XDG_CACHE_HOME/vit/review/` (else `~/.cache/vit/review/`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vit.faults import Fault, Refused
from vit.review.cache import Cache
from vit.review.history import Series, series_of
from vit.review.reader import judge_state
from vit.review.run import Run, inside
from vit.review.wandb_rows import OF_WANDB, Axes, add_row, as_ours, best, number

PROJECT = re.compile(r"\w[\w.-]*/\w[\w. -]*")
SERVER = "https://api.wandb.ai"
AT_ONCE = 8  # requests wait for the network, not for this machine
SECONDS = 30  # for one request
STATES = {  # W&B's word for a run's state → ours
    "finished": "done",
    "failed": "failed",
    "crashed": "cut off",  # the server has heard nothing of it for minutes
    "killed": "stopped",
    "preempting": "preempted",
    "preempted": "preempted",
}


def is_project(word: str) -> bool:
    """Whether a source names a project: `a/b`, where there is no such folder."""
    return PROJECT.fullmatch(word) is not None and not Path(word).exists()


def load_project(project: str, *, cache: bool = True) -> list[Run]:
    """All runs of `entity/project`, in the order they were begun, reports left out.

    Raises Refused where there is no key, no such project, no run in it, or no way to the server.
    """
    kept = Cache(_cache_file(project)) if cache else None
    with reached(project, "no such folder; as a W&B project: "), _folders_elsewhere():
        import wandb

        api = wandb.Api(timeout=SECONDS)
        listed = [run for run in api.runs(project, order="+created_at") if not _is_report(run)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            runs = list(pool.map(lambda run: _read(project, run, kept), listed))
    if kept:
        with suppress(OSError):
            _cache_file(project).parent.mkdir(parents=True, exist_ok=True)
        kept.save()
    if not runs:
        raise Refused([Fault(project, "this project holds no runs")])
    for run in runs:
        judge_state(run)
    return runs


def _cache_file(project: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    server = urlsplit(os.environ.get("WANDB_BASE_URL", SERVER)).netloc.replace(":", "-")
    return Path(cache) / "vit" / "review" / f"{server}--{project.replace('/', '--')}.npz"


@contextmanager
def _folders_elsewhere() -> Iterator[None]:
    """wandb.Api makes a folder `entity/project/run` for each run that it lists; not here."""
    before = os.environ.get("WANDB_DIR")
    with TemporaryDirectory() as home:
        os.environ["WANDB_DIR"] = home
        try:
            yield
        finally:
            if before is None:
                del os.environ["WANDB_DIR"]
            else:
                os.environ["WANDB_DIR"] = before


@contextmanager
def reached(project: str, before: str = "") -> Iterator[None]:
    """Turns what wandb raises into one refusal that says what to do, `before` in front of it."""
    where = os.environ.get("WANDB_BASE_URL", SERVER)
    try:
        os.environ.setdefault("WANDB_SILENT", "true")
        yield
    except Refused:
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] != "wandb" and "find project" not in str(error):
            raise
        raise Refused([Fault(project, before + _why(error, where))]) from error


def _why(error: Exception, where: str) -> str:
    """wandb raises half a dozen classes, some of them private: their words say more."""
    import wandb

    said = str(error).rstrip(". ")
    if isinstance(error, wandb.errors.UsageError):  # AuthenticationError is one
        return f"{said}. `wandb login`, or WANDB_API_KEY, says who you are"
    if "find project" in said:
        return f"{where} knows no such project, or not for you"
    return f"{where} cannot be asked, or says no: {said}"


def _is_report(run: Any) -> bool:
    return bool(run.job_type == "report")


def _read(project: str, run: Any, kept: Cache | None) -> Run:
    path = Path(project) / run.id
    if kept is None:
        return _from_api(path, run)
    signature = [run.state, run.heartbeat_at, run.history_line_count, run.display_name]
    over = run.state in STATES
    return kept.kept(run.id, path, signature, lambda: _from_api(path, run), over)


def _from_api(path: Path, run: Any) -> Run:
    """One run of `wandb.Api`."""
    run.load_full_data()
    of_wandb = run.rawconfig.get("_wandb")
    axes = _axes(inside(of_wandb, "m"))
    columns: dict[str, dict[int, float]] = {}
    # By W&B's own step, which begins anew with each start of an offline run: time puts them right.
    rows = sorted(run.scan_history(), key=lambda row: number(row.get("_timestamp")) or 0.0)
    for at, row in enumerate(rows):
        add_row(columns, row, row.get("_step", at), axes)
    summary = dict(run.summary_metrics)
    state = STATES.get(run.state, "running")
    state_json = {
        "state": state,
        "updated": _seconds(run.heartbeat_at),
        "train_seconds": summary.get("_runtime"),
    }
    if state == "failed":
        state_json |= {"kind": "exception", "error": "W&B says that it failed; its log is there"}
    metrics = {name: best(value) for name, value in summary.items() if name not in OF_WANDB}
    config, trial = as_ours(run.config)
    history = {name: series_of(column) for name, column in columns.items()}
    metrics |= selected(config, history)
    return Run(
        path=path,
        title=run.display_name or run.id,
        config=config,
        state_json=state_json,
        results={"metrics": metrics} if state == "done" else {},
        stamp=_stamp(run, of_wandb),
        trial=trial,
        history=history,
        state=state,
    )


def selected(config: dict[str, Any], history: dict[str, Series]) -> dict[str, float]:
    """Validation's metrics where `checkpoint.monitor` was best, as metrics.json has them.

    A summary of W&B's has the last ones. Empty where the config names no monitor, as of runs that
    vit did not train.
    """
    monitored = history.get(str(inside(config, "checkpoint", "monitor")))
    if monitored is None or not np.isfinite(monitored.values).any():
        return {}
    worst = -math.inf if inside(config, "checkpoint", "mode") == "max" else math.inf
    values = np.where(np.isfinite(monitored.values), monitored.values, worst)
    at = monitored.steps[values.argmax() if worst < 0 else values.argmin()]
    return {
        name: float(one.values[one.steps == at][0])
        for name, one in history.items()
        if name.startswith("val/") and at in one.steps
    }


def _axes(metrics: object) -> Axes:
    """Definitions as the config has them: 1 is a name, 2 a glob, 5 its step's place, from 1."""
    axes = Axes()
    metrics = metrics if isinstance(metrics, list) else []
    for metric in metrics:
        place = inside(metric, "5")
        if isinstance(place, int) and 0 < place <= len(metrics):
            step = inside(metrics[place - 1], "1") or ""
            axes.define(inside(metric, "1") or "", inside(metric, "2") or "", step)
    return axes


def _seconds(time: object) -> float | None:
    try:
        moment = datetime.fromisoformat(str(time).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _stamp(run: Any, of_wandb: Any) -> dict[str, Any]:
    stamp: dict[str, Any] = {"git": {"commit": run.commit}}
    starts = inside(of_wandb, "e")
    if isinstance(starts, dict) and starts:
        last = list(starts.values())[-1]
        words = [inside(last, "program"), *(inside(last, "args") or [])]
        stamp |= {
            "command": " ".join(str(word) for word in words if word),
            "folder": inside(last, "root"),
            "python": inside(last, "python"),
            "hardware": {"cpu": inside(last, "cpu", "model")},
        }
    return stamp
