"""What a run looks at, drawn by the run itself once it has been trained."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Trainer

from vit.callbacks.pictures import image_loggers
from vit.data.core.images import BadImage
from vit.data.core.samples import SampleData
from vit.data.core.sources import FileSource
from vit.data.kinds.classification import ClassificationData
from vit.data.kinds.detection import DetectionData
from vit.data.kinds.segmentation import SegmentationData
from vit.explain.attend import Given, chosen_layers, digest, looked_at
from vit.explain.files import write
from vit.faults import Refused
from vit.tasks.mistakes import beside
from vit.trained import load

FOLDER = "attend/val"  # `vit attend` writes one above, and leaves these alone
GOLDEN = (5**0.5 - 1) / 2
Pictured = ClassificationData | DetectionData | SegmentationData
LOGGED = {
    "val/attention": ("image", "rollout", "relevance"),  # the last of classes alone
    "val/features": ("image", "features"),
}
log = logging.getLogger("vit")


def look_back(
    run_dir: Path, data: SampleData, most: int, trainer: Trainer, allow_targets: tuple[str, ...]
) -> None:
    """Writes what `vit attend` would of a few images of val, and logs them as pictures.

    The weights are those of the selected checkpoint, read into a model of its own, so that neither
    compilation nor sharding nor another process has a part in it. The tracker gets
    `val/attention` (the image, rollout, and relevance where there is some) and `val/features`
    (the image, and its features as colours). Deletion and insertion are left to `vit attend`.

    A training has ended well when this is called: what goes wrong here is said and not raised.
    """
    if not most or not isinstance(data, Pictured):  # texts, and images with texts
        return
    place = trainer.strategy.root_device
    try:
        given = examples(data, most)
        if not given:
            return
        trained = load(
            run_dir,
            device=str(place) if place.type == "cuda" else "cpu",  # features need float64
            allow_targets=allow_targets,
        )
        rows = chosen_layers([], trained.model)
        content, drawn = looked_at(trained, given, rows, areas=False)
        write(run_dir / FOLDER, {"run": str(run_dir), **content}, drawn)
        _log(trainer, content["images"], drawn)
    except (Refused, OSError, torch.OutOfMemoryError) as error:
        log.warning("no pictures of what it looks at: %s", error)


def _log(trainer: Trainer, rows: list[dict[str, Any]], drawn: list[dict[str, Image.Image]]) -> None:
    for key, kinds in LOGGED.items():
        images, words = [], []
        for row, own in zip(rows, drawn, strict=True):
            there = [kind for kind in kinds if kind in own]
            images.append(beside([own[kind] for kind in there]))
            of_class = f" for {row['class']}" if "relevance" in there else ""
            words.append(f"{row['path']}: {', '.join(there)}{of_class}")
        for logger in image_loggers(trainer):
            logger.log_image(key, images, step=trainer.global_step, caption=words)


def examples(data: Pictured, most: int) -> list[Given]:
    """Images of val, the same for all runs of the data whatever their seed.

    They lie far apart, since files come class by class, and the first of more are the fewer. One
    that cannot be read is left out, which is said.
    """
    length = data.lengths["val"]
    places = dict.fromkeys(int(number * GOLDEN % 1 * length) for number in range(1, most + 1))
    name, members = data.splits["val"]
    source = data.contents.sources[name]
    given = []
    for place in places:
        try:
            picture = data.picture("val", place)
        except BadImage as error:
            log.info("left out of the pictures of what it looks at: %s", error)
            continue
        if isinstance(source, FileSource):  # as `vit attend` knows it
            content = digest(source.path(int(members[place])))
        else:
            size = f"{picture.width} {picture.height} ".encode()
            content = hashlib.sha256(size + picture.tobytes()).hexdigest()
        given.append(Given(data.sample_name("val", place), content, picture))
    return given
