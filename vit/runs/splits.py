"""splits.json: who is in which split of a run; splits.json.gz where there are many.

`splits` has the names of each split's samples, in its order: paths under the data's root, rows of
the files of texts, or numbers in the set, as `named_by` says. `sources` tells which part of the
data each split was cut from.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit.faults import Refused
from vit.gzipped import unpacked
from vit.runs.directory import SCHEMA_VERSION
from vit.runs.files import content

MOST_PLAIN = 100_000  # samples; more are written compressed
NAMED_BY = ("file", "row", "index")


@dataclass(frozen=True)
class Splits:
    """`members` are file names as bytes, or numbers, by split."""

    unit: str
    named_by: str  # file, row or index
    sources: dict[str, str]
    members: dict[str, Any]


def splits_file(run_dir: Path) -> Path:
    return run_dir / "splits.json"


def write_splits(run_dir: Path, splits: Splits) -> Path:
    """All of it or nothing; a million names take about a second."""
    file = splits_file(run_dir)
    head = {
        "schema_version": SCHEMA_VERSION,
        "unit": splits.unit,
        "named_by": splits.named_by,
        "sources": splits.sources,
        "counts": {split: len(names) for split, names in splits.members.items()},
    }
    parts = [f"{json.dumps(name)}: {_listed(names)}" for name, names in splits.members.items()]
    text = f'{json.dumps(head)[:-1]}, "splits": {{{", ".join(parts)}}}}}\n'.encode()
    many = sum(map(len, splits.members.values())) > MOST_PLAIN
    compressed = file.with_name(f"{file.name}.gz")
    target, other = (compressed, file) if many else (file, compressed)
    staged = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        staged.write_bytes(gzip.compress(text, compresslevel=1, mtime=0) if many else text)
        staged.replace(target)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    other.unlink(missing_ok=True)
    return target


def read_splits(run_dir: Path) -> Splits | None:
    """None where a run has none, or none that can be read."""
    file = splits_file(run_dir)
    try:
        try:
            text = content(file, run_dir)
        except FileNotFoundError:
            packed = file.with_name(f"{file.name}.gz")
            text = unpacked(content(packed, run_dir), str(packed))
        listed = json.loads(text)
        if listed["schema_version"] != SCHEMA_VERSION or listed["named_by"] not in NAMED_BY:
            return None
        kind = str if listed["named_by"] == "file" else int
        members = {
            str(split): [os.fsencode(name) if kind is str else name for name in names]
            for split, names in listed["splits"].items()
        }
        if not all(type(name) is kind for names in listed["splits"].values() for name in names):
            return None  # never some of the splits
        sources = {split: str(listed["sources"][split]) for split in members}
        return Splits(str(listed["unit"]), str(listed["named_by"]), sources, members)
    except (Refused, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _listed(names: list[Any]) -> str:
    """As JSON; names of plain letters, which is nearly all, without a look at each."""
    if names and isinstance(names[0], bytes):
        joined = b"\0".join(names)
        if joined.isascii() and not any(mark in joined for mark in MARKED):
            return '["' + joined.decode().replace("\0", '", "') + '"]'
        return json.dumps([os.fsdecode(name) for name in names])
    return json.dumps(names)


# What JSON writes otherwise than it stands: quotes, backslashes and control characters.
MARKED = (b'"', b"\\", *(bytes([code]) for code in range(1, 32)))
