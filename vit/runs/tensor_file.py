"""Files of tensors, from this program or from anywhere: read whole and safely, or refused.

A zip archive as torch writes it, torch's form from before there were archives, or safetensors;
the bytes say which, not the name. Only tensors and plain values are ever read. No more memory is
taken than the file has bytes: nothing unpacks, and no tensor is larger than what is there.
"""

from __future__ import annotations

import argparse
import json
import mmap
import re
import stat
import struct
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vit.runs.file_kinds import NO_CODE, kind_of_archive, kind_of_file

MOST_NAMED = 3
MOST_PICKLED = 1 << 28  # bytes that say how the tensors of an archive hang together
MOST_HEADER = 1 << 25  # bytes, of safetensors: some 300,000 tensors
SMALL = 1 << 26  # bytes that any tensor may take, whatever its file's size
LIKE_A_ZIP = b"PK"
# What zipfile raises for bytes that are no archive, or no longer one.
NO_ARCHIVE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    IndexError,
    OverflowError,
    struct.error,
)
NO_HEADER = (
    struct.error,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)


class BadTensorFile(ValueError):
    """Why a file cannot be read, as words to be put behind its name."""


class Damaged(BadTensorFile):
    """Its bytes are not those that were written."""


def read_tensors(path: Path) -> Any:
    """What the file holds, on the CPU: for safetensors a dict of tensors, else what was saved.

    Checksums are compared where there are any. Raises BadTensorFile.
    """
    head, size = first_bytes(path)
    if head.startswith(LIKE_A_ZIP):
        return read_archive(path)
    if _is_safetensors(head, size):
        return _read_safetensors(path, size)
    if kind := kind_of_file(path, head):
        raise BadTensorFile(kind)
    if not any(head):
        raise Damaged("holds zeros alone: a download, or a copy, that never finished")
    return _read_old(path, size)


def first_bytes(path: Path) -> tuple[bytes, int]:
    """The beginning of a file, and its size; BadTensorFile where there is no file to be read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadTensorFile("is a folder; wanted a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise BadTensorFile("is a pipe or a device; wanted a file")
        if not status.st_size:
            raise Damaged("is empty (0 bytes)")
        with path.open("rb") as file:
            return file.read(512), status.st_size
    except FileNotFoundError as error:
        raise BadTensorFile("does not exist") from error
    except (OSError, ValueError) as error:  # of links in a circle, of a NUL in the name
        if isinstance(error, BadTensorFile):
            raise
        raise BadTensorFile(
            f"cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def read_archive(path: Path, mapped: bool = False) -> Any:
    """Of a zip archive that torch wrote; `mapped` leaves the values on disk until they are used."""
    records = sound_records(path)
    content = _loaded(path, mapped)
    # torch believes what the archive says of a tensor's length, beyond the bytes there are.
    beyond = Counter(_storage_sizes(content)) - Counter([*records, 0])
    if beyond and not mapped:
        raise BadTensorFile(f"speaks of a tensor of {max(beyond):,} bytes that is not in it")
    require_room(content, path.stat().st_size)
    return content


def sound_records(path: Path) -> list[int]:
    """The sizes of an archive's tensors, once every checksum in it was compared."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if any(each.compress_type != zipfile.ZIP_STORED for each in members):
                raise BadTensorFile("is a packed zip archive, which torch never writes; unpack it")
            if sum(each.file_size for each in members) > size:
                raise Damaged(f"is damaged: its parts are larger than its {size:,} bytes")
            if damaged := archive.testzip():
                raise Damaged(f"is damaged: {short(damaged)} has another checksum")
            named = {each.filename.partition("/")[2] or each.filename: each for each in members}
            if "data.pkl" not in named:
                raise BadTensorFile(kind_of_archive(named))
            _require_plain(archive.read(named["data.pkl"]), named["data.pkl"].file_size)
            order = named.get("byteorder")
            if order and archive.read(order).decode("ascii", "replace") != sys.byteorder:
                raise BadTensorFile("was written on a machine that orders bytes the other way")
    except BadTensorFile:
        raise
    except NO_ARCHIVE as error:
        raise Damaged(f"is cut short or no archive of tensors ({size / 1e6:.1f} MB)") from error
    return [each.file_size for name, each in named.items() if name.startswith("data/")]


