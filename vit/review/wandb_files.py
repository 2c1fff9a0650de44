"""W&B's own files, of runs that left nothing else: `wandb/offline-run-TIME-ID/run-ID.wandb`.

A file is a LevelDB log of protobuf records in blocks of 32 KiB. A run that was gone on with has a
folder for each start, which read as one run. Nothing here asks a server. The format is that of
wandb 0.31; it names no promise, so a test holds this reader against a run that wandb has written.
"""

from __future__ import annotations

import glob
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.review.history import series_of
from vit.review.run import Run
from vit.review.wandb_rows import OF_WANDB, Axes, add_row, as_ours, best
from vit.runs.files import MOST_RECORD_BYTES, tail_of
from vit.runs.files import content as content_of

BLOCK = 32_768
FILE_HEADER = 7  # ":W&B", a magic number of two bytes, a version
RECORD_HEADER = 7  # CRC32, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
TAIL_LINES, TAIL_BYTES = 15, 20_000


def wandb_runs(folder: Path) -> list[Path]:
    """The first folder of each run whose W&B files lie in `folder` or in its `wandb/`."""
    folders: dict[str, Path] = {}
    for home in (folder, folder / "wandb"):
        for file in sorted(home.glob("*run-*/run-*.wandb")):
            # latest-run is a link, and so is what `vit leet` looks at.
            if not file.parent.is_symlink() and not file.is_symlink():
                folders.setdefault(file.name, file.parent)
    return list(folders.values())


def fragments(first: Path) -> list[Path]:
    """The files of all starts of the run that has a file in this folder, the first start first."""
    names = sorted(file.name for file in first.glob("run-*.wandb"))
    if not names:
        return []
    run_id = names[0].removeprefix("run").removesuffix(".wandb")
    # Only folders of this id are looked into: a project's folder may hold thousands. A start in the
    # same second as another has a number behind the id.
    pattern = f"*run-*{glob.escape(run_id)}"
    beside = {first, *first.parent.glob(pattern), *first.parent.glob(f"{pattern}-*")}

    def started(folder: Path) -> tuple[str, int, str]:
        when, _, number = folder.name.rpartition(run_id)
        return when, int(number[1:]) if number[1:].isdecimal() else 0, folder.name

    files = [f / names[0] for f in sorted(beside, key=started) if not f.is_symlink()]
    return [file for file in files if file.is_file()]


def read_wandb(first: Path) -> Run:
    """A run and all its later starts.

    Without a logged count of steps the step is W&B's own, which begins anew with each start: later
    starts are put behind the earlier ones. Raises Refused where no record can be read.
    """
    config: dict[str, Any] = {}
    summary: dict[str, str] = {}  # as JSON: of a thousand updates only the last counts
    columns: dict[str, dict[int, float]] = {}
    state: dict[str, Any] = {"state": "running"}
    stamp: dict[str, Any] = {}
    axes, job_type = Axes(), ""
    title, behind, records = "", 0, 0
    files = fragments(first)
    for file in files:
        state, last = {"state": "running", "updated": file.stat().st_mtime}, -1
        for record in _records(file):
            records += 1
            kind = record.WhichOneof("record_type")
            if kind == "run":
                title = record.run.display_name or record.run.run_id
                job_type = record.run.job_type
                _update(config, record.run.config)
                stamp["git"] = {"commit": record.run.git.commit or None}
            elif kind == "config":
                _update(config, record.config)
            elif kind == "environment" and record.environment.program:
                environment = record.environment
                stamp["command"] = " ".join([environment.program, *environment.args])
                stamp["folder"] = environment.root
                stamp["python"] = environment.python
            elif kind == "summary":
                for item in record.summary.update:
                    summary[_key(item)] = item.value_json
                for item in record.summary.remove:
                    summary.pop(_key(item), None)
            elif kind == "history":
                step = record.history.step.num
                last = max(last, step)
                row = {_key(item): item.value_json for item in record.history.item}
                add_row(columns, row, behind + step, axes)
            elif kind == "metric":
                metric = record.metric
                axes.define(metric.name, metric.glob_name, metric.step_metric)
            elif kind == "exit":
                code = record.exit.exit_code
                state = {"state": "failed", "exit_code": code} if code else {"state": "done"}
                state["updated"] = file.stat().st_mtime
        behind += last + 1
    if not records:
        raise Refused([Fault(str(first), "its W&B file holds no record that can be read")])
    if state["state"] == "failed":
        state |= {"kind": "exception", "error": f"its process ended with {state['exit_code']}"}
    final = {name: value for name, text in summary.items() if (value := _value(text)) is not None}
    state["train_seconds"] = final.get("_runtime")
    metrics = {name: best(value) for name, value in final.items() if name not in OF_WANDB}
    state["job_type"] = job_type
    ours, trial = as_ours(config)
    is_done = state["state"] == "done"
    return Run(
        path=first,
        title=title,
        config=ours,
        state_json=state,
        results={"metrics": metrics} if is_done else {},
        stamp=stamp,
        trial=trial,
        history={name: series_of(column) for name, column in columns.items()},
        log_tail=[] if is_done else _tail(files[-1].parent),
        state=state["state"],
    )


def _records(file: Path) -> Iterator[Any]:
    """The records up to the first that was cut off; damaged ones are passed over."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    content = content_of(file, most=MOST_RECORD_BYTES)
    at, parts = FILE_HEADER, b""
    while at + RECORD_HEADER <= len(content):
        room = BLOCK - at % BLOCK
        if room < RECORD_HEADER:
            at += room
            continue
        check = int.from_bytes(content[at : at + 4], "little")
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]
        checked = content[at + 6 : at + RECORD_HEADER + length]
        at += RECORD_HEADER + length
        if at > len(content):
            return
        if kind not in (FULL, FIRST, MIDDLE, LAST) or zlib.crc32(checked) != check:
            parts = b""
            continue
        parts = checked[1:] if kind in (FULL, FIRST) else parts + checked[1:]
        if kind in (FULL, LAST):
            record = Record()
            try:
                record.ParseFromString(parts)
            except DecodeError:
                continue
            yield record


def _key(item: Any) -> str:
    if item.key:
        return str(item.key)
    nested = item.nested_key  # a list of protobuf's, slow to join
    return str(nested[0]) if len(nested) == 1 else ".".join(nested)


def _value(text: str) -> Any:
    """What stands in JSON, or None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _update(settings: dict[str, Any], config: Any) -> None:
    settings.update((_key(item), _value(item.value_json)) for item in config.update)
    for item in config.remove:
        settings.pop(_key(item), None)


def _tail(folder: Path) -> list[str]:
    return tail_of(folder / "files" / "output.log", TAIL_BYTES, folder)[-TAIL_LINES:]
