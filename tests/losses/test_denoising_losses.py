"""Losses of noised copies, whose objects are known: against plain sums, and on two processes."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from query_scenes import CLASSES, criterion_of, made_up
from torch import multiprocessing as processes
from torchvision.ops import box_convert, generalized_box_iou

from vit.models.backbone import ViT
from vit.models.detector import Detector
from vit.models.heads.deformable import DeformableHead
from vit.models.heads.denoising import Denoising, arranged
from vit.structures import Denoised, Objects, Stage

QUERIES = 8
KINDS = ("ia_bce", "mal", "vfl", "focal")


def with_copies(kind, counts):
    """Matched answers, and those of noised copies, on two stages each."""
    detections, objects = made_up(kind, counts, masks=False)
    number, positive, _ = arranged(counts, QUERIES)
    stages = [
        Stage(
            torch.randn(*number.shape, CLASSES, requires_grad=True),
            (torch.rand(*number.shape, 4) * 0.4 + 0.1).requires_grad_(),
        )
        for _ in range(2)
    ]
    detections.denoised = Denoised(stages, number, positive)
    return detections, objects


def test_positive_copies_answer_for_their_objects_and_the_others_for_none():
    detections, objects = with_copies("focal", (3, 0, 2))
    found = criterion_of("focal")(detections, objects)
    denoised, sums = detections.denoised, torch.zeros(3, dtype=torch.float64)
    copies = 0
    for stage in denoised.stages:
        for image in range(3):
            for query in range(2 * QUERIES):
                number = int(denoised.objects[image, query])
                if number < 0:
                    continue
                wanted = torch.zeros(CLASSES)
                if denoised.positive[query]:
                    copies += 1
                    wanted[objects.labels[number]] = 1
                    box, true = stage.boxes_cxcywh[image, query], objects.boxes_cxcywh[number]
                    sums[1] += (box - true).abs().sum().item()
                    corners = box_convert(torch.stack([box, true]), "cxcywh", "xyxy")
                    sums[2] += 1 - generalized_box_iou(corners[:1], corners[1:]).item()
                logits = stage.logits[image, query]
                plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
                share = (wanted - logits.sigmoid()).abs() ** 2
                weight = torch.where(wanted > 0, 0.25, 0.75)
                sums[0] += (weight * share * plain).sum().item()
    assert copies == 2 * 2 * 5  # on two stages two groups of copies of five objects
    expected = sums / (copies / 2)
    for name, value in zip(("class", "box", "giou"), expected, strict=True):
        torch.testing.assert_close(found[f"loss_denoising_{name}"].double(), value)
    detections.denoised = None
    alone = criterion_of("focal")(detections, objects)
    result = found["loss"] - alone["loss"]
    weighed = expected @ torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(result.double(), weighed, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(found[name], alone[name]) for name in alone if name != "loss")


@pytest.mark.parametrize("kind", KINDS)
def test_only_positive_copies_learn_boxes_and_what_fills_up_learns_nothing(kind):
    detections, objects = with_copies(kind, (3, 0, 2))
    criterion_of(kind)(detections, objects)["loss"].backward()
    denoised = detections.denoised
    real = denoised.objects >= 0
    for stage in denoised.stages:
        assert torch.equal(stage.logits.grad.any(-1), real)
        assert torch.equal(stage.boxes_cxcywh.grad.any(-1), real & denoised.positive)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_copy_costs_nothing_and_leaves_gradients_of_zero(kind):
    detections, objects = with_copies(kind, (0, 0))
    found = criterion_of(kind)(detections, objects)
    found["loss"].backward()
    assert found["loss"].isfinite() and found["loss_denoising_class"] == 0
    for stage in detections.denoised.stages:
        assert not stage.logits.grad.any() and not stage.boxes_cxcywh.grad.any()


def tiny_detector():
    torch.manual_seed(0)
    body = ViT((16, 24), 3, dim=16, depth=2, heads=2, patch_size=8)
    sizes = {"width": 16, "num_queries": 4, "num_layers": 2, "heads": 2, "cross_heads": 4}
    head = DeformableHead(
        16,
        CLASSES,
        8,
        2,
        **sizes,
        hidden=16,
        groups=2,
        denoising=partial(Denoising, num_queries=QUERIES),
    )
    return Detector(body, head)


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    # Processes would end with an error here if a parameter went unused.
    model = torch.nn.parallel.DistributedDataParallel(tiny_detector())
    counts = {0: (0, 0), 1: (3, 2)}[rank]
    torch.manual_seed(1)
    objects = Objects(
        torch.randint(CLASSES, (sum(counts),)), torch.rand(sum(counts), 4) * 0.3 + 0.2, counts
    )
    for _ in range(2):
        model.zero_grad()
        detections = model(torch.randn(2, 3, 16, 24), None, objects)
        found = criterion_of("ia_bce")(detections, objects)
        found["loss"].backward()
    with torch.no_grad():  # divided by this process's own copies
        alone = criterion_of("ia_bce")(detections, objects)
    result = {name: value.detach() for name, value in found.items()}
    gradients = {name: p.grad for name, p in model.module.named_parameters()}
    result = {"answer": result, "alone": alone, "gradients": gradients}
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_of_two_processes_one_may_have_nothing_to_copy(tmp_path):
    processes.spawn(one_rank, args=(str(tmp_path),), nprocs=2)
    empty, full = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert empty["answer"]["loss_denoising_class"] == 0
    for name in ("loss_denoising_class", "loss_denoising_box", "loss_denoising_giou"):
        torch.testing.assert_close(full["answer"][name], 2 * full["alone"][name])
    for name, gradient in full["gradients"].items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert torch.equal(gradient, empty["gradients"][name]), name
    assert full["gradients"]["head.denoising.labels"].any()
