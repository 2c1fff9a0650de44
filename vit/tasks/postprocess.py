"""From what a detector answers to what its metrics count: boxes or masks in original pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchvision.ops import masks_to_boxes

from vit.data.core.bilinear import by_bands
from vit.data.kinds.detection_transforms import Letterbox
from vit.metrics.detection import ImageDetections
from vit.models.detections import decode
from vit.structures import Detections, Stage

HELD_PIXELS = 1 << 25  # of all masks that are whole at once, a byte each; one mask at least


def postprocess(
    detections: Detections,
    model: Any,
    images: Sequence[int],
    frames: Sequence[Letterbox],
    most: int,
) -> ImageDetections:
    """The best answers of each image as the metrics take them; one that is no number is left out.

    Where the head answers with masks and no boxes, a box is that around its mask.
    """
    if detections.answer.boxes_cxcywh is None:
        return _masks_found(detections.answer, images, frames, most)
    scores, labels, boxes = decode(detections.answer, model.head.no_object, most)
    scores, labels, boxes = scores.cpu(), labels.cpu(), boxes.cpu()
    sound = scores.isfinite() & boxes.isfinite().all(-1)
    rows = zip(frames, boxes, sound, strict=True)
    placed = [frame.to_original(own)[kept] for frame, own, kept in rows]
    return ImageDetections(
        image=np.repeat(np.asarray(images), sound.sum(1).numpy()),
        score=scores[sound].numpy(),
        label=labels[sound].numpy(),
        boxes_xyxy=torch.cat(placed).numpy(),
    )


def _masks_found(
    answer: Stage, images: Sequence[int], frames: Sequence[Letterbox], most: int
) -> ImageDetections:
    from faster_coco_eval.core import mask as run_lengths

    parts = []
    for at, (image, frame) in enumerate(zip(images, frames, strict=True)):
        scores, labels, masks = best_masks(answer, at, most)
        height, width = frame.original
        # So many at a time that memory is bounded, a few of a large picture.
        some = max(HELD_PIXELS // (height * width), 1)
        for start in range(0, max(len(scores), 1), some):
            own = slice(start, start + some)
            whole = picture_masks(masks[own], frame).cpu()
            seen = whole.flatten(1).any(1) & scores[own].isfinite()
            whole, count = whole[seen], int(seen.sum())
            columns = np.asfortranarray(whole.permute(1, 2, 0).numpy(), np.uint8)
            edges = torch.tensor([0.0, 0.0, 1.0, 1.0])  # from the pixels' corners
            parts.append(
                ImageDetections(
                    image=np.full(count, image),
                    score=scores[own][seen].numpy(),
                    label=labels[own][seen].numpy(),
                    boxes_xyxy=(masks_to_boxes(whole) + edges).numpy(),
                    masks=list(run_lengths.encode(columns)),
                )
            )
    return ImageDetections(
        image=np.concatenate([part.image for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        boxes_xyxy=np.concatenate([part.boxes_xyxy for part in parts]),
        masks=[mask for part in parts for mask in part.masks],
    )


def picture_masks(masks: Float[Tensor, "n rows cols"], frame: Letterbox) -> Bool[Tensor, "n h w"]:
    """Where in the picture each mask is, from its logits over the model's image."""
    if not len(masks):
        return torch.zeros(0, *frame.original, dtype=torch.bool, device=masks.device)
    height, width = frame.original
    return by_bands(
        height,
        width * len(masks),
        lambda first, last: frame.rows_to_original(masks, first, last) > 0,
    )


def best_masks(answer: Stage, image: int, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, labels (on the CPU) and mask logits of an image's best pairs of query and class.

    A score is the class's probability times the mean of the mask's own where it is above a half,
    as in Cheng et al. 2022 (Mask2Former), arXiv:2112.01527.
    """
    assert answer.masks is not None
    masks, chances = answer.masks[image].float(), answer.logits[image].float().softmax(-1)[:, :-1]
    inside = (masks > 0).float()
    sure = (masks.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
    ranked = (chances * sure[:, None]).flatten()
    scores, pairs = ranked.topk(min(most, len(ranked)))
    queries = torch.div(pairs, chances.shape[1], rounding_mode="floor")
    return scores.cpu(), (pairs % chances.shape[1]).cpu(), masks[queries]
