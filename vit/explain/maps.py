"""The maps of one image: attention layer by layer, rollout, relevance, and of each detection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.ops import masks_to_boxes

from vit.explain.record import Look, Recording, recorded
from vit.explain.relevance import Relevance, relevance, rollout
from vit.faults import Fault, Refused
from vit.models.heads.detr import DetrHead
from vit.models.heads.masks import MasksHead
from vit.models.heads.tokens import TokensHead
from vit.structures import Detections, Grid, Stage

MOST_DETECTIONS = 12


@dataclass
class Seen:
    """Of one image; maps have one value a patch, row-major over `grid`.

    `layers` are [heads, patches] for each block of the backbone. `relevance` is None where the
    rules say nothing: heads between which and the backbone lies a neck, and maps of classes.
    `detections` are None where the model answers no boxes.
    """

    grid: Grid
    layers: list[Float[Tensor, "heads patches"]]
    rollout: Float[Tensor, " patches"]
    relevance: Float[Tensor, " patches"] | None = None
    label: int | None = None
    scores: Float[Tensor, " classes"] | None = None
    detections: list[Looked] | None = None


@dataclass
class Looked:
    """Of one detection: the maps by name, or the places it read and their weights."""

    label: int
    score: float
    box_cxcywh: list[float]  # fractions of what the model saw
    maps: dict[str, Float[Tensor, "rows cols"]] = field(default_factory=dict)
    places: Float[Tensor, "points 2"] | None = None
    weights: Float[Tensor, " points"] | None = None


def seen_by(
    model: Any,
    image: Float[Tensor, "channels height width"],
    *,
    label: int | None = None,
    threshold: float = 0.3,
    binary: bool = False,
) -> Seen:
    """`label` is the class that relevance is asked for; the likeliest by default.

    Raises Refused where the model has no attention among the patches of an image.
    """
    grid = model.backbone.grid(*image.shape[-2:])
    patches = grid.rows * grid.cols
    try:
        with recorded(model) as recording, torch.enable_grad():
            answer = model(image[None])
    except ValueError as error:
        raise Refused([Fault("model", str(error))]) from error
    if not recording.backbone or recording.backbone[0].weights.shape[-1] < patches:
        message = (
            "its backbone has no attention among all patches; wanted a vision transformer that is "
            "shown the whole image"
        )
        raise Refused([Fault("model", message)])
    select = _selector(model, recording, patches)
    layers = [select(look.weights[0].detach()) for look in recording.backbone]
    seen = Seen(grid, layers, select(rollout(recording.backbone, patches))[0])
    if isinstance(answer, Tensor):
        logits = answer[0].float()
        seen.scores = (logits.sigmoid() if binary else logits.softmax(-1)).detach()
        seen.label = int(logits.argmax()) if label is None else label
        seen.relevance = _of_class(relevance(recording, logits[seen.label]), select, patches)
    elif isinstance(answer, Detections):
        seen.detections = _detections(model, answer.answer, recording, grid, threshold, label)
    return seen


Select = Callable[[Tensor], Tensor]  # [n, tokens, tokens] → [n, patches]


def _selector(model: Any, recording: Recording, patches: int) -> Select:
    """The rows of those tokens that the answer is read from, as far as they look at patches."""
    pool = getattr(model.head, "pool", None)
    if getattr(pool, "needs_class_token", False):
        return lambda weights: weights[:, 0, -patches:]
    pooling = [look for look in recording.cross if look.name.startswith("head.pool")]
    if pooling:
        row = pooling[-1].weights.detach()[0].mean(0).mean(0)  # of the patches
        return lambda weights: (row @ weights[:, -len(row) :])[:, -patches:]
    return lambda weights: weights[:, -patches:, -patches:].mean(1)


def _of_class(found: Relevance, select: Select, patches: int) -> Tensor:
    if found.cross is not None:
        return found.cross[0].mean(0)[-patches:]
    identity = torch.eye(found.own.shape[-1], device=found.own.device)
    return select(found.own - identity)[0]


def best_queries(stage: Stage, no_object: bool) -> tuple[Float[Tensor, " queries"], Tensor]:
    """Of the first image each query's best score and its class."""
    logits = stage.logits[0].detach().float()
    scores = logits.softmax(-1)[:, :-1] if no_object else logits.sigmoid()
    best = scores.max(-1)
    return best.values, best.indices


