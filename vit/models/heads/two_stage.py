"""Where a decoder should look first: the most promising tokens propose boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit.layers.norm import LayerNorm
from vit.models.heads.parts import class_layer, moved, still_box_mlp
from vit.models.heads.valid_patches import ValidPatches, centres
from vit.models.necks import Level
from vit.structures import Grid

ANCHOR = 0.05  # side of the first guess at the finest level, as a fraction of the image


@dataclass
class Proposals:
    """What the queries start from; boxes in fractions of the real image.

    `logits` and `boxes_cxcywh` are what the chosen tokens say, and are trained; `content` and
    `references_cxcywh` start the queries. In training the groups lie one after the other.
    """

    logits: Float[Tensor, "batch queries classes"]
    boxes_cxcywh: Float[Tensor, "batch queries 4"]
    content: Float[Tensor, "batch queries width"]
    references_cxcywh: Float[Tensor, "batch queries 4"]


class TwoStage(nn.Module):
    """Each token guesses classes and a box; the best `num_queries` give a query its place.

    What a query knows is learned and the same for all images; only its box comes from the token
    (mixed selection), through which no gradient flows. Where there are fewer tokens than queries,
    there are as many queries as tokens. Tokens of padding, and those within 1% of the edge, are
    chosen last. In training, `groups` choosers each start queries of their own; in evaluation
    only the first does.

    Sources: Zhang et al. 2022 (DINO), arXiv:2203.03605; groups: Chen et al. 2022 (Group DETR),
    arXiv:2207.13085.
    """

    def __init__(self, width: int, num_classes: int, num_queries: int, groups: int):
        super().__init__()
        self.num_queries, self.groups = num_queries, groups
        self.choosers = nn.ModuleList(_Chooser(width, num_classes) for _ in range(groups))
        self.content = nn.Parameter(torch.empty(groups, num_queries, width))
        self.change = nn.Parameter(torch.zeros(groups, num_queries, 4))
        nn.init.normal_(self.content)

    def forward(self, levels: Sequence[Level], frame: ValidPatches) -> Proposals:
        tokens = torch.cat([level.tokens for level in levels], dim=1)
        anchors, usable = _anchors(levels, frame)
        anchors = anchors.expand(len(tokens), -1, -1)
        count = self.count(tokens.shape[1])
        active = self.active_groups
        chosen = [chooser(tokens, anchors, usable, count) for chooser in self.choosers[:active]]
        logits, boxes = (torch.cat(parts, dim=1) for parts in zip(*chosen, strict=True))
        content = self.content[:active, :count].flatten(0, 1)
        change = self.change[:active, :count].flatten(0, 1)
        return Proposals(
            logits,
            boxes,
            content.expand(len(tokens), -1, -1),
            moved(boxes.detach(), change.expand(len(tokens), -1, -1)),
        )

    @property
    def active_groups(self) -> int:
        return self.groups if self.training else 1

    def count(self, tokens: int) -> int:
        """How many queries a group has for an image of so many tokens."""
        return min(self.num_queries, tokens)

    def flops(self, tokens: int) -> int:
        """Of one forward pass for one image; of all groups while in training."""
        count = self.count(tokens)
        choosers = list(self.choosers)[: self.active_groups]
        return sum(chooser.flops(tokens, count) for chooser in choosers)  # type: ignore[operator]


class _Chooser(nn.Module):
    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = LayerNorm(width, eps=1e-5)
        self.classes = class_layer(width, num_classes)
        self.boxes = still_box_mlp(width)

    def forward(
        self, tokens: Tensor, anchors: Tensor, usable: Tensor, count: int
    ) -> tuple[Tensor, Tensor]:
        """Logits and boxes of the `count` most promising tokens, the best first."""
        x = self.norm(self.linear(tokens))
        logits = self.classes(x)
        promise = logits.detach().float().amax(-1).masked_fill(~usable, float("-inf"))
        best = promise.topk(count, dim=1).indices[..., None]  # [batch, count, 1]
        # Boxes of the chosen alone: the others' would go nowhere.
        x = x.gather(1, best.expand(-1, -1, x.shape[-1]))
        boxes = moved(anchors.gather(1, best.expand(-1, -1, 4)), self.boxes(x))
        return logits.gather(1, best.expand(-1, -1, logits.shape[-1])), boxes

    def flops(self, tokens: int, count: int) -> int:
        every = self.linear.weight.numel() + self.classes.weight.numel()
        return 2 * tokens * every + self.boxes.flops(count)


def _anchors(levels: Sequence[Level], frame: ValidPatches) -> tuple[Tensor, Tensor]:
    """A first box for every token of all levels, and which of them may be chosen.

    Sizes double from level to level. Both have 1 for the batch where nothing was padded.
    """
    boxes = []
    for number, level in enumerate(levels):
        middle = frame.inward(centres(level.grid, level.tokens.device))
        side = torch.full_like(middle, ANCHOR * 2**number)
        boxes.append(torch.cat([middle, side], dim=-1))
    anchors = torch.cat(boxes, dim=1)
    # In fractions of the real image, padding lies outside of [0, 1].
    return anchors, ((anchors[..., :2] > 0.01) & (anchors[..., :2] < 0.99)).all(-1)


def token_count(grids: Sequence[Grid]) -> int:
    return sum(grid.rows * grid.cols for grid in grids)
