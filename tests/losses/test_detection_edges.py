"""Little to find, too much to find, and answers that are out of range, for every class loss."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing as processes
from torch.utils._python_dispatch import TorchDispatchMode

from vit.losses.detection import SetCriterion
from vit.structures import Detections, Objects, Stage

CLASSES, QUERIES = 4, 10
KINDS = ("ia_bce", "mal", "vfl", "focal", "cross_entropy")


def criterion_of(kind, **keys):
    return SetCriterion(class_loss=kind, num_points=50, **keys)


def made_up(kind, counts, stages=2, queries=QUERIES, masks=True, seed=0):
    torch.manual_seed(seed)
    columns, total = CLASSES + (kind == "cross_entropy"), sum(counts)
    found = [
        Stage(
            torch.randn(len(counts), queries, columns, requires_grad=True),
            (torch.rand(len(counts), queries, 4) * 0.4 + 0.1).requires_grad_(),
            torch.randn(len(counts), queries, 4, 5, requires_grad=True) if masks else None,
        )
        for _ in range(stages)
    ]
    truth = torch.rand(total, 8, 10) > 0.5 if masks else None
    objects = Objects(
        torch.randint(CLASSES, (total,)), torch.rand(total, 4) * 0.4 + 0.1, counts, truth
    )
    return Detections(found), objects


def answers_of(detections):
    return [
        answer
        for stage in detections.stages
        for answer in (stage.logits, stage.boxes_cxcywh, stage.masks)
        if answer is not None
    ]


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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"boxes_cxcywh": None, "masks": None}, "neither boxes nor masks"),
        ({"boxes_cxcywh": None}, "take class_loss=focal"),
    ],
)
def test_heads_that_cannot_be_trained_so_are_refused(change, told):
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    for name, value in change.items():
        setattr(detections.answer, name, value)
    with pytest.raises(ValueError, match=told):
        criterion_of("ia_bce")(detections, objects)


def test_masks_without_masks_to_learn_from_are_refused():
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    objects.masks = None
    with pytest.raises(ValueError, match="objects have none"):
        criterion_of("ia_bce")(detections, objects)


def test_groups_that_do_not_share_the_queries_are_refused():
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    detections.groups = 3
    with pytest.raises(ValueError, match="10 queries, which 3 groups"):
        criterion_of("ia_bce")(detections, objects)


@pytest.mark.parametrize("kind", ["focal", "cross_entropy"])
def test_parts_that_a_head_does_not_answer_are_left_out(kind):
    detections, objects = made_up(kind, (3, 2))
    for stage in detections.stages:
        stage.boxes_cxcywh = None
    found = criterion_of(kind)(detections, objects)
    assert [*found] == ["loss", "loss_class", "loss_mask", "loss_dice", "nonfinite_costs"]
    whole = found["loss_class"] + 5 * found["loss_mask"] + 5 * found["loss_dice"]
    torch.testing.assert_close(found["loss"], whole)
    detections, objects = made_up(kind, (3, 2), masks=False)
    found = criterion_of(kind)(detections, objects)
    assert [*found] == ["loss", "loss_class", "loss_box", "loss_giou", "nonfinite_costs"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_images_or_with_weightless_queries_costs_nothing(kind):
    detections, objects = made_up(kind, ())
    criterion_of(kind)(detections, objects)["loss"].backward()
    assert all(answer.grad is not None for answer in answers_of(detections))
    detections, objects = made_up("cross_entropy", (0, 0))
    found = criterion_of("cross_entropy", no_object_weight=0.0)(detections, objects)
    assert found["loss"] == 0


def test_each_weight_is_that_of_its_part():
    detections, objects = made_up("ia_bce", (3, 2))
    weights = {"class": 2.0, "box": 3.0, "giou": 5.0, "mask": 7.0, "dice": 11.0}
    keys = {f"weight_{name}": weight for name, weight in weights.items()}
    found = criterion_of("ia_bce", **keys)(detections, objects)
    whole = sum(weight * found[f"loss_{name}"] for name, weight in weights.items())
    torch.testing.assert_close(found["loss"], whole)


@pytest.mark.parametrize("name", ["class", "box", "giou", "mask", "dice"])
def test_each_cost_steers_the_matching(name):
    detections, objects = made_up("ia_bce", (3, 2), stages=1)
    steered = {f"cost_{each}": 0.0 for each in ("class", "box", "giou", "mask", "dice")}
    criterion = criterion_of("ia_bce", **(steered | {f"cost_{name}": 1.0}))
    alone, _ = criterion.matcher.match_all(detections, objects)
    halved, _ = criterion_of("ia_bce", **(steered | {f"cost_{name}": 0.5})).matcher.match_all(
        detections, objects
    )
    every, _ = criterion_of("ia_bce", **steered).matcher.match_all(detections, objects)
    assert torch.equal(alone[0].queries, halved[0].queries)
    assert not torch.equal(alone[0].queries, every[0].queries)


def test_a_head_whose_logits_are_read_otherwise_is_refused():
    SetCriterion().require_fit(no_object=False)
    SetCriterion(class_loss="cross_entropy").require_fit(no_object=True)
    with pytest.raises(
        ValueError, match=r"take class_loss=cross_entropy, or head\.no_object=false"
    ):
        SetCriterion(class_loss="mal").require_fit(no_object=True)
    with pytest.raises(ValueError, match=r"take one of ia_bce, .*, or head\.no_object=true"):
        SetCriterion(class_loss="cross_entropy").require_fit(no_object=False)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"class_loss": "cross_entropy", "gamma": 2.0}, "gamma=2.0 with class_loss=cross_entropy"),
        ({"alpha": 1.5}, "alpha=1.5; wanted 0 to 1"),
        ({"gamma": 0.5}, "gamma=0.5; wanted 0, or 1 or more"),
        ({"weight_dice": -1.0}, "weight_dice=-1.0; wanted a number of 0 or more"),
        ({"cost_giou": float("nan")}, "cost_giou=nan; wanted a number of 0 or more"),
        ({"no_object_weight": float("inf")}, "no_object_weight=inf; wanted"),
        ({"num_points": 0}, "num_points=0; wanted 1 or more"),
    ],
)
def test_values_out_of_range_are_refused(keys, told):
    with pytest.raises(ValueError, match=told):
        SetCriterion(**keys)


SHARES = {0: (0, 0), 1: (3, 2)}


def one_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        layer.module.weight.copy_(torch.eye(4))
    told = step(layer, SHARES[rank], rank)
    if rank == 1:  # alone, as in an evaluation whose other process has no batch left
        with torch.no_grad():
            detections, objects = made_up("ia_bce", SHARES[1], masks=False, seed=1)
            told["alone"] = criterion_of("ia_bce")(detections, objects)["loss_box"]
    torch.save(told, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def step(layer, counts, seed):
    detections, objects = made_up("ia_bce", counts, masks=False, seed=seed)
    stages = [Stage(layer(s.logits), s.boxes_cxcywh) for s in detections.stages]
    found = criterion_of("ia_bce")(Detections(stages), objects)
    found["loss"].backward()
    gradient = next(layer.parameters()).grad
    return {"gradient": gradient, "loss_box": found["loss_box"].detach()}


@pytest.mark.slow
def test_two_processes_one_without_objects_train_as_one_with_both_batches(tmp_path):
    processes.spawn(one_rank, args=(str(tmp_path),), nprocs=2)
    empty, full = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert empty["loss_box"] == 0
    # each process divides by the mean of 0 and 5
    torch.testing.assert_close(full["loss_box"], full["alone"] * 2)
    assert torch.equal(empty["gradient"], full["gradient"])
    parts = [made_up("ia_bce", SHARES[rank], masks=False, seed=rank) for rank in range(2)]
    layer = torch.nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
    stages = [
        Stage(layer(torch.cat([a.logits, b.logits])), torch.cat([a.boxes_cxcywh, b.boxes_cxcywh]))
        for a, b in zip(parts[0][0].stages, parts[1][0].stages, strict=True)
    ]
    objects = Objects(parts[1][1].labels, parts[1][1].boxes_cxcywh, SHARES[0] + SHARES[1])
    criterion_of("ia_bce")(Detections(stages), objects)["loss"].backward()
    torch.testing.assert_close(full["gradient"], layer.weight.grad, rtol=1e-5, atol=1e-6)
