"""Boxes against torchvision's, and where torchvision's give no number."""

import pytest
import torch
from torchvision import ops

from vit.boxes import cxcywh_to_xyxy, generalized_iou, iou, pairwise_generalized_iou


def pairwise_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Of every box in a with every box in b, since axes broadcast."""
    return iou(a[..., :, None, :], b[..., None, :, :])


def random_xyxy(count: int, scale: float = 1.0) -> torch.Tensor:
    return cxcywh_to_xyxy(torch.rand(count, 4) * torch.tensor([0.8, 0.8, 0.4, 0.4]) * scale)


def degenerate_xyxy() -> torch.Tensor:
    """A point, a second one, two lines, a box turned in x, in both, and an honest one."""
    return torch.tensor(
        [
            [0.5, 0.5, 0.5, 0.5],
            [0.2, 0.2, 0.2, 0.2],
            [0.1, 0.5, 0.9, 0.5],
            [0.5, 0.1, 0.5, 0.9],
            [0.8, 0.2, 0.2, 0.6],
            [0.9, 0.9, 0.1, 0.1],
            [0.3, 0.3, 0.7, 0.7],
        ]
    )


def test_corners_are_those_of_torchvision():
    boxes = torch.rand(3, 5, 4)
    wanted = ops.box_convert(boxes.view(-1, 4), "cxcywh", "xyxy").view(3, 5, 4)
    torch.testing.assert_close(cxcywh_to_xyxy(boxes), wanted, atol=1e-6, rtol=0)
    assert cxcywh_to_xyxy(torch.zeros(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_overlaps_are_torchvisions(scale):
    a, b = random_xyxy(50, scale), random_xyxy(30, scale)
    near = {"atol": 1e-6, "rtol": 0}
    torch.testing.assert_close(pairwise_iou(a, b), ops.box_iou(a, b), **near)
    wanted = ops.generalized_box_iou(a, b)
    assert wanted.min() < -0.5 and ops.box_iou(a, b).max() > 0.5
    torch.testing.assert_close(pairwise_generalized_iou(a, b), wanted, **near)
    torch.testing.assert_close(iou(a[:30], b), ops.box_iou(a[:30], b).diagonal(), **near)
    torch.testing.assert_close(generalized_iou(a[:30], b), wanted[:30].diagonal(), **near)


def test_pairs_may_come_in_batches():
    a, b = random_xyxy(12).view(3, 4, 4), random_xyxy(6).view(3, 2, 4)
    for image in range(3):
        assert torch.equal(pairwise_iou(a, b)[image], pairwise_iou(a[image], b[image]))
    assert pairwise_generalized_iou(a, b[:, :0]).shape == (3, 4, 0)
    assert pairwise_iou(a[0], torch.zeros(0, 4)).shape == (4, 0)
    assert iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_boxes_without_area_give_numbers_in_range_and_finite_gradients():
    a = degenerate_xyxy().requires_grad_()
    found = pairwise_generalized_iou(a, degenerate_xyxy())
    assert found.isfinite().all() and found.min() >= -1 and found.max() <= 1
    assert (pairwise_iou(a, degenerate_xyxy())[:6] == 0).all()
    assert found[6, 6] == 1
    (found.sum() + pairwise_iou(a, degenerate_xyxy()).sum()).backward()
    assert a.grad.isfinite().all() and a.grad.abs().max() > 0
    # what makes the rule needed: torchvision's own answers here
    assert ops.generalized_box_iou(a[:1], a[:1]).isnan().all()


def test_a_box_of_one_pixel_in_a_large_image_is_whole():
    pixel = torch.tensor([[0.5, 0.5, 0.5 + 2**-12, 0.5 + 2**-12]])
    assert iou(pixel, pixel) == generalized_iou(pixel, pixel) == 1


def test_overlaps_of_half_precision_are_computed_in_float32():
    a = torch.tensor([[0.0, 0.0, 2**-12, 2**-12]], dtype=torch.float16)  # its area underflows
    assert iou(a, a).dtype == torch.float32 and iou(a, a) == 1


def test_gradient_is_that_of_the_formula():
    a, b = random_xyxy(6).double().requires_grad_(), random_xyxy(6).double()
    assert torch.autograd.gradcheck(lambda x: generalized_iou(x, b), a)
