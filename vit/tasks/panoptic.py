"""From queries' masks to one image parted into segments: things and stuff."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.data.core.bilinear import by_bands
from vit.data.kinds.detection_transforms import Letterbox
from vit.structures import PanopticMap, Stage

SURE = 0.8  # least probability of a query's class
MOST_OF_INT16 = torch.iinfo(torch.int16).max
KEPT = 0.8  # least share of a mask that other queries leave to it


def parted(answer: Stage, image: int, frame: Letterbox, is_thing: Sequence[bool]) -> PanopticMap:
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
    masks = answer.masks[image][sure]
    found: list[int] = []
    if not len(scores):
        nothing = torch.zeros(frame.original, dtype=torch.long)
        return PanopticMap(nothing, torch.zeros(0, dtype=torch.long))
    owner, kept = _owners(masks, scores, frame)
    numbers = torch.zeros(len(scores) + 1, dtype=torch.long)  # the last is of pixels of nobody
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
        numbers[query] = number
    return PanopticMap(numbers[owner], torch.tensor(found, dtype=torch.long))


def _owners(
    masks: Float[Tensor, "queries rows cols"], scores: Float[Tensor, " queries"], frame: Letterbox
) -> tuple[Int[Tensor, "height width"], list[bool]]:
    """Whose each pixel of the picture is (`queries` where nobody's), and which queries keep enough
    of their masks; on the CPU.

    In bands of rows, so that memory is that of one map, however many queries there are.
    """
    queries = len(masks)
    # Of each query: pixels won, above a half, and both.
    areas = torch.zeros(3, queries, dtype=torch.long, device=masks.device)

    def of_rows(first: int, last: int) -> Tensor:
        shares = frame.rows_to_original(masks, first, last).sigmoid()
        winner = (scores[:, None, None] * shares).argmax(0)
        above = shares >= 0.5
        held = above.gather(0, winner[None])[0]
        owner = winner.where(held, queries)
        areas[0].add_(_counted(winner, queries + 1)[:-1])
        areas[1].add_(above.sum((1, 2)))
        areas[2].add_(_counted(owner, queries + 1)[:-1])
        # Two bytes a pixel, unless queries are so many that their numbers would overflow.
        return owner.to(torch.int16 if queries <= MOST_OF_INT16 else torch.int32)

    height, width = frame.original
    owner = by_bands(height, width * queries, of_rows)
    counted = areas.cpu()
    enough = (counted > 0).all(0) & (counted[0] > KEPT * counted[1])
    return owner.cpu().long(), enough.tolist()


def _counted(numbers: Int[Tensor, "rows cols"], most: int) -> Int[Tensor, " most"]:
    """How often each number is there, without waiting for the device."""
    one = torch.ones((), dtype=torch.long, device=numbers.device)
    counts = torch.zeros(most, dtype=torch.long, device=numbers.device)
    return counts.index_add_(0, numbers.flatten(), one.expand(numbers.numel()))
