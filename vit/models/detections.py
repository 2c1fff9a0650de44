"""From what queries say to scored boxes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vit.structures import Stage


def decode(
    stage: Stage, no_object: bool, top: int
) -> tuple[
    Float[Tensor, "batch top"],
    Int[Tensor, "batch top"],
    Float[Tensor, "batch top 4"],
]:
    """Scores in [0, 1], labels and `boxes_cxcywh` of the `top` best answers per image, best first.

    Where classes answer for themselves (`no_object` false) a query may answer with several
    classes, each with its probability; where they share a softmax with "no object", each query
    answers with its likeliest class. There are fewer than `top` where there are no more answers.
    Boxes are in the unit of the stage's.

    Raises ValueError for a stage without boxes.
    """
    if stage.boxes_cxcywh is None:
        raise ValueError(
            "these detections have no boxes; wanted those of a head that answers with boxes, "
            "such as head=deformable."
        )
    logits = stage.logits.float()
    if no_object:
        scores, labels = logits.softmax(-1)[..., :-1].max(-1)  # [batch, queries]
        scores, queries = scores.topk(min(top, scores.shape[1]), dim=1)
        labels = labels.gather(1, queries)
    else:
        classes = logits.shape[-1]
        scores = logits.flatten(1)
        scores, answers = scores.topk(min(top, scores.shape[1]), dim=1)
        scores = scores.sigmoid()
        queries = torch.div(answers, classes, rounding_mode="floor")
        labels = answers % classes
    boxes = stage.boxes_cxcywh.float().gather(1, queries[..., None].expand(-1, -1, 4))
    return scores, labels, boxes
