"""A checkpoint file: written whole or not at all, verified when it is read, and never code.

Beside what Lightning and the callbacks keep, each carries the version of its form under `vit`;
files from before there was one count as version 1.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vit
from vit.faults import Fault, Refused
from vit.runs import shards
from vit.runs.room import disk_is_full, full_disk

VERSION = 1
MOST_NAMED = 6


def write_checkpoint(content: Mapping[str, Any], path: Path, also: Iterable[str] = ()) -> None:
    """Beside its place first, and there once it is on disk; so the one before stays good.

    `also` are further names for it in the same folder, which it has first: links where the file
    system knows them, which take no room. Raises OSError that names the file and the room there
    is, where the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    whole = {**content, "vit": {"checkpoint": VERSION, "version": vit.__version__}}
    try:
        with part.open("wb") as file:
            torch.save(whole, file)
            file.flush()
            os.fsync(file.fileno())
        for name in also:
            _link(part, path.with_name(name))
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer hides the first behind the second
        if not disk_is_full(error):
            raise
        written = part.stat().st_size if part.exists() else 0
        raise full_disk(path, written) from error
    finally:
        part.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content, on the CPU; only tensors and plain values are ever read.

    The checksums in the file are compared, which takes as long as reading it once more: torch
    leaves them alone. Raises Refused where the file is damaged, newer than this vit or no
    checkpoint of a run.
    """
    content = _verified(path)
    if "shards" not in content:
        return content
    shards.verify(content, path)
    return shards.joined(content, path)


def look_at_checkpoint(path: Path, rank: int = 0, world_size: int = 1) -> dict[str, Any]:
    """The content, of whose weights only names and shapes are to be used; verified as above.

    Of shards each process verifies a part: so all of them together have looked at all.
    """
    content = _verified(path, mmap=True)
    if "shards" in content:
        shards.verify(content, path, rank, world_size)
        content["state_dict"] = shards.weights_without_values(content, path)
    return content


def _verified(path: Path, mmap: bool = False) -> dict[str, Any]:
    if fault := damage(path):
        raise Refused([Fault(str(path), fault)])
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        message = f"is no checkpoint that can be read safely: {str(error).splitlines()[0]}"
        raise Refused([Fault(str(path), message)]) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise Refused([Fault(str(path), "is no checkpoint of a run: it has no `state_dict`")])
    told = content.get("vit", {})
    if told.get("checkpoint", VERSION) > VERSION:
        message = (
            f"was written by vit {told.get('version')}, in a later form than this vit "
            f"({vit.__version__}) reads; install that version to go on"
        )
        raise Refused([Fault(str(path), message)])
    return content


def damage(path: Path) -> str | None:
    """What is wrong with the bytes of a file; None where they are as they were written."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError):
        size = path.stat().st_size
        return f"is cut short or no checkpoint at all ({size / 1e6:.1f} MB){_others(path)}"
    return f"is damaged: {broken} has another checksum{_others(path)}" if broken else None


def misfit(state_dict: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """How saved weights differ from a model's, in names and shapes; None where they do not."""
    told = [f"lacks {key}" for key in wanted.keys() - state_dict.keys()]
    told += [f"has an unknown {key}" for key in state_dict.keys() - wanted.keys()]
    told += [
        f"{key} is {tuple(state_dict[key].shape)}, wanted {tuple(wanted[key].shape)}"
        for key in wanted.keys() & state_dict.keys()
        if state_dict[key].shape != wanted[key].shape
    ]
    if not told:
        return None
    shown = sorted(told)[:MOST_NAMED]
    more = [f"and {len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return "the checkpoint is of another architecture: " + "; ".join([*shown, *more])


def _link(source: Path, target: Path) -> None:
    staged = target.with_name(f"{target.name}.part")
    staged.unlink(missing_ok=True)
    try:
        try:
            os.link(source, staged)
        except OSError:  # no links on this file system
            shutil.copyfile(source, staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def _others(path: Path) -> str:
    """Which files beside a broken one are sound."""
    sound = []
    for other in sorted(path.parent.glob("*.ckpt")):
        if other != path:
            try:
                with zipfile.ZipFile(other) as archive:
                    if archive.testzip() is None:
                        sound.append(other.name)
            except zipfile.BadZipFile:
                continue
    if not sound:
        return "; remove it to begin anew"
    return f"; {', '.join(sound)} beside it is sound: put a copy in its place, or remove it"
