"""W&B's own files, of runs that left nothing else: `wandb/offline-run-TIME-ID/run-ID.wandb`.

A file is a LevelDB log of protobuf records in blocks of 32 KiB. A run that was gone on with has a
folder for each start, which read as one run. Nothing here asks a server. The format is that of
wandb 0.31; it names no promise, so a test holds this reader against a run that wandb has written.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.review.history import series_of

BLOCK = 32_768
FILE_HEADER = 7  # ":W&B", a magic number of two bytes, a version
RECORD_HEADER = 7  # CRC32, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
STEP = "trainer/global_step"  # Lightning's count of optimizer steps, where it was logged
OF_WANDB = ("_step", "_runtime", "_timestamp", "_wandb", STEP)
TAIL_LINES, TAIL_BYTES = 15, 20_000


def wandb_runs(folder: Path) -> list[Path]:
    """The first folder of each run whose W&B files lie in `folder` or in its `wandb/`."""
    found: dict[str, Path] = {}
    for home in (folder, folder / "wandb"):
        for file in sorted(home.glob("*run-*/run-*.wandb")):
            if not file.parent.is_symlink():  # latest-run
                found.setdefault(file.name, file.parent)
    return list(found.values())


def fragments(first: Path) -> list[Path]:
    """The files of all starts of the run that has a file in this folder, the first start first."""
    names = sorted(file.name for file in first.glob("run-*.wandb"))
    if not names:
        return []
    beside = sorted(first.parent.glob("*run-*"))
    files = [folder / names[0] for folder in beside if not folder.is_symlink()]
    return [file for file in files if file.is_file()]


def read_wandb(first: Path) -> dict[str, Any]:
    """What `Run` wants, of a run and all its later starts.

    Without a logged count of optimizer steps the step is W&B's own, which begins anew with each
    start: later starts are put behind the earlier ones. Raises Refused where no record can be read.
    """
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    columns: dict[str, dict[int, float]] = {}
    told: dict[str, Any] = {"state": "running"}
    stamp: dict[str, Any] = {}
    title, behind, records = "", 0, 0
    files = fragments(first)
    for file in files:
        told, last = {"state": "running", "updated": file.stat().st_mtime}, -1
        for record in _records(file):
            records += 1
            kind = record.WhichOneof("record_type")
            if kind == "run":
                title = record.run.display_name or record.run.run_id
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
                _update(summary, record.summary)
            elif kind == "history":
                row = dict(_items(record.history.item))
                own = _whole(row.get("_step"), record.history.step.num)
                last = max(last, own)
                _add(columns, row, _whole(row.get(STEP), behind + own))
            elif kind == "exit":
                code = record.exit.exit_code
                told = {"state": "failed", "exit_code": code} if code else {"state": "done"}
                told["updated"] = file.stat().st_mtime
        behind += last + 1
    if not records:
        raise Refused([Fault(str(first), "its W&B file holds no record that can be read")])
    if told["state"] == "failed":
        told |= {"kind": "exception", "error": f"its process ended with {told['exit_code']}"}
    if "_runtime" in summary:
        told["train_seconds"] = summary["_runtime"]
    metrics = {name: _best(value) for name, value in summary.items() if name not in OF_WANDB}
    return {
        "path": first,
        "title": title,
        "config": {name: value for name, value in config.items() if name != "_wandb"},
        "told": told,
        "results": {"metrics": metrics} if told["state"] == "done" else {},
        "stamp": stamp,
        "trial": {},
        "history": {name: series_of(column) for name, column in columns.items()},
        "log_tail": [] if told["state"] == "done" else _tail(files[-1].parent),
        "state": told["state"],
    }


def _records(file: Path) -> Iterator[Any]:
    """The records up to the first that was cut off; damaged ones are passed over."""
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    content = file.read_bytes()
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


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    for item in items:
        try:
            yield ".".join(item.nested_key) or item.key, json.loads(item.value_json)
        except (ValueError, RecursionError):
            continue


def _update(told: dict[str, Any], record: Any) -> None:
    told.update(_items(record.update))
    for item in record.remove:
        told.pop(".".join(item.nested_key) or item.key, None)


def _add(columns: dict[str, dict[int, float]], row: dict[str, Any], step: int) -> None:
    for name, value in row.items():
        if name in OF_WANDB or isinstance(value, dict | list | bool | None):
            continue  # a picture, a table
        try:
            columns.setdefault(name, {})[step] = float(value)
        except (ValueError, OverflowError):
            continue


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise


def _best(value: Any) -> Any:
    """Of a metric that was defined with a best value that value, else the last."""
    if isinstance(value, dict):
        return value.get("max", value.get("min"))
    return value


def _tail(folder: Path) -> list[str]:
    try:
        with (folder / "files" / "output.log").open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - TAIL_BYTES, 0))
            return stream.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return []
