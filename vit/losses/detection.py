"""What a detection head is trained by: every stage of its answers against the objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from vit.boxes import cxcywh_to_xyxy, generalized_iou, iou
from vit.losses.masks import NUM_POINTS, generator_or_fixed, mask_losses
from vit.losses.matching import Match, Matcher
from vit.losses.query_classes import SUMS, softmax_cross_entropy
from vit.losses.weights import LossWeights, MatchingCosts, require_weight
from vit.structures import Denoised, Detections, Objects, Stage


class SetCriterion(nn.Module):
    """Matches, then sums the losses of classes, boxes (L1, generalised IoU) and masks over stages.

    Boxes and masks count where the head answers them. Computed in float32 whatever the precision
    of the model. Sums are divided by the number of objects times the groups, averaged over the
    processes and at least 1. The average is taken only where gradients are recorded: in
    evaluation processes may have unlike numbers of batches, and would wait for each other. Every
    answer takes part, also where there is nothing to find, so that no process of several waits
    for gradients that another has not.

    Of noised copies of the objects, where a head answers for any, each positive one is matched
    with its object and the others with none. Their losses, of the same weights, are divided by the
    number of positive copies, that is of objects times groups of copies.

    Args:
        class_loss: a loss of vit/losses/query_classes.py. "cross_entropy" is for heads whose last
            column of logits is "no object", all others for heads with a column a class;
            `require_fit` tells. All but "cross_entropy" and "focal" ask for boxes.
        alpha, gamma: of the class loss, if not its own; "cross_entropy" has neither.
        no_object_weight: of queries without an object, with "cross_entropy" alone.
        weights: of the losses; published with "cross_entropy" of masks is 2 for the class (EoMT).
        costs: of the same in matching.
        num_points: at which a mask is compared; no more than the objects' masks have pixels.

    Raises ValueError for a value out of its range, or alpha or gamma where there is none.

    Source: Carion et al. 2020, arXiv:2005.12872, equation 2; masks as in Cheng et al. 2022,
    arXiv:2112.01527, equation 4.
    """

    def __init__(
        self,
        *,
        class_loss: Literal["ia_bce", "mal", "vfl", "focal", "cross_entropy"] = "ia_bce",
        alpha: float | None = None,
        gamma: float | None = None,
        no_object_weight: float = 0.1,
        weights: LossWeights | None = None,
        costs: MatchingCosts | None = None,
        num_points: int = NUM_POINTS,
    ):
        super().__init__()
        self.class_loss, self.no_object = class_loss, class_loss == "cross_entropy"
        shape = _shape(alpha, gamma, self.no_object)
        self.class_sum = None if self.no_object else partial(SUMS[class_loss], **shape)
        require_weight("no_object_weight", no_object_weight)
        self.no_object_weight, self.num_points = no_object_weight, num_points
        terms = (weights or LossWeights()).by_term()
        self.weights = {f"loss_{name}": weight for name, weight in terms.items()}
        self.matcher = Matcher(
            costs or MatchingCosts(),
            kind="softmax" if self.no_object else "focal",
            num_points=num_points,
        )

    def require_fit(self, no_object: bool) -> None:
        """Raises ValueError unless a head with such a `no_object` answers what is read here."""
        if no_object == self.no_object:
            return
        if no_object:
            shape, change = "have a last column for no object", "class_loss=cross_entropy"
        else:
            shape, change = "have a column a class and no more", "one of " + ", ".join(SUMS)
        raise ValueError(
            f"class_loss={self.class_loss} does not fit a head whose logits {shape}; "
            f"take {change}, or head.no_object={str(self.no_object).lower()}."
        )

    def forward(
        self, detections: Detections, objects: Objects, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """`loss`; its parts that the head answers, of `loss_class`, `loss_box`, `loss_giou`,
        `loss_mask`, `loss_dice`, each summed over the stages and not yet weighed, and the same of
        noised copies, `loss_denoising_class` and so on; and `nonfinite_costs`, a count that is
        above 0 where the model diverges.

        `generator` draws the points of masks, fastest where it lives on the answers' device. It
        draws in the order of images and pairs: other points where a batch is split otherwise.
        Without one the points are the same at every call.
        """
        device = detections.answer.logits.device
        generator = generator_or_fixed(generator, device)
        with torch.autocast(device.type, enabled=False):
            matches, broken = self.matcher.match_all(detections, objects, generator)
            normal = mean_over_ranks(sum(objects.counts) * detections.groups, device).clamp(min=1)
            parts: dict[str, Tensor] = {}
            for stage, match in zip(detections.stages, matches, strict=True):
                _add(parts, self._of_stage(stage, match, objects, normal, generator))
            loss = self._weighted_sum(parts)
            if detections.denoised is not None:
                denoised = self._of_denoised(detections.denoised, objects, generator)
                loss = loss + self._weighted_sum(denoised)
                parts |= {
                    name.replace("loss", "loss_denoising"): part for name, part in denoised.items()
                }
        count = torch.full((), float(broken), device=device)
        return {"loss": loss, **parts, "nonfinite_costs": count}

    def weighed(
        self, losses: Mapping[str, Tensor], detections: Detections, objects: Objects
    ) -> Float[Tensor, "2 2"]:
        """What a batch adds to a loss that does not depend on how images are split into batches.

        Rows: the classes, then boxes and masks; columns: the sum over the batch, and what to
        divide it by. `loss_of` makes a loss of such rows, added up over batches and processes.
        `losses` are what `forward` answered of the same without gradients. Masks are compared at
        points that do depend on the batch.
        """
        count = sum(objects.counts)
        normal = max(count * detections.groups, 1)
        class_normal, class_count = float(normal), float(count * detections.groups)
        if self.no_object:  # a mean over the queries' weights, of which those of objects are 1
            images, queries = detections.answer.logits.shape[:2]
            most = queries // detections.groups
            found = detections.groups * sum(min(each, most) for each in objects.counts)
            class_normal = found + self.no_object_weight * (images * queries - found)
            class_count = class_normal
        parts = {name: self.weights[name] * losses[name] for name in self.weights if name in losses}
        classes = parts.pop("loss_class")
        others = sum(parts.values(), torch.zeros_like(classes))
        means = torch.stack([classes, others]).cpu().double()  # waits for the device but once
        normals = torch.tensor([class_normal, normal], dtype=torch.float64)
        counts = torch.tensor([class_count, count * detections.groups], dtype=torch.float64)
        return torch.stack([means * normals, counts], dim=1)

    def _weighted_sum(self, parts: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()

    def _of_denoised(
        self, denoised: Denoised, objects: Objects, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The copies of all images in one row, those that only fill up left out."""
        device = denoised.stages[0].logits.device
        real = denoised.objects >= 0
        positive, negative = (
            (real & kind).nonzero() for kind in (denoised.positive, ~denoised.positive)
        )
        images, queries = torch.cat([positive, negative]).to(device, non_blocking=True).unbind(1)
        count = len(positive)
        own = denoised.objects[positive[:, 0], positive[:, 1]].to(device, non_blocking=True)
        match = Match(torch.zeros_like(own), torch.arange(count, device=device), own)
        normal = mean_over_ranks(count, device).clamp(min=1)
        parts: dict[str, Tensor] = {}
        for stage in denoised.stages:
            assert stage.boxes_cxcywh is not None
            row = Stage(
                stage.logits[images, queries][None], stage.boxes_cxcywh[images, queries][None]
            )
            _add(parts, self._of_stage(row, match, objects, normal, generator))
        return parts

    def _of_stage(
        self,
        stage: Stage,
        match: Match,
        objects: Objects,
        normal: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        device = stage.logits.device
        at = match.images.to(device), match.queries.to(device)
        wanted = match.objects.to(device)
        matched, overlap = (*at, objects.labels[wanted]), None
        parts: dict[str, Tensor] = {}
        # Nothing matched is a sum over nothing, which has a gradient all the same.
        if stage.boxes_cxcywh is not None:
            found, targets = stage.boxes_cxcywh[at].float(), objects.boxes_cxcywh.float()[wanted]
            edges = cxcywh_to_xyxy(found), cxcywh_to_xyxy(targets)
            overlap = iou(*edges).detach()
            parts["loss_box"] = (found - targets).abs().sum() / normal
            parts["loss_giou"] = (1 - generalized_iou(*edges)).sum() / normal
        if stage.masks is not None and objects.masks is not None:
            own, true = stage.masks[at], objects.masks[wanted]
            mask, dice = mask_losses(own, true, generator, self.num_points)
            parts |= {"loss_mask": mask.sum() / normal, "loss_dice": dice.sum() / normal}
        return {
            "loss_class": self._of_class(stage.logits.float(), matched, overlap, normal)
        } | parts

    def _of_class(
        self, logits: Tensor, matched: tuple[Tensor, ...], overlap: Tensor | None, normal: Tensor
    ) -> Tensor:
        if self.class_sum is None:
            return softmax_cross_entropy(logits, matched, no_object_weight=self.no_object_weight)
        if overlap is None and self.class_loss != "focal":
            raise ValueError(
                f"class_loss={self.class_loss} asks how well boxes overlap, and the head answers "
                "none; take class_loss=focal, or cross_entropy for a head with no_object."
            )
        return self.class_sum(logits, matched, overlap) / normal


def _add(parts: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, value in more.items():
        parts[name] = parts[name] + value if name in parts else value


def _shape(alpha: float | None, gamma: float | None, no_object: bool) -> dict[str, float]:
    """Those of the two that are given, if they may be."""
    given = {"alpha": alpha, "gamma": gamma}
    shape = {name: value for name, value in given.items() if value is not None}
    for name, value in shape.items():
        if no_object:
            raise ValueError(
                f"{name}={value} with class_loss=cross_entropy, which has none; leave it out."
            )
        if name == "alpha" and not 0 <= value <= 1:
            raise ValueError(f"alpha={value}; wanted 0 to 1.")
        if name == "gamma" and not (value == 0 or 1 <= value < math.inf):
            raise ValueError(
                f"gamma={value}; wanted 0, or 1 or more: between the two, the gradient of a class "
                "that is sure is infinite."
            )
    return shape


def loss_of(weighed: Float[Tensor, "2 2"]) -> float:
    """The loss of what `SetCriterion.weighed` answers for some batches, added up."""
    return sum(total / count if count else total for total, count in weighed.tolist())


def mean_over_ranks(value: int, device: torch.device) -> Tensor:
    """The mean of a count over all processes; where gradients are recorded, each must call this."""
    whole = torch.full((), float(value), device=device)
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    if several and torch.is_grad_enabled():
        dist.all_reduce(whole)
        whole /= dist.get_world_size()
    return whole
