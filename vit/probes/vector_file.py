"""Vectors in a file for other tools: safetensors, or NumPy's .npz, by the ending of its name.

Arrays of each split: `test_features` float32 [samples, dim], `test_labels` (class numbers, or rows
of zeros and ones), `test_index` (place in the split) and `test_ids`, the samples' names: in .npz an
array of texts, in safetensors UTF-8 bytes with a zero byte between two names. What is known of the
vectors (source, pool, class names, …) is JSON: in safetensors the header's `about`, in .npz the
text `about`. Nothing in either is a pickle.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from vit.runs.writing import readable_as_usual


@dataclass
class Table:
    """Vectors of several samples and what they are called; `labels` and `index` where known."""

    features: Tensor
    ids: Sequence[str]
    labels: Tensor | None = None
    index: Tensor | None = None


def write_vectors(path: Path, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    """All of it or nothing. `tables` are by split; of the split "" names stand alone."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if path.suffix == ".npz":
            _write_npz(staged, tables, about)
        else:
            _write_safetensors(staged, tables, about)
        readable_as_usual(staged)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def _write_npz(path: Path, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    arrays: dict[str, Any] = {name: each.numpy() for name, each in _tensors(tables).items()}
    for split, table in tables.items():
        arrays[_named(split, "ids")] = np.array(list(table.ids), dtype=np.str_)
    with path.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)


def _write_safetensors(path: Path, tables: Mapping[str, Table], about: Mapping[str, Any]) -> None:
    tensors = _tensors(tables)
    for split, table in tables.items():
        names = b"\0".join(each.encode("utf-8", "surrogateescape") for each in table.ids)
        tensors[_named(split, "ids")] = torch.frombuffer(bytearray(names), dtype=torch.uint8)
    save_file(tensors, path, {"about": json.dumps(about), "format": "pt"})


def _tensors(tables: Mapping[str, Table]) -> dict[str, Tensor]:
    found = {}
    for split, table in tables.items():
        for name in ("features", "labels", "index"):
            values = getattr(table, name)
            if values is not None:
                found[_named(split, name)] = values.cpu().contiguous()
    return found


def _named(split: str, name: str) -> str:
    return f"{split}_{name}" if split else name
