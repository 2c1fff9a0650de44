"""What was read of runs, in one file beside them, so that reading again takes no time.

`.review.npz` holds an index (JSON) and all series end to end. A run is taken from it while size
and time of change of each of its files are those it was read at. The file is nobody's source: a
damaged one, or one of another version, is made anew, and where it cannot be written it is not.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from vit.faults import Refused
from vit.review.history import Series
from vit.review.reader import read_run
from vit.review.run import Run
from vit.review.wandb_files import fragments
from vit.runs.files import MOST_RECORD_BYTES, reading
from vit.runs.predictions import BROKEN_ARRAYS, unpacked
from vit.runs.shapes import CONFIG, RESULTS, STAMP, STATE, TRIAL, misfit

VERSION = 2
FILE = ".review.npz"
FILES = (
    *("config.yaml", "state.json", "metrics.jsonl", "metrics.json", "stamp.json", "trial.json"),
    *("log.txt", "console.txt"),
)
# Two changes within one tick of a file system's clock look the same; NFS counts in seconds.
FRESH_SECONDS = 2.0
UNUSABLE = (*BROKEN_ARRAYS, AttributeError, RecursionError, Refused)
# Time of change and size of each file, or what W&B says of a run; as JSON gives it back.
Signature = list[Any]
STATE_KEY = "told"  # state.json's in the file: as earlier versions wrote it
SHAPES = {
    "config": CONFIG,
    STATE_KEY: STATE,
    "results": RESULTS,
    "stamp": STAMP,
    "trial": TRIAL,
}


class Cache:
    """Reads runs, from the file where it knows them; `save` writes what is new."""

    def __init__(self, file: Path):
        self._file = file
        self._index: dict[str, Any] = {}
        self._read: dict[str, tuple[Run, Signature, bool]] = {}
        self._before: dict[str, tuple[Run, Signature, bool]] = {}
        self._changed = False
        with suppress(*UNUSABLE):
            with (
                reading(self._file, most=MOST_RECORD_BYTES) as opened,
                np.load(opened, allow_pickle=False) as kept,
            ):
                if unpacked(kept) > MOST_RECORD_BYTES:
                    raise ValueError("it would fill the memory")
                index = json.loads(kept["index"].tobytes())
                steps, values = kept["steps"], kept["values"]
            total = sum(n for entry in index["runs"].values() for _, n in entry["series"])
            plain = (steps.dtype, values.dtype) == (np.int64, np.float64)
            if index["version"] == VERSION and plain and len(steps) == len(values) == total:
                self._index, self._steps, self._values = index["runs"], steps, values

    def begin_again(self) -> None:
        """Forgets what is not read once more from now on."""
        self._before, self._read = self._read, {}

    def signatures(self) -> dict[str, Signature]:
        """Of what was read."""
        return {key: signature for key, (_, signature, _) in self._read.items()}

    def read(self, path: Path) -> Run:
        """The run in a folder. Raises Refused where its config cannot be read."""
        now = _signature(path)  # before reading, so that what comes meanwhile is seen next time
        key = os.path.relpath(path, self._file.parent)
        return self.kept(key, path, now, lambda: read_run(path), not _is_fresh(now))

    def kept(
        self, key: str, path: Path, now: Signature, read: Callable[[], Run], keep: bool
    ) -> Run:
        """The run that was kept with this signature, else what `read` gives; kept if `keep`."""
        entry, before = self._index.get(key), self._before.get(key)
        run = before[0] if before and before[2] and before[1] == now else None
        if run is None and entry and entry["signature"] == now:
            with suppress(*UNUSABLE):
                run = self._kept(path, entry)
        if run is None:
            self._changed = True
            run = read()
        self._read[key] = (run, now, keep)
        return run

    def save(self) -> None:
        """Keeps what was read, unless nothing is new; runs that are gone are forgotten."""
        if not self._changed and self._read.keys() == self._index.keys():
            return
        runs: dict[str, Any] = {}
        steps, values = [np.zeros(0, np.int64)], [np.zeros(0)]
        start = 0
        for key, (run, signature, keep) in self._read.items():
            if not keep:
                continue
            small = asdict(replace(run, history={}))
            del small["path"], small["history"]
            small["state"] = run.state_json.get("state", "planned")
            small[STATE_KEY] = small.pop("state_json")
            series = [(name, len(one)) for name, one in run.history.items()]
            runs[key] = {"signature": signature, "run": small, "series": series, "start": start}
            for one in run.history.values():
                steps.append(one.steps)
                values.append(one.values)
                start += len(one)
        index = json.dumps({"version": VERSION, "runs": runs}, default=str).encode()
        arrays = {
            "index": np.frombuffer(index, np.uint8),
            "steps": np.concatenate(steps),
            "values": np.concatenate(values),
        }
        staged = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            with staged.open("wb") as opened:
                np.savez(opened, **arrays)  # type: ignore[arg-type]
            staged.replace(self._file)
        except OSError:  # a folder of somebody else's, or one that is gone; a full disk
            with suppress(OSError):
                staged.unlink(missing_ok=True)

    def _kept(self, path: Path, entry: dict[str, Any]) -> Run:
        small = dict(entry["run"])
        _require_shapes(small)
        history, at = {}, entry["start"]
        for name, count in entry["series"]:
            history[name] = Series(self._steps[at : at + count], self._values[at : at + count])
            at += count
        state = small.pop(STATE_KEY)
        return Run(path=path, history=history, state_json=state, **small)


def _require_shapes(small: dict[str, Any]) -> None:
    """Raises ValueError where it is not what `read_run` gives: the cache too may be anybody's."""
    ours = "schema_version" in small["config"]
    for name, shape in SHAPES.items():
        wrong = not isinstance(small[name], dict)
        if wrong or (ours and small[name] and misfit(small[name], shape)):
            raise ValueError(f"{name} is not what was read")
    if not isinstance(small["log_tail"], list) or not isinstance(small["title"], str):
        raise ValueError("log or title is not what was read")


def _signature(path: Path) -> Signature:
    """Time of change and size of each file; JSON gives back an equal list."""
    signature: Signature = []
    for file in fragments(path) or [path / name for name in FILES]:
        try:
            stat = file.stat()
            signature.append([stat.st_mtime_ns, stat.st_size])
        except OSError:
            signature.append(None)
    return signature


def _is_fresh(signature: Signature) -> bool:
    newest = max((each[0] for each in signature if each), default=0)
    return time.time() - newest / 1e9 < FRESH_SECONDS
