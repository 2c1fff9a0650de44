"""A checkpoint file: written whole or not at all, verified when it is read, and never code.

Beside what Lightning and the callbacks keep, each carries the version of its form under `vit`;
files from before there was one count as version 1.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.faults import Fault, Refused
from vit.runs import shards
from vit.runs.disk_full import disk_is_full, full_disk
from vit.runs.tensor_file import (
    LIKE_A_ZIP,
    BadTensorFile,
    Damaged,
    first_bytes,
    read_archive,
    read_tensors,
    short,
    some,
    sound_records,
    tensors_in,
)
from vit.version import __version__

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
    whole = {**content, "vit": {"checkpoint": VERSION, "version": __version__}}
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
    try:
        head, _ = first_bytes(path)
        # What is no archive is no checkpoint of ours; but the error may say what it is.
        archive = head.startswith(LIKE_A_ZIP)
        content = read_archive(path, mmap) if archive else read_tensors(path)
    except Damaged as error:
        raise Refused([Fault(str(path), f"{error}{_others(path)}")]) from error
    except BadTensorFile as error:
        raise Refused([Fault(str(path), str(error))]) from error
    if problem := of_another_kind(content):
        raise Refused([Fault(str(path), problem)])
    form = content.get("vit", {})
    version = form.get("checkpoint", VERSION) if isinstance(form, dict) else None
    if not isinstance(version, int):
        raise Refused([Fault(str(path), "does not say in which form it was written")])
    if version > VERSION:
        message = (
            f"was written by vit {form.get('version')}, in a later form than this vit "
            f"({__version__}) reads; install that version to go on"
        )
        raise Refused([Fault(str(path), message)])
    return content


def of_another_kind(content: object) -> str | None:
    """What a file of tensors is, where it is no checkpoint of a run; None where it may be one."""
    wanted = "Wanted a checkpoint of this run, as in its folder checkpoints/"
    start = "is no checkpoint of a run: "
    if not isinstance(content, dict):
        return f"{start}it holds a {type(content).__name__}. {wanted}"
    weights = content.get("state_dict")
    if isinstance(weights, dict) and all(
        isinstance(name, str) and isinstance(each, Tensor) for name, each in weights.items()
    ):
        empty = not weights and "shards" not in content
        return f"{start}its `state_dict` is empty. {wanted}" if empty else None
    start += f"it has no `state_dict`{' of tensors' * bool(weights)}"
    named = [name for name, _ in tensors_in(content)]
    if {"state", "param_groups"} <= content.keys():
        return f"{start}, and is the state of an optimizer. {wanted}"
    if not named:
        return f"{start} and no tensors at all. {wanted}"
    return (
        f"{start}, but {len(named):,} tensors: {some(named)}. Weights alone are what "
        f"backbone.checkpoint of a new training takes. {wanted}"
    )


def misfit(state_dict: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str | None:
    """How saved weights differ from a model's, in names and shapes; None where they do not.

    Never longer than a few lines: differences are counted, and the first of them named.
    """
    lacking = sorted(wanted.keys() - state_dict.keys())
    unknown = sorted(state_dict.keys() - wanted.keys())
    resized = [
        f"{short(key)} is {tuple(state_dict[key].shape)}, wanted {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state_dict.keys())
        if state_dict[key].shape != wanted[key].shape
    ]
    named = [
        *(f"lacks {short(key)}" for key in lacking),
        *(f"has an unknown {short(key)}" for key in unknown),
        *resized,
    ]
    if not named:
        return None
    start = "the checkpoint is of another architecture: "
    if len(named) <= MOST_NAMED:
        return start + "; ".join(named)
    counts = {
        f"of {len(wanted):,} tensors missing": len(lacking),
        "unknown": len(unknown),
        "of another size": len(resized),
    }
    summary = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    parts = (named[: len(lacking)], named[len(lacking) : -len(resized) or None], resized)
    first = [name for part in parts for name in part[: MOST_NAMED // 3]]
    more = len(named) - len(first)
    return f"{start}{summary}: {'; '.join(first)}; and {more:,} more"


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
        if other.name != path.name and other.is_file():
            with suppress(BadTensorFile):
                sound_records(other)
                sound.append(other.name)
    if not sound:
        return "; remove it to begin anew"
    return f"; {', '.join(sound)} beside it is sound: put a copy in its place, or remove it"
