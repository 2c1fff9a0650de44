"""The folder of one run: where each thing lies, and what state the run is in.

Files are interfaces: `schema_version` stands in each, writes are atomic, and nothing here needs
torch, so commands and dashboards can ask quickly.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import yaml

from vit.faults import Fault, Refused
from vit.runs.environment import by_name, with_values
from vit.runs.files import json_of, read_json, yaml_of
from vit.runs.identity import WHOSE_COMMAND_IT_IS, differences
from vit.runs.links import refuse_links
from vit.runs.remarks import said
from vit.runs.secrets import without_secrets
from vit.runs.shapes import CONFIG, ORDER, RESULTS, SCHEMA_VERSION, STATE, misfit
from vit.runs.state import Order, RunState, State, StateDetails, TrainedTime
from vit.runs.writing import appending, write_json, write_text


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def stamp_file(self) -> Path:
        return self.path / "stamp.json"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def metrics_file(self) -> Path:
        """Every record: one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def results_file(self) -> Path:
        """Final and best metrics, the marker of a finished run together with the state."""
        return self.path / "metrics.json"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    @property
    def console_file(self) -> Path:
        """What the processes said, where nobody looked on: of trials in a sweep."""
        return self.path / "console.txt"

    @property
    def heartbeat_file(self) -> Path:
        """Touched by the training every second or so while batches are finished."""
        return self.path / ".heartbeat"

    @property
    def bad_batch_file(self) -> Path:
        """The batch whose loss was no number, where one ended the run."""
        return self.path / "bad_batch.pt"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best_checkpoint(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    def config(self) -> dict[str, Any]:
        """The frozen config, with the values of environment variables that it names.

        Raises Refused where the folder is no run of ours, or where such a variable is not set.
        """
        return with_values(self.written_config())

    def written_config(self) -> dict[str, Any]:
        """The frozen config as it stands in its file. Raises Refused as `config` does."""
        try:
            config = yaml_of(self.config_file)
        except FileNotFoundError:
            message = "no run folder: it holds no config.yaml"
            raise Refused([Fault(str(self.path), message)]) from None
        version = config.get("schema_version") if isinstance(config, dict) else None
        problem = f"schema_version is {version!r}; this vit reads {SCHEMA_VERSION}"
        if version == SCHEMA_VERSION:
            problem = misfit(config, CONFIG) or ""
        if problem:
            raise Refused([Fault(str(self.config_file), problem)])
        return config

    def problem(self) -> Fault | None:
        """Why nothing can be trained in a folder that is there; None where nothing is known."""
        try:
            refuse_links(self.path)
            if os.path.lexists(self.config_file):
                self.config()
        except Refused as refused:
            return refused.faults[0]
        return None

    def state(self) -> RunState:
        """As far as it can be read: the name is None where it cannot."""
        return RunState.from_plain(read_json(self.state_file, STATE) or {})

    def results(self) -> dict[str, Any]:
        return read_json(self.results_file, RESULTS) or {}

    def is_done(self) -> bool:
        """Whether it has ended with results that can be read: without them nobody could tell.

        It has not where another checkpoint was put in place of its last since.
        """
        state = self.state()
        ended = state.name == "done" and bool(self.results())
        return ended and not self.goes_on_from_another(state)

    def goes_on_from_another(self, state: RunState) -> bool:
        """Whether another checkpoint than the one it ended with lies in place of its last."""
        ended_with = state.last_checkpoint
        return ended_with is not None and content_of(self.last_checkpoint) not in (None, ended_with)

    def lost_results(self) -> str | None:
        """Why the results of a run that ended well cannot be read; None where they can."""
        try:
            results = json_of(self.results_file, RESULTS)
        except Refused as refused:
            return f"{self.results_file} {refused.faults[0].message}"
        return None if results else f"{self.results_file} is not there"

    def spent(self) -> TrainedTime:
        """The seconds that it has trained up to now, for the state that follows."""
        return self.state().trained_time

    def set_state(self, state: State, **more: Unpack[StateDetails]) -> None:
        """Replaces the state file in one step; `more` are further facts, such as the error."""
        before = self.state()
        now = time.time()
        write_json(
            self.state_file,
            {
                "schema_version": SCHEMA_VERSION,
                "state": state,
                "started": now if state == "running" else before.started,
                "updated": now,
                "owner": {"host": socket.gethostname(), "pid": os.getpid()},
                **without_secrets(more),
            },
        )

    def order(self, state: Order) -> None:
        """Tells whoever watches over this run to have it save and end as `state`."""
        write_json(self.path / "order.json", {"state": state})

    def ordered(self) -> Order | None:
        """None where the run may go on."""
        return (read_json(self.path / "order.json", ORDER) or {}).get("state")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder for one training; the system lets go of it when the process dies.

        Raises Refused where another process holds it.
        """
        with appending(self.path / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = self.state().owner
                message = f"is being trained now, by process {owner.pid} on {owner.host}"
                raise Refused([Fault(str(self.path), message)]) from error
            yield

    def refuse_conflicts(self, config: dict[str, Any], *, idle: bool = True) -> None:
        """Raises Refused where this folder cannot take a run of this config.

        With `idle` also where another process trains it now.
        """
        if self.path.exists() and not self.path.is_dir():
            raise Refused([Fault(str(self.path), "is a file; wanted a folder for the run")])
        if self.config_file.is_file():
            differing = differences(self.config(), config)
            if differing:
                raise Refused(
                    [
                        Fault(
                            str(self.path),
                            "holds a run of another config; choose another hydra.run.dir, or "
                            f"remove the folder. It differs in {'; '.join(differing)}",
                        )
                    ]
                )
        elif left := [path for path in self._trained() if os.path.lexists(path)]:
            message = (
                f"holds {left[0].name} of a run whose config.yaml is gone: of what run, nobody can "
                "tell; put the file back, choose another hydra.run.dir, or remove the folder"
            )
            raise Refused([Fault(str(self.path), message)])
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not nearest.is_dir():
            raise Refused([Fault(str(nearest), "is a file; wanted a folder for the run")])
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise Refused([Fault(str(nearest), "no permission to write there")])
        if idle and self.config_file.is_file():
            with self.locked():
                pass

    def _trained(self) -> tuple[Path, ...]:
        """What only a training leaves."""
        return (
            self.last_checkpoint,
            self.best_checkpoint,
            self.metrics_file,
            self.results_file,
        )

    def freeze(self, config: dict[str, Any]) -> None:
        """Writes the config, once; the same one again changes only what no number depends on.

        That is how checkpoints are written, what the command now says of tracking and watching (the
        folder may be a stranger's), and its note and tags.
        """
        if self.config_file.is_file():
            kept = ("checkpoint", *WHOSE_COMMAND_IT_IS)
            self._rewrite({key: config[key] for key in kept if key in config} | said(config))
            return
        self.path.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(by_name(config), sort_keys=False, allow_unicode=True)
        write_text(self.config_file, text)
        self.set_state("planned")

    def annotate(self, config: dict[str, Any]) -> bool:
        """Takes over what a command says in note and tags; whether that was anything new."""
        return self._rewrite(said(config))

    def _rewrite(self, parts: dict[str, Any]) -> bool:
        frozen = self.written_config()
        now = {**frozen, **{key: by_name(value) for key, value in parts.items()}}
        if now == frozen:
            return False
        write_text(self.config_file, yaml.safe_dump(now, sort_keys=False, allow_unicode=True))
        return True


def content_of(checkpoint: Path) -> str | None:
    """The same for checkpoints of the same content, from the checksums that its file lists.

    Takes a millisecond at any size. None where there is no file, or none that is whole.
    """
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile):
        return None
    digest = hashlib.sha1()
    for entry in entries:
        name = entry.filename.partition("/")[2]  # the first part is what the file was called
        if not name.startswith(".data/"):
            digest.update(f"{name} {entry.CRC:08x} {entry.file_size}\n".encode())
    return digest.hexdigest()