def _detections(
    model: Any,
    answer: Stage,
    recording: Recording,
    grid: Grid,
    threshold: float,
    label: int | None,
) -> list[Looked]:
    scores, labels = best_queries(answer, model.head.no_object)
    chosen = scores.argsort(descending=True).tolist()
    chosen = [
        query
        for query in chosen
        if scores[query] >= threshold and label in (None, int(labels[query]))
    ][:MOST_DETECTIONS]
    looked = []
    for query in chosen:
        own = Looked(
            int(labels[query]),
            float(scores[query]),
            box_of(answer, query),
        )
        _look(own, model, recording, query, grid, answer)
        looked.append(own)
    return looked


def box_of(answer: Stage, query: int) -> list[float]:
    """In fractions; of a query that answers by a mask the one around it, at 0 if that is empty."""
    if answer.boxes_cxcywh is not None:
        return answer.boxes_cxcywh[0, query].detach().tolist()
    assert answer.masks is not None
    inside = answer.masks[0, query].detach() > 0
    if not inside.any():
        return [0.0] * 4
    height, width = inside.shape
    first_x, first_y, last_x, last_y = masks_to_boxes(inside[None])[0].tolist()
    left, right = first_x / width, (last_x + 1) / width  # to the pixels' edges
    top, bottom = first_y / height, (last_y + 1) / height
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def _look(
    own: Looked, model: Any, recording: Recording, query: int, grid: Grid, answer: Stage
) -> None:
    patches = grid.rows * grid.cols
    if recording.samplings:
        last = recording.samplings[-1]
        own.places = last.places[0, query].detach().flatten(0, 2)
        own.weights = last.weights[0, query].detach().flatten() / last.weights.shape[2]
        return
    if isinstance(model.head, TokensHead | MasksHead):
        row = model.backbone.num_prefix + query
        joint = recording.backbone
        if isinstance(model.head, MasksHead):  # in the blocks before them there are no queries
            joint = joint[-model.head.joint_blocks :]
        looks = [_row(look, row)[-patches:] for look in joint]
    else:
        row, looks = query, [_row(look, query) for look in recording.cross]
    grids = [grid] if looks[0].numel() == patches else model.head.neck.grids(grid)
    own.maps["last layer"] = _placed(looks[-1], grids)
    own.maps["mean of layers"] = _placed(torch.stack(looks).mean(0), grids)
    if isinstance(model.head, TokensHead | MasksHead | DetrHead):
        target = answer.logits[0, query, own.label]
        found = relevance(recording, target, patches=patches, keep_graph=True)
        of_query = (found.own if found.cross is None else found.cross)[0, row]
        own.maps["relevance"] = of_query[-patches:].unflatten(0, grid)


def _row(look: Look, row: int) -> Tensor:
    return look.weights[0, :, row].detach().mean(0)


def _placed(values: Tensor, grids: list[Grid]) -> Tensor:
    """The maps of all levels as one of the finest grid; a coarse cell's weight is shared out."""
    finest = max(grids, key=lambda grid: grid.rows * grid.cols)
    total = values.new_zeros(finest)
    parts = values.split([grid.rows * grid.cols for grid in grids])
    for grid, part in zip(grids, parts, strict=True):
        share = part.unflatten(0, grid)[None, None] * (grid.rows * grid.cols)
        total = total + torch.nn.functional.interpolate(share, finest)[0, 0] / total.numel()
    return total
