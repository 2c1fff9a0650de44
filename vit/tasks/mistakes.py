"""What evaluations got most wrong, as pictures with words."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from vit.data.kinds.pixel_labels import resized
from vit.metrics.detection import DetectionMetrics
from vit.metrics.hits import NOTHING, Hits, Truth, matched, truth_by_image
from vit.metrics.worst import Worst
from vit.pictures.drawing import annotated, colour, coloured
from vit.runs.mistake_gallery import GAP, LARGEST, Album, Mistake
from vit.runs.predictions import Predictions
from vit.structures import IGNORED

Picture = Callable[[str, int], Image.Image]
Name = Callable[[str, int], str]
TrueLabels = Callable[[str, int], np.ndarray]  # the class of each pixel, [height, width]
RIGHT, FALSE, MISSED = (46, 158, 107), (224, 58, 46), (245, 178, 20)  # colours of boxes
MOST_LEGEND = 24  # classes


def of_classes(
    found: Predictions, names: Sequence[str], split: str, picture: Picture, name: Name, most: int
) -> Album:
    """The images whose wrong class the model was surest of."""
    album = []
    for row in found.mistakes(most):
        index = int(found.index[row])
        true, predicted = names[int(found.target[row])], names[int(found.predicted[row])]
        words = f"{true} taken for {predicted}, {float(found.confidence[row]):.1%} sure"
        album.append(Mistake(picture(split, index), words, name(split, index)))
    return Album(album)


def of_objects(
    metrics: DetectionMetrics,
    truth: Mapping[str, Any],
    split: str,
    picture: Picture,
    name: Name,
    most: int,
) -> Album:
    """The images with the most false and missed boxes at an IoU of 0.5.

    An answer counts from the score on at which its class has its best F1 on this split.
    """
    least = np.array(metrics.best_scores())
    there = truth_by_image(truth)
    ranked = []
    for image, found in metrics.by_image():
        own = there.get(image, NOTHING)
        kept = np.flatnonzero(found.score >= least[found.label])
        boxes, scores, labels = found.boxes_xyxy[kept], found.score[kept], found.label[kept]
        hits = matched(boxes, scores, labels, own)
        if wrong := hits.mistakes(own):
            ranked.append((-wrong, image, boxes, scores, labels, hits, own))
    ranked.sort(key=lambda row: row[:2])
    album = []
    for _, image, boxes, scores, labels, hits, own in ranked[:most]:
        drawn = _drawn(picture(split, image), metrics.class_names, boxes, scores, labels, hits, own)
        missed, false = len(hits.missed(own)), len(hits.false())
        words = f"{missed} missed and {false} false, {int(hits.found.sum())} found"
        album.append(Mistake(drawn, words, name(split, image)))
    legend = (("found", RIGHT), ("false", FALSE), ("missed", MISSED))
    return Album(album, [(words, _hex(rgb)) for words, rgb in legend])


def _drawn(
    picture: Image.Image,
    names: Sequence[str],
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    hits: Hits,
    truth: Truth,
) -> Image.Image:
    shown = [
        (boxes[at], RIGHT if hits.hit[at] else FALSE, f"{names[labels[at]]} {scores[at]:.0%}")
        for at in np.flatnonzero(~hits.in_crowd)
    ]
    shown += [
        (truth.boxes_xyxy[at], MISSED, f"{names[truth.label[at]]}?") for at in hits.missed(truth)
    ]
    return annotated(
        picture,
        torch.tensor(np.array([row[0] for row in shown], np.float32).reshape(-1, 4)),
        words=[row[2] for row in shown],
        colours=[row[1] for row in shown],
    )


def keep_worst(
    worst: Worst,
    predicted: Sequence[UInt8[Tensor, "_ _"]],
    published: Sequence[UInt8[Tensor, "_ _"]],
    index: Sequence[int],
) -> None:
    """Adds the pictures of a batch by the share of their pixels that got a wrong class.

    Waits for the device once. The answers to the worst are kept packed, on the host.
    """
    shares = []
    for answer, labels in zip(predicted, published, strict=True):
        counts = labels != IGNORED
        wrong = (answer != labels) & counts
        shares.append(wrong.sum() / counts.sum().clamp(min=1))
    scores = torch.stack(shares).tolist()
    worst.update(
        scores, index, lambda row: zlib.compress(predicted[row].cpu().numpy().tobytes(), level=1)
    )


def of_pixels(
    worst: Worst,
    names: Sequence[str],
    split: str,
    picture: Picture,
    published: TrueLabels,
    name: Name,
    most: int,
) -> Album:
    """The pictures with the largest share of wrong pixels: picture, truth, answer.

    Each at the picture's own size, up to what an album keeps.
    """
    album, present = [], set()
    for share, index, packed in worst.rows[:most]:
        if share <= 0:
            continue
        labels = torch.from_numpy(published(split, index))
        answer = torch.frombuffer(bytearray(zlib.decompress(packed)), dtype=torch.uint8)
        maps = [labels, answer.view(labels.shape).where(labels != IGNORED, IGNORED)]
        shown = picture(split, index)
        shown.thumbnail((LARGEST, LARGEST))
        maps = [resized(each, shown.height, shown.width) for each in maps]
        present |= {number for each in maps for number in each.unique().tolist()}
        sheet = beside([shown, *(coloured(shown, each) for each in maps)])
        words = f"{share:.1%} of the pixels wrong (image, truth, prediction)"
        album.append(Mistake(sheet, words, name(split, index), across=1 + len(maps)))
    shown_classes = sorted(present - {IGNORED})[:MOST_LEGEND]
    return Album(album, [(names[number], _hex(colour(number))) for number in shown_classes])


def beside(pictures: Sequence[Image.Image], gap: int = GAP) -> Image.Image:
    """Pictures of one size in a row."""
    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap) - gap, height), "white")
    for place, picture in enumerate(pictures):
        row.paste(picture, (place * (width + gap), 0))
    return row


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in rgb)
