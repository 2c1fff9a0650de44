"""What a detection head is trained by: every stage of its answers against the objects."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from vit.boxes import cxcywh_to_xyxy, generalized_iou, iou
from vit.losses.matching import Match, Matcher
from vit.structures import Detections, Objects, Stage

IOU_SHARE = 0.75  # in the quality that a matched class is to reach; the rest is its own score
LEAST_QUALITY = 0.01


class SetCriterion(nn.Module):
    """Matches, then sums IoU-aware class, L1 and generalised-IoU losses of all stages.

    Computed in float32 whatever the precision of the model. Sums are divided by the number of
    objects of all processes' batches, averaged over these and at least 1, times the groups.
    Every answer takes part, also where there is nothing to find, so that no process of several
    waits for gradients that another has not.

    Source: Chen et al. 2024 (LW-DETR), arXiv:2406.03459, equation 1; Carion et al. 2020,
    arXiv:2005.12872, equation 2.
    """

    def __init__(
        self,
        matcher: Matcher | None = None,
        *,
        weight_class: float = 1.0,
        weight_box: float = 5.0,
        weight_giou: float = 2.0,
    ):
        super().__init__()
        self.matcher = matcher or Matcher()
        self.weight_class, self.weight_box = weight_class, weight_box
        self.weight_giou = weight_giou

    def forward(self, detections: Detections, objects: Objects) -> dict[str, Tensor]:
        """`loss`, its parts `loss_class`, `loss_box`, `loss_giou`, each summed over the stages, and
        `nonfinite_costs`, a count that is above 0 where the model diverges.
        """
        device = detections.answer.logits.device
        with torch.autocast(device.type, enabled=False):
            matches, broken = self.matcher.match_all(detections, objects)
            normal = mean_over_ranks(sum(objects.counts), device).clamp(min=1) * detections.groups
            parts = [
                self._of_stage(stage, match, objects)
                for stage, match in zip(detections.stages, matches, strict=True)
            ]
            names = ("loss_class", "loss_box", "loss_giou")
            sums = dict(zip(names, torch.stack(parts).sum(0) / normal, strict=True))
        weights = (self.weight_class, self.weight_box, self.weight_giou)
        whole = sum(w * sums[name] for w, name in zip(weights, names, strict=True))
        count = torch.full((), float(broken), device=device)
        return {"loss": torch.as_tensor(whole), **sums, "nonfinite_costs": count}

    def _of_stage(self, stage: Stage, match: Match, objects: Objects) -> Tensor:
        assert stage.boxes_cxcywh is not None  # else nothing was matched
        logits, boxes = stage.logits.float(), stage.boxes_cxcywh.float()
        at = match.images.to(logits.device), match.queries.to(logits.device)
        wanted = match.objects.to(logits.device)
        found, targets = boxes[at], objects.boxes_cxcywh.float()[wanted]
        edges = cxcywh_to_xyxy(found), cxcywh_to_xyxy(targets)
        quality = iou(*edges).detach()
        of_class = iou_aware(logits, (*at, objects.labels[wanted]), quality)
        of_box = (found - targets).abs().sum()
        of_overlap = (1 - generalized_iou(*edges)).sum()
        # Nothing matched is a sum over nothing, which has a gradient all the same.
        return torch.stack([of_class, of_box + 0 * boxes.sum(), of_overlap])


def iou_aware(logits: Tensor, matched: tuple[Tensor, ...], quality: Tensor) -> Tensor:
    """Binary cross-entropy whose matched classes aim at score^¼ · IoU^¾, and all others at 0.

    The others weigh by the square of their score. `matched` indexes [image, query, class].
    Logarithms are those of logits, which saturate without becoming infinite.
    """
    score = logits.sigmoid()
    aim = score.detach()[matched] ** (1 - IOU_SHARE) * quality**IOU_SHARE
    aim = aim.clamp(min=LEAST_QUALITY)
    positive = torch.zeros_like(logits).index_put(matched, aim)
    negative = (score**2).index_put(matched, 1 - aim)
    return -(positive * logsigmoid(logits) + negative * logsigmoid(-logits)).sum()


def mean_over_ranks(value: int, device: torch.device) -> Tensor:
    """The mean of a count over all processes, each of which must call this."""
    whole = torch.full((), float(value), device=device)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(whole)
        whole /= dist.get_world_size()
    return whole
