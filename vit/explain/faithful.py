"""Whether a map names the patches that the answer came from.

Source: Petsiuk, Das & Saenko 2018 (RISE), arXiv:1806.07421.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from vit.structures import Grid

STEPS = 32
RANDOM_ORDERS = 5
Score = Callable[[Tensor], Tensor]  # images → probability of the class in question, [batch]


def faithfulness(
    score: Score,
    image: Float[Tensor, "channels height width"],
    grid: Grid,
    maps: dict[str, Float[Tensor, " patches"]],
) -> dict[str, dict]:
    """Of each map, and of the orders `random` and `centre`: curves and the areas below them.

    `deletion` takes the highest patches away first (the data's mean, which is 0 here, replaces
    them): a faithful map has a small area. `insertion` puts them first into a blurred image: a
    faithful map has a large one. Curves run over the share of patches, from 0 to 1.
    """
    count = grid.rows * grid.cols
    orders = {name: [values.argsort(descending=True, stable=True)] for name, values in maps.items()}
    generator = torch.Generator().manual_seed(0)
    orders["random"] = [torch.randperm(count, generator=generator) for _ in range(RANDOM_ORDERS)]
    orders["centre"] = [centre_order(grid)]
    found = {}
    for name, own in orders.items():
        deletion = torch.stack([curve(score, image, grid, order, "deletion") for order in own])
        insertion = torch.stack([curve(score, image, grid, order, "insertion") for order in own])
        curves = {"deletion": deletion.mean(0), "insertion": insertion.mean(0)}
        areas = {f"{kind}_area": area(values) for kind, values in curves.items()}
        found[name] = {**{kind: values.tolist() for kind, values in curves.items()}, **areas}
    return found


def curve(
    score: Score,
    image: Float[Tensor, "channels height width"],
    grid: Grid,
    order: Int[Tensor, " patches"],
    kind: str,
) -> Float[Tensor, " points"]:
    """The score with 0, …, all patches of `order` deleted from the image, or inserted."""
    height, width = image.shape[-2:]
    count = len(order)
    steps = torch.linspace(0, count, min(STEPS, count) + 1).round().long()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(count, device=order.device)
    done = rank[None].cpu() < steps[:, None]  # [points, patches]
    done = done.view(-1, 1, grid.rows, 1, grid.cols, 1)
    block = (height // grid.rows, width // grid.cols)
    done = done.expand(-1, -1, -1, block[0], -1, block[1]).reshape(-1, 1, height, width)
    done = done.to(image.device)
    if kind == "deletion":
        images = torch.where(done, torch.zeros_like(image), image)
    else:
        images = torch.where(done, image, blurred(image))
    with torch.no_grad():
        return score(images).cpu()


def blurred(image: Float[Tensor, "channels height width"]) -> Tensor:
    """Without what a patch would tell: a Gaussian of an eighth of the shorter side."""
    side = min(image.shape[-2:])
    sigma = side / 8
    reach = max(1, min(int(2 * sigma), side - 1))
    return gaussian_blur(image, [2 * reach + 1, 2 * reach + 1], [sigma, sigma])


def area(values: Float[Tensor, " points"]) -> float:
    """Below the curve over [0, 1], by trapezoids."""
    return float(torch.trapezoid(values, dx=1 / (len(values) - 1)))


def centre_order(grid: Grid) -> Int[Tensor, " patches"]:
    """The patches by their distance from the middle, the nearest first."""
    rows = (torch.arange(grid.rows) + 0.5) / grid.rows - 0.5
    cols = (torch.arange(grid.cols) + 0.5) / grid.cols - 0.5
    return (rows[:, None] ** 2 + cols**2).flatten().argsort(stable=True)
