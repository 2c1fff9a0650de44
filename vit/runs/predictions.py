"""What a run said of each sample of a split: predictions-SPLIT.npz in its folder.

Arrays, one entry a sample in the order of the split: `index` (position in the split), `target`,
`predicted` (numbers of classes), `confidence`; and `schema_version`, `split` and `samples`, a hash
of the samples' names. Nothing in it is a pickle.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vit.faults import Refused
from vit.runs.files import reading

VERSION = 1
MOST_BYTES = 1 << 30  # unpacked: some fifty million samples
# What NumPy and the modules it reads with raise for bytes that are no arrays, or no longer any.
BROKEN_ARRAYS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    IndexError,
    OverflowError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class Predictions:
    """One label a sample; `samples` is the same where the samples have the same names."""

    index: np.ndarray
    target: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray  # probability of the predicted class
    samples: str = ""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def right(self) -> np.ndarray:
        return self.target == self.predicted

    def mistakes(self, most: int) -> np.ndarray:
        """Rows that are wrong, the most confident first; of equal ones the first of the split."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")][:most]


def hash_of_names(names: Iterable[str]) -> str:
    digest = hashlib.sha1()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def predictions_file(run_dir: Path, split: str) -> Path:
    return run_dir / f"predictions-{split}.npz"


def write_predictions(run_dir: Path, split: str, predictions: Predictions) -> Path:
    """All of it or nothing, as every file of a run."""
    path = predictions_file(run_dir, split)
    staged = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with staged.open("wb") as file:
            np.savez_compressed(
                file,
                schema_version=np.int64(VERSION),
                split=np.array(split),
                samples=np.array(predictions.samples),
                index=predictions.index.astype(np.int32),
                target=predictions.target.astype(np.int32),
                predicted=predictions.predicted.astype(np.int32),
                confidence=predictions.confidence.astype(np.float32),
            )
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise
    return path


def unpacked(file: np.lib.npyio.NpzFile) -> int:
    """The bytes that the arrays of an .npz file will take: a small file may unpack without end."""
    assert file.zip is not None
    return sum(part.file_size for part in file.zip.infolist())


def read_predictions(run_dir: Path, split: str) -> Predictions | None:
    """None where there are none, or none that this version can read."""
    columns = ("index", "target", "predicted", "confidence")
    try:
        # numpy leaves a file open that turns out to be none of its own.
        with (
            reading(predictions_file(run_dir, split), most=MOST_BYTES) as opened,
            np.load(opened, allow_pickle=False) as file,
        ):
            if unpacked(file) > MOST_BYTES:
                return None
            if int(file["schema_version"]) != VERSION or str(file["split"]) != split:
                return None
            index, target, predicted, confidence = (file[name] for name in columns)
            samples = str(file["samples"])
    except (*BROKEN_ARRAYS, Refused):
        return None
    if {each.shape for each in (target, predicted, confidence)} != {(len(index),)}:
        return None
    return Predictions(index, target, predicted, confidence, samples)