def tensors_in(content: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts and lists, with its path, its parts joined by dots."""
    if isinstance(content, Tensor):
        yield name, content
    elif depth < 12 and isinstance(content, Mapping):
        for key, value in content.items():
            yield from tensors_in(value, f"{name}.{key}" if name else str(key), depth + 1)
    elif depth < 12 and isinstance(content, list | tuple):
        for at, value in enumerate(content):
            yield from tensors_in(value, f"{name}.{at}" if name else str(at), depth + 1)


def bad_values(named: Mapping[str, Tensor]) -> str | None:
    """Which of the tensors hold NaN or infinity, or that all of them are zero; None if neither."""
    wrong, zero = [], True
    for name, tensor in named.items():
        if not tensor.is_floating_point() or tensor.device.type == "meta":
            continue
        if not (tensor.numel() == 0 or bool(tensor.isfinite().all())):
            wrong.append(f"{name} ({'NaN' if tensor.isnan().any() else 'infinite'})")
        zero = zero and not tensor.any()
    if wrong:
        return f"numbers that are not finite in {len(wrong)} of {len(named)} tensors: {some(wrong)}"
    return f"zeros alone in all {len(named)} tensors" if zero and named else None


def some(names: list[str], most: int = MOST_NAMED) -> str:
    """The first few, and how many more there are; each of a length that can be read."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(short, names[:most])) + more


def short(name: str) -> str:
    plain = "".join(sign if sign.isprintable() else "?" for sign in name)
    return plain if len(plain) <= 80 else f"{plain[:77]}…"


def require_room(content: object, size: int) -> None:
    """No tensor larger than its file; BadTensorFile names the first that is."""
    for name, tensor in tensors_in(content):
        needed = tensor.numel() * tensor.element_size()
        if needed > max(size, SMALL):
            shape = "×".join(map(str, tensor.shape))
            raise BadTensorFile(
                f"says that {short(name)} is {shape}, which takes {needed / 1e9:,.1f} GB; the "
                f"file has {size / 1e9:.1f}"
            )


def _storage_sizes(content: object) -> list[int]:
    """In bytes, of each storage once: several tensors may share one."""
    sizes = {}
    for _, tensor in tensors_in(content):
        if tensor.layout == torch.strided and tensor.device.type != "meta":
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return list(sizes.values())


def _loaded(path: Path, mapped: bool = False) -> Any:
    try:
        # Training scripts such as timm's keep their arguments beside the weights.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")  # of the form of the pickle
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except MemoryError as error:
        raise BadTensorFile("speaks of more than this machine has memory for") from error
    except Exception as error:  # torch's readers raise whatever their parts raise
        raise BadTensorFile(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    """What torch named, in our words: its own advise to read the file as code."""
    if named := re.search(r"GLOBAL ([\w.]+)", str(error)):
        return f"holds more than tensors and plain values ({short(named[1])}), which {NO_CODE}"
    return "is cut short, damaged, or no file of tensors"


def _require_plain(pickled: bytes, size: int) -> None:
    if size > MOST_PICKLED:
        raise BadTensorFile(f"has {size:,} bytes of structure, which is no file of tensors")
    if b"\nbytearray\n" in pickled:  # of any size, from a few bytes
        raise BadTensorFile("holds more than tensors and plain values (bytearray); it is not read")


def _read_old(path: Path, size: int) -> Any:
    """torch's form before version 1.6, a few pickles one after the other."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
    ):
        if view.find(b"\nbytearray\n") >= 0:
            _require_plain(b"\nbytearray\n", size)
    content = _loaded(path)
    require_room(content, size)
    return content


def _is_safetensors(head: bytes, size: int) -> bool:
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return not head.startswith((b"{", b"<", b"version"))


def require_header(path: Path, size: int) -> None:
    """Damaged where the header of a safetensors file is, or promises more than there is."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size - 8 or length > MOST_HEADER:
                raise Damaged(
                    f"is cut short or damaged: its header would have {length:,} bytes, and the "
                    f"file has {size:,}; fetch it again"
                )
            header = json.loads(file.read(length))
        ends = [int(each["data_offsets"][1]) for name, each in header.items() if name[:2] != "__"]
    except NO_HEADER as error:
        if isinstance(error, Damaged):
            raise
        raise Damaged("has a damaged header; fetch it again") from error
    wanted = 8 + length + max(ends, default=0)
    if wanted > size:
        raise Damaged(
            f"is half-read: its header promises {wanted:,} bytes and {size:,} are there; "
            "fetch it again"
        )


def _read_safetensors(path: Path, size: int) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require_header(path, size)
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, OSError) as error:
        raise Damaged("is damaged: its header and its tensors disagree") from error
