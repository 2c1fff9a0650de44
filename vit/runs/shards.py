"""Checkpoints whose tensors lie in shards: each process writes and reads its own part.

    checkpoints/last.ckpt                          all else, and which shards are its own
    checkpoints/shards/step-000300-1f9c03aa/*.safetensors

A folder of shards is never changed. It is on disk before the file that names it takes the place
of the one before, by a single rename: so a checkpoint is the old one or the new one. What no file
names is removed.

torch.distributed.checkpoint splits and joins the tensors for any number of processes. Its usual
`.metadata` is a pickle, which is code to whoever reads it; its safetensors storage has none. What
is no tensor lies in the file, read as every checkpoint is: tensors and plain values only.
"""

from __future__ import annotations

import copy
import os
import shutil
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import checkpoint as dcp

from vit.faults import Fault, Refused
from vit.runs.disk_full import disk_is_full, full_disk
from vit.runs.tensor_file import BadTensorFile, require_header

SHARDS = "shards"
# What plain values raise that are not what they are taken for.
ODD = (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError)
CHUNK = 1 << 24  # bytes


def write_shards(
    checkpoint: dict[str, Any], path: Path, name: str, group: dist.ProcessGroup | None
) -> dict[str, Any]:
    """Writes the tensors that `path` is to name; returns what the file itself is to hold.

    All processes of `group` call it, with the same `name` that was never used before, and nobody
    else uses the group meanwhile. It must exchange objects on the CPU. Where one process fails,
    all raise what it raised, and nothing stays.
    """
    folder = path.parent / SHARDS / name
    named, rest = split(checkpoint)
    rank, world_size = dist.get_rank(group), dist.get_world_size(group)
    folder.mkdir(parents=True, exist_ok=True)
    writer = dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        dcp.save(named, storage_writer=writer, process_group=group)
    except dcp.CheckpointException as error:
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        dist.barrier(group)
        if rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
        causes = [cause for cause, _ in error.failures.values()]
        raise full_disk(path, size) if any(map(disk_is_full, causes)) else causes[0] from None
    written = sorted(folder.glob("*.safetensors"))
    own = {file.name: [file.stat().st_size, crc32(file)] for file in written[rank::world_size]}
    parts: list[Any] = [None] * world_size
    dist.all_gather_object(parts, own, group=group)
    if rank == 0:
        for new in (folder, folder.parent):
            _sync(new)
    known = {file: numbers for part in parts for file, numbers in part.items()}
    return {**rest, "shards": {"folder": name, "files": known}}


