"""The batch whose loss was no number, kept for whoever wants to look at it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from vit.data.core.samples import SampleData
from vit.data.core.sampling import Key

SCHEMA_VERSION = 1
NAMED = 4  # images in the message
log = logging.getLogger("vit")


class BadBatches:
    """Writes a batch of training images to a file, as they were in that epoch.

    Pixels follow from seed, epoch and sample, so the batch is made again and none has to be held
    on to; mixup and cutmix come after it. The file holds tensors and plain values only: `images`
    [batch, channels, height, width], `index`, the targets (`targets`, or of objects `labels`,
    `boxes_cxcywh`, `counts`), `names`, `step`, `epoch`.
    """

    def __init__(self, data: SampleData, file: Path):
        self._data = data
        self._file = file

    def __call__(self, step: int, epoch: int, samples: list[int]) -> str:
        """What to say of it; a batch that cannot be kept is no second failure."""
        names = [self._data.sample_name("train", sample) for sample in samples]
        images = f"These are {', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
        try:
            dataset = self._data.dataset("train", training=True)
            batch = dataset.__getitems__([Key(epoch, sample) for sample in samples])
            kept = {
                "schema_version": SCHEMA_VERSION,
                "step": step,
                "epoch": epoch,
                "names": names,
                **batch.as_plain(),
            }
            torch.save(kept, self._file)
        except Exception:
            log.exception("the batch could not be kept")
            return f"{images}. "
        return f"{images}; the batch is kept in {self._file}. "
