"""From queries' masks to one image parted into segments: things and stuff."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vit.data.detection_transforms import Frame
from vit.structures import PanopticMap, Stage

SURE = 0.8  # least probability of a query's class
KEPT = 0.8  # least share of a mask that other queries leave to it


def parted(answer: Stage, image: int, frame: Frame, is_thing: Sequence[bool]) -> PanopticMap:
    """The segments of an image of the batch, in pixels of the original picture.

    Sure queries compete for each pixel by class probability times mask; who keeps less than `KEPT`
    of its mask is left out. All that is found of one class of stuff is one segment.

    Source: Cheng et al. 2022 (Mask2Former), arXiv:2112.01527, and Kerssies et al. 2025 (EoMT),
    arXiv:2503.19108, by the thresholds of their code.
    """
    assert answer.masks is not None
    scores, labels = answer.logits[image].float().softmax(-1).max(-1)
    sure = (labels < answer.logits.shape[-1] - 1) & (scores > SURE)
    scores, labels = scores[sure], labels[sure]
    masks = frame.maps_to_original(answer.masks[image][sure]).sigmoid()
    segments = torch.zeros(frame.original, dtype=torch.long)
    found: list[int] = []
    if not len(scores):
        return PanopticMap(segments, torch.zeros(0, dtype=torch.long))
    owner = (scores[:, None, None] * masks).argmax(0)
    kept, own = _kept(owner, masks)
    stuff: dict[int, int] = {}
    for query, label in enumerate(labels.tolist()):
        if not kept[query]:
            continue
        number = stuff.get(label)
        if number is None:
            found.append(label)
            number = len(found)
            if not is_thing[label]:
                stuff[label] = number
        segments[own[query]] = number
    return PanopticMap(segments, torch.tensor(found, dtype=torch.long))


def _kept(owner: Tensor, masks: Tensor) -> tuple[list[bool], Tensor]:
    """Which queries keep enough of their masks, and what each owns; on the CPU."""
    queries = torch.arange(len(masks), device=owner.device)
    won, above = owner == queries[:, None, None], masks >= 0.5
    areas = torch.stack([won.sum((1, 2)), above.sum((1, 2)), (won & above).sum((1, 2))]).cpu()
    enough = (areas > 0).all(0) & (areas[0] > KEPT * areas[1])
    return enough.tolist(), (won & above).cpu()