def split(checkpoint: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of weights and optimizers by name, and all else, nested as it was."""
    named = {f"state_dict/{key}": tensor for key, tensor in checkpoint["state_dict"].items()}
    optimizers = []
    for number, optimizer in enumerate(checkpoint.get("optimizer_states", [])):
        state: dict[str, dict[str, Any]] = {}
        for parameter, values in optimizer["state"].items():
            tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
            for key, value in tensors.items():
                named[f"optimizer_states/{number}/{parameter}/{key}"] = value
            state[parameter] = {k: value for k, value in values.items() if k not in tensors}
        optimizers.append({**optimizer, "state": state})
    return named, {**checkpoint, "state_dict": {}, "optimizer_states": optimizers}


def merged(named: dict[str, Tensor], rest: dict[str, Any]) -> dict[str, Any]:
    """What `split` took apart."""
    weights: dict[str, Tensor] = {}
    optimizers = copy.deepcopy(rest["optimizer_states"])
    for name, tensor in named.items():
        kind, key = name.split("/", 1)
        if kind == "state_dict":
            weights[key] = tensor
        else:
            number, parameter, key = key.split("/")
            optimizers[int(number)]["state"].setdefault(parameter, {})[key] = tensor
    return {**rest, "state_dict": weights, "optimizer_states": optimizers}


def fill(named: dict[str, Any], content: dict[str, Any], path: Path) -> None:
    """Reads into tensors split over processes; all call it, and each reads what it holds."""
    dcp.load(named, storage_reader=_reader(content, path))


def joined(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The checkpoint as one process would have written it, from its file's content."""
    known = _known(content, path)
    named = {
        name: torch.empty(each.size, dtype=each.properties.dtype) for name, each in known.items()
    }
    try:
        with warnings.catch_warnings():
            remark = ".*assuming the intent is to load in a single process.*"
            warnings.filterwarnings("ignore", remark)
            dcp.load(named, storage_reader=_reader(content, path), no_dist=True)
        whole = merged(named, {key: value for key, value in content.items() if key != "shards"})
        optimizers = [_numbered(each) for each in whole["optimizer_states"]]
    except (dcp.CheckpointException, *ODD) as error:
        raise _bad(path, "has shards that do not fit each other") from error
    return {**whole, "optimizer_states": optimizers}


def _numbered(optimizer: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state by the numbers of its parameters, as it tells it itself."""
    names = [name for group in optimizer["param_groups"] for name in group["params"]]
    number = {name: at for at, name in enumerate(names)}
    return {
        "state": {number[name]: values for name, values in optimizer["state"].items()},
        "param_groups": [
            {**group, "params": [number[name] for name in group["params"]]}
            for group in optimizer["param_groups"]
        ],
    }


def weights_without_values(content: dict[str, Any], path: Path) -> dict[str, Tensor]:
    """Names and shapes of the weights, as tensors on the meta device."""
    kind = "state_dict/"
    known = _known(content, path)
    return {
        name.removeprefix(kind): torch.empty(each.size, device="meta")
        for name, each in known.items()
        if name.startswith(kind)
    }


def _known(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Size and kind of each tensor by its name, as the shards tell; not more than they hold."""
    try:
        known: dict[str, Any] = _reader(content, path).read_metadata().state_dict_metadata
        sizes = [each.size.numel() * each.properties.dtype.itemsize for each in known.values()]
    except Exception as error:  # safetensors' own, in a part that another process verifies
        raise _bad(path, "has shards that cannot be read; they are damaged") from error
    held = sum(file.stat().st_size for file in _folder(content, path).glob("*.safetensors"))
    if sum(sizes) > held:
        raise _bad(path, f"speaks of tensors of {sum(sizes):,} bytes; its shards hold {held:,}")
    return known


def verify(content: dict[str, Any], path: Path, rank: int = 0, world_size: int = 1) -> None:
    """Raises Refused where a file of this process's part is missing, or not as it was written."""
    folder = _folder(content, path)
    try:
        files = {str(name): (size, crc) for name, (size, crc) in content["shards"]["files"].items()}
    except ODD as error:
        raise _bad(path, "does not say which shards hold its tensors") from error
    for name in sorted(files)[rank::world_size]:
        size, checksum = files[name]
        file = folder / Path(name).name  # never elsewhere
        if not file.is_file():
            raise _bad(path, f"lacks a part of its tensors, {file}")
        if file.stat().st_size != size or crc32(file) != checksum:
            raise _bad(path, f"is damaged: {file} has another checksum")
        try:
            require_header(file, size)
        except BadTensorFile as error:
            raise _bad(path, f"is damaged: {file} {error}") from error


def drop_unused(folder: Path) -> None:
    """Removes the shards that no checkpoint in `folder` names; none where one cannot be read."""
    if not (folder / SHARDS).is_dir():
        return
    named = set()
    for file in folder.glob("*.ckpt"):
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            named.add(content.get("shards", {}).get("folder"))
        except Exception:  # it may name any of them
            return
    for shards in (folder / SHARDS).iterdir():
        if shards.name not in named:
            shutil.rmtree(shards, ignore_errors=True)


def _folder(content: dict[str, Any], path: Path) -> Path:
    try:
        name = Path(content["shards"]["folder"]).name  # never elsewhere
    except ODD as error:
        raise _bad(path, "does not say where its tensors lie") from error
    folder = path.parent / SHARDS / name
    if not folder.is_dir():
        raise _bad(path, f"has its tensors in shards, and {folder} is not there")
    return folder


def _reader(content: dict[str, Any], path: Path) -> dcp.HuggingFaceStorageReader:
    return dcp.HuggingFaceStorageReader(str(_folder(content, path)))


def _bad(path: Path, message: str) -> Refused:
    return Refused([Fault(str(path), message)])


def _sync(folder: Path) -> None:
    with suppress(OSError):  # some network file systems cannot
        handle = os.open(folder, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def crc32(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
