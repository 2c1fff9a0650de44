"""Frees the disk that a finished run's checkpoints take: its weights stay, what resumes it goes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vit.callbacks.checkpoints.saving import tidy
from vit.faults import Fault, Refused
from vit.runs.checkpoint import look_at_checkpoint, read_checkpoint, write_checkpoint
from vit.runs.directory import RunFolder, content_of
from vit.runs.files import json_of
from vit.runs.links import refuse_links
from vit.runs.shapes import STATE
from vit.runs.shards import SHARDS, drop_unused
from vit.runs.writing import write_json

# Of a checkpoint what a training reads that goes on from it, and nobody else. Averaged weights and
# those that were trained both stay: `vit export` takes either.
FOR_GOING_ON = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "exact_resume")


def plan(run_dir: str) -> list[dict[str, Any]]:
    """What `clean` would do: of each file its `names`, and its bytes `before` and `after`.

    `after` is 0 for what would be removed; a file that stays as it is is not among them. All that
    is kept is read and its checksums compared. Raises Refused where the run is not done, a
    checkpoint is damaged, or something there is a link.
    """
    folder = RunFolder(Path(run_dir))
    _require_done(folder)
    kept, gone = _checkpoints(folder)
    rows = []
    for names in kept:
        content = look_at_checkpoint(folder.checkpoints / names[0])
        if _resumes(content):
            before = _bytes(folder.checkpoints / names[0], content)
            rows.append({"names": names, "before": before, "after": _size_of_slim(content)})
    for names in gone:
        path = folder.checkpoints / names[0]
        alone = path.stat().st_nlink == 1  # else the same content keeps its room under another name
        before = _bytes(path, _readable(path)) if alone else 0
        rows.append({"names": names, "before": before, "after": 0})
    return rows


def clean(run_dir: str) -> int:
    """Does it; returns the bytes freed.

    The checkpoint that the run is known by (best.ckpt, or last.ckpt where there is no other) and
    those that it was asked to keep lose what only a training reads; last.ckpt goes where it is not
    the selected one. Each file is replaced in one step, and the run is done at every moment:
    whatever ends the process, its answers are the same. Raises Refused as `plan` does, and where
    the run is being trained.
    """
    folder = RunFolder(Path(run_dir))
    with folder.locked():
        _require_done(folder)
        before = _all_bytes(folder)
        tidy(folder.checkpoints)
        kept, gone = _checkpoints(folder)
        _note(folder, cleaned=True)
        for names in kept:
            path = folder.checkpoints / names[0]
            content = read_checkpoint(path)
            if not _resumes(content):
                continue
            if "last.ckpt" in names:
                # A run is not done where another file lies in place of the one it ended with.
                _note(folder, last_checkpoint=None)
            write_checkpoint(_slim(content), path, names[1:])
        if folder.last_checkpoint.exists():
            _note(folder, last_checkpoint=content_of(folder.last_checkpoint))
        for names in gone:
            for name in names:
                (folder.checkpoints / name).unlink(missing_ok=True)
        drop_unused(folder.checkpoints)
        return before - _all_bytes(folder)


def _require_done(folder: RunFolder) -> None:
    folder.config()
    refuse_links(folder.path)
    links = [path for path in folder.checkpoints.glob("*.ckpt") if path.is_symlink()]
    places = folder.checkpoints, folder.checkpoints / SHARDS
    links += [path for path in places if path.is_symlink()]
    if links:
        message = "is a link, and nothing is written or removed through one; put the file there"
        raise Refused([Fault(str(link), message) for link in links])
    if folder.is_done():
        return
    state = folder.state()
    if state.name != "done":
        message = (
            f"is {state.name or 'not begun'} and not done, so that its checkpoints are needed to "
            "go on. Let the same command finish it, or remove the folder"
        )
    elif folder.goes_on_from_another(state):
        message = "has another last.ckpt than it ended with, which the same command goes on from"
    else:
        message = f"is not done: {folder.lost_results()}"
    raise Refused([Fault(str(folder.path), message)])


def _checkpoints(folder: RunFolder) -> tuple[list[list[str]], list[list[str]]]:
    """What is kept and what goes, each a file with all its names there, the selected one first."""
    by_inode: dict[int, list[str]] = {}
    order = {"best.ckpt": 0, "last.ckpt": 1}
    names = (path.name for path in folder.checkpoints.glob("*.ckpt"))
    for name in sorted(names, key=lambda name: (order.get(name, 2), name)):
        by_inode.setdefault((folder.checkpoints / name).stat().st_ino, []).append(name)
    if not by_inode:
        raise Refused([Fault(str(folder.checkpoints), "holds no checkpoints; nothing is to clean")])
    kept, gone = [], []
    for group in by_inode.values():
        last_too = "last.ckpt" in group and folder.best_checkpoint.exists()
        stays = [name for name in group if not (last_too and name == "last.ckpt")]
        kept += [stays] if stays else []
        gone += [["last.ckpt"]] if last_too else []
    return kept, gone


def _resumes(content: Mapping[str, Any]) -> bool:
    return any(key in content for key in FOR_GOING_ON)


def _slim(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in FOR_GOING_ON}


def _readable(path: Path) -> dict[str, Any]:
    """What goes need not be sound."""
    try:
        return look_at_checkpoint(path)
    except Refused:
        return {}


class _Counter(io.RawIOBase):
    """Takes what is written, and knows how much it was."""

    bytes = 0

    def write(self, data: Any) -> int:
        self.bytes += len(data)
        return len(data)


def _size_of_slim(content: Mapping[str, Any]) -> int:
    slim = _slim(content)
    if "shards" in content:  # of whose tensors only the sizes are known
        return sum(each.nbytes for each in content["state_dict"].values())
    counter = _Counter()
    torch.save(slim, counter)  # type: ignore[arg-type]
    return counter.bytes


def _bytes(path: Path, content: Mapping[str, Any]) -> int:
    named = content.get("shards", {}).get("folder", "")
    parts = (path.parent / SHARDS / Path(str(named)).name).glob("*") if named else ()
    return sum(each.stat().st_size for each in (path, *parts))


def _all_bytes(folder: RunFolder) -> int:
    files = [*folder.checkpoints.glob("*"), *folder.checkpoints.glob(f"{SHARDS}/*/*")]
    stats = [file.lstat() for file in files if file.is_file() and not file.is_symlink()]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


def _note(folder: RunFolder, **told: str | bool | None) -> None:
    """Says this in state.json, such as what last.ckpt holds, and leaves all else of it."""
    state = json_of(folder.state_file, STATE)
    if state is not None and any(state.get(key) != value for key, value in told.items()):
        write_json(folder.state_file, {**state, **told})
