"""Losses and costs of masks, at points rather than at every pixel.

Masks are logits on a grid of the head's choice, objects' masks true and false on another; points
are (x, y) as fractions of width and height, so that neither is resized. They are drawn from a
generator that is handed in: a run that is resumed draws those that it would have drawn.

Source: Cheng et al. 2022 (Mask2Former), arXiv:2112.01527, section 3.3; the choice of points,
Kirillov et al. 2020, arXiv:1912.08193.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

NUM_POINTS = 12544  # 112², as in the source; never more than the objects' masks have pixels
OVERSAMPLE = 3.0  # times as many points are drawn, of which the least sure are kept
IMPORTANCE = 0.75  # the share of points that is chosen so


def mask_losses(
    logits: Float[Tensor, "masks rows cols"],
    targets: Bool[Tensor, "masks height width"],
    generator: torch.Generator,
    num_points: int = NUM_POINTS,
) -> tuple[Float[Tensor, " masks"], Float[Tensor, " masks"]]:
    """Binary cross-entropy and dice loss of each mask, over points where it is least sure."""
    logits = logits.float()
    with torch.no_grad():
        points = uncertain_points(logits, affordable(num_points, targets), generator)
        wanted = at_points(targets[:, None].float(), points)[:, 0]
    found = at_points(logits[:, None], points)[:, 0]
    cross_entropy = F.binary_cross_entropy_with_logits(found, wanted, reduction="none").mean(1)
    score = found.sigmoid()
    both, each = (score * wanted).sum(1), score.sum(1) + wanted.sum(1)
    return cross_entropy, 1 - (2 * both + 1) / (each + 1)


def mask_costs(
    logits: Float[Tensor, "queries rows cols"],
    targets: Bool[Tensor, "objects height width"],
    points: Float[Tensor, "points 2"],
) -> tuple[Float[Tensor, "queries objects"], Float[Tensor, "queries objects"]]:
    """Binary cross-entropy and dice loss of every mask with every object, at the same points."""
    found = at_points(logits[None].float(), points[None])[0]
    wanted = at_points(targets[None].float(), points[None])[0]
    # softplus(x) − x·t is the cross-entropy of logit x and share t: one product serves all pairs
    cross_entropy = F.softplus(found).mean(1)[:, None] - found @ wanted.T / len(points)
    score = found.sigmoid()
    each = score.sum(1)[:, None] + wanted.sum(1)
    return cross_entropy, 1 - (2 * (score @ wanted.T) + 1) / (each + 1)


def affordable(num_points: int, targets: Bool[Tensor, "masks height width"]) -> int:
    """As many points as were asked for, but no more than the masks have pixels."""
    return min(num_points, targets.shape[1] * targets.shape[2])


def uncertain_points(
    logits: Float[Tensor, "masks rows cols"], num_points: int, generator: torch.Generator
) -> Float[Tensor, "masks points 2"]:
    """Of three times as many random points those with logits nearest 0, for three in four.

    The rest is drawn at random and comes last, so that confident places are seen too.
    """
    drawn = random_points(len(logits), int(num_points * OVERSAMPLE), generator, logits.device)
    unsure = -at_points(logits[:, None], drawn)[:, 0].abs()
    chosen = unsure.topk(int(num_points * IMPORTANCE), dim=1).indices
    points = drawn.gather(1, chosen[..., None].expand(-1, -1, 2))
    rest = num_points - points.shape[1]
    return torch.cat([points, random_points(len(logits), rest, generator, logits.device)], dim=1)


def random_points(
    masks: int, num_points: int, generator: torch.Generator, device: torch.device
) -> Float[Tensor, "masks points 2"]:
    # Where the generator lives, since it draws nowhere else, and not in the weights' precision.
    home, exact = generator.device, torch.float32
    drawn = torch.rand(masks, num_points, 2, generator=generator, device=home, dtype=exact)
    return drawn.to(device)


def generator_or_fixed(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """Without a generator, one that draws the same points each time, and not the global one."""
    return generator or torch.Generator(device).manual_seed(0)


def at_points(
    maps: Float[Tensor, "batch maps rows cols"], points: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch maps points"]:
    """Bilinear values; a point is (x, y) in [0, 1], from the outer edges of the outer pixels.

    Around the map all is 0, as in the source: values fade to half at its edges.
    """
    return F.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False)[..., 0]
