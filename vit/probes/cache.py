"""Vectors on disk, so that the same backbone sees the same data once.

$XDG_CACHE_HOME/vit/features/KEY/SPLIT/ (else ~/.cache) holds a file for each vector, `cls@1` and
so on, and one with labels and places. The key is a hash of the weights and of how the backbone is
built, of the transform, of the data's fingerprint and of those keys of the data that change pixels.
Whatever cannot be read, or cannot be right, is computed anew. Nothing in these files is a pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vit.probes.collecting import Vectors
from vit.probes.vectors import HEAD

VERSION = 1  # of how vectors are made: another one finds none of those before
SAMPLES = "samples"
# Keys of data that change no pixel of a sample and no split: their samples' names, labels and
# number are in the fingerprint.
OF_NO_PIXEL = (
    *("root", "path", "image_root", "cache_dir", "download", "augment", "erasing", "balanced"),
    *("batch_size", "eval_batch_size", "num_workers", "class_weights", "on_bad_image", "seed"),
)


def weights_hash(parts: Mapping[str, nn.Module | None]) -> str:
    """32 hex digits that change with any bit of any tensor, and with their names."""
    digest = hashlib.blake2b(digest_size=16)
    for part, module in parts.items():
        state = {} if module is None else module.state_dict()
        for name, tensor in sorted(state.items()):
            digest.update(f"{part}.{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return digest.hexdigest()


def key_of(
    weights: str,
    built: Mapping[str, Any],
    transform: Any,
    fingerprint: str,
    data: Mapping[str, Any],
) -> str:
    """32 hex digits: the same where every vector is the same, whatever place the data lie in."""
    kept = {key: value for key, value in data.items() if key not in OF_NO_PIXEL}
    whole = [VERSION, weights, built, repr(transform), fingerprint, kept]
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Cache:
    """The folder of one key."""

    folder: Path

    def read(
        self, split: str, names: Iterable[str], length: int, dim: int
    ) -> tuple[Vectors | None, list[str]]:
        """What is there of these vectors, and the names of those that are not.

        Without labels and places in a split of `length` samples nothing counts as there; nor do
        vectors that no pass would have written, such as others than `dim` numbers of a token or a
        mean (a head's pool may have more): the folder may be shared.
        """
        names = list(names)
        samples = self._read(split, SAMPLES) or {}
        labels, index = samples.get("labels"), samples.get("index")
        if labels is None or index is None or not _are_places(index, labels, length):
            return None, names
        found: dict[str, Tensor] = {}
        for name in names:
            vectors = (self._read(split, name) or {}).get("vectors")
            if vectors is not None and _are_vectors(
                vectors, len(index), dim if name != HEAD else None
            ):
                found[name] = vectors
        missing = [name for name in names if name not in found]
        return Vectors(found, labels, index), missing

    def write(self, split: str, vectors: Vectors) -> None:
        """Adds them to what is there; raises OSError as the system does."""
        self._write(split, SAMPLES, {"labels": vectors.labels, "index": vectors.index})
        for name, each in vectors.by_name.items():
            self._write(split, name, {"vectors": each})

    def _read(self, split: str, name: str) -> dict[str, Tensor] | None:
        try:
            return load_file(self._file(split, name))
        except (OSError, SafetensorError, ValueError, KeyError):
            return None

    def _write(self, split: str, name: str, tensors: dict[str, Tensor]) -> None:
        path = self._file(split, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            save_file({key: each.contiguous() for key, each in tensors.items()}, staged)
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise

    def _file(self, split: str, name: str) -> Path:
        return self.folder / split / f"{name}.safetensors"


def _are_places(index: Tensor, labels: Tensor, length: int) -> bool:
    """Whether each is another place of a split of this length, with a label or a row of them."""
    if index.dtype != torch.int64 or index.ndim != 1 or labels.ndim not in (1, 2):
        return False
    if len(labels) != len(index) or not bool(labels.isfinite().all()):
        return False
    inside = bool(((index >= 0) & (index < length)).all())
    return inside and len(index.unique()) == len(index)


def _are_vectors(vectors: Tensor, samples: int, dim: int | None) -> bool:
    if vectors.dtype != torch.float32 or vectors.ndim != 2 or not vectors.shape[1]:
        return False
    if dim is not None and vectors.shape[1] != dim:
        return False
    return len(vectors) == samples and bool(vectors.isfinite().all())
