"""Little to find, too much to find, and answers that are out of range, for every class loss."""

import pytest
import torch
from query_scenes import KINDS, QUERIES, answers_of, criterion_of, made_up
from torch.utils._python_dispatch import TorchDispatchMode

from vit.structures import Detections, Stage


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [(0, 0), (0, 3)])
def test_every_answer_gets_a_gradient_where_little_or_nothing_is_to_be_found(kind, counts):
    detections, objects = made_up(kind, counts)
    found = criterion_of(kind)(detections, objects)
    assert all(value.isfinite() for value in found.values())
    found["loss"].backward()
    for answer in answers_of(detections):
        assert answer.grad is not None and answer.grad.isfinite().all()
    assert (detections.answer.logits.grad[0] != 0).all()  # an empty image teaches what is not there
    if not any(counts):
        assert found["loss_box"] == found["loss_mask"] == 0
        assert (detections.answer.boxes_cxcywh.grad == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [80.0, -80.0])
def test_saturated_answers_give_finite_losses_and_gradients(kind, size):
    detections, objects = made_up(kind, (3, 2))
    for stage in detections.stages:
        stage.logits.data.fill_(size)
        stage.masks.data.fill_(size)
    found = criterion_of(kind)(detections, objects)
    found["loss"].backward()
    assert found["loss"].isfinite() and found["nonfinite_costs"] == 0
    assert all(answer.grad.isfinite().all() for answer in answers_of(detections))


@pytest.mark.parametrize("kind", KINDS)
def test_under_autocast_all_is_computed_in_float32(kind):
    detections, objects = made_up(kind, (3, 2))
    wanted = criterion_of(kind)(detections, objects)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = criterion_of(kind)(detections, objects)
    for name, value in found.items():
        assert value.dtype == torch.float32 and torch.equal(value, wanted[name])


def test_answers_in_bfloat16_are_accepted():
    detections, objects = made_up("mal", (3, 2))
    halves = Detections(
        [
            Stage(s.logits.bfloat16(), s.boxes_cxcywh.bfloat16(), s.masks.bfloat16())
            for s in detections.stages
        ]
    )
    found = criterion_of("mal")(halves, objects)
    assert found["loss"].dtype == torch.float32 and found["loss"].isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_more_objects_than_queries_match_every_query_once(kind):
    detections, objects = made_up(kind, (500, 1), queries=300, stages=1, masks=False)
    criterion = criterion_of(kind)
    (match,), _ = criterion.matcher.match_all(detections, objects)
    assert sorted(match.queries[match.images == 0].tolist()) == list(range(300))
    assert len(match.objects.unique()) == len(match.objects) == 301
    assert match.objects[match.images == 1].tolist() == [500]
    criterion(detections, objects)["loss"].backward()
    assert all(answer.grad.isfinite().all() for answer in answers_of(detections))


def test_boxes_without_size_are_trained_on():
    detections, objects = made_up("ia_bce", (3, 2))
    objects.boxes_cxcywh[:, 2:] = torch.tensor([1 / 64, 1 / 2000])
    for stage in detections.stages:
        stage.boxes_cxcywh.data[..., 2:] = 0
    found = criterion_of("ia_bce")(detections, objects)
    found["loss"].backward()
    assert found["loss"].isfinite()
    assert all(answer.grad.isfinite().all() for answer in answers_of(detections))


def test_stages_may_differ_in_queries_and_answers():
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    fewer, _ = made_up("ia_bce", (3, 2), stages=1, queries=6, masks=False)
    both = Detections(fewer.stages + detections.stages)
    found = criterion_of("ia_bce")(both, objects)
    assert found["loss_box"] > criterion_of("ia_bce")(detections, objects)["loss_box"]


def test_a_broken_box_nobody_matched_is_counted_and_does_not_spoil_the_loss():
    detections, objects = made_up("ia_bce", (3, 2), stages=1, masks=False)
    boxes = detections.answer.boxes_cxcywh.detach().clone()
    boxes[0, 4] = float("inf")
    found = criterion_of("ia_bce")(Detections([Stage(detections.answer.logits, boxes)]), objects)
    assert found["nonfinite_costs"] == 3 and found["loss"].isfinite()


def test_the_number_of_objects_is_at_least_one_after_the_groups_are_counted():
    detections, objects = made_up("focal", (0, 0), stages=1, masks=False)
    single = criterion_of("focal")(detections, objects)["loss"]
    detections.groups = 2
    assert criterion_of("focal")(detections, objects)["loss"] == single


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_images_or_with_weightless_queries_costs_nothing(kind):
    detections, objects = made_up(kind, ())
    criterion_of(kind)(detections, objects)["loss"].backward()
    assert all(answer.grad is not None for answer in answers_of(detections))
    detections, objects = made_up("cross_entropy", (0, 0))
    found = criterion_of("cross_entropy", no_object_weight=0.0)(detections, objects)
    assert found["loss"] == 0


class HostReads(TorchDispatchMode):
    """Counts values that Python reads from tensors, each of which waits for a device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_costs_of_all_stages_go_to_the_host_in_one_copy(monkeypatch):
    detections, objects = made_up("ia_bce", (3, 0, 5), stages=4)
    copies, plain = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: (copies.append(t.numel()), plain(t))[1])
    with HostReads() as reads:
        criterion_of("ia_bce")(detections, objects)
    assert copies == [4 * 3 * QUERIES * 5]
    assert reads.count == 1  # how many of these were no numbers, on the host already
