"""Points, and what masks cost there."""

import torch
import torch.nn.functional as F

from vit.losses.detection import SetCriterion
from vit.losses.masks import at_points, mask_costs, mask_losses, uncertain_points
from vit.structures import Detections, Objects, Stage


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_point_in_the_middle_of_a_pixel_has_its_value():
    maps = torch.randn(2, 3, 4, 5)
    y, x = torch.meshgrid((torch.arange(4) + 0.5) / 4, (torch.arange(5) + 0.5) / 5, indexing="ij")
    points = torch.stack([x, y], dim=-1).view(1, 20, 2).repeat(2, 1, 1)
    torch.testing.assert_close(at_points(maps, points), maps.flatten(2), atol=1e-5, rtol=0)


def test_three_quarters_of_the_points_are_where_the_mask_is_least_sure():
    ramp = torch.linspace(-4, 4, 41).expand(2, 8, 41).contiguous()  # unsure in the middle column
    points = uncertain_points(ramp, 200, seeded())
    assert points.shape == (2, 200, 2)
    away = (points[..., 0] - 0.5).abs()
    # 150 of 600 even draws: an eighth to each side, and a few at the edges, where values fade
    assert (away[:, :150] < 0.25).all() and (away[:, :150] < 0.125).float().mean() > 0.9
    assert (away[:, 150:] > 0.3).any(1).all()


def test_costs_of_pairs_are_the_losses_of_each_pair():
    logits, truth = 3 * torch.randn(4, 5, 6), torch.rand(3, 10, 12) > 0.5
    points = torch.rand(30, 2)
    cross_entropy, dice = mask_costs(logits, truth, points)
    found = at_points(logits[None], points[None])[0]
    wanted = at_points(truth[None].float(), points[None])[0]
    for query in range(4):
        for number in range(3):
            x, t = found[query], wanted[number]
            result = F.binary_cross_entropy_with_logits(x, t)
            torch.testing.assert_close(cross_entropy[query, number], result)
            both, each = (x.sigmoid() * t).sum(), x.sigmoid().sum() + t.sum()
            torch.testing.assert_close(dice[query, number], 1 - (2 * both + 1) / (each + 1))


def test_a_mask_that_says_nothing_costs_log_two():
    truth = torch.rand(2, 8, 8) > 0.5
    cross_entropy, dice = mask_losses(torch.zeros(2, 4, 4), truth, seeded())
    torch.testing.assert_close(cross_entropy, torch.full((2,), 2.0).log())
    assert ((dice > 0.2) & (dice < 0.8)).all()


def test_no_masks_have_no_losses_and_a_gradient():
    logits = torch.zeros(0, 4, 4, requires_grad=True)
    losses = mask_losses(logits, torch.zeros(0, 8, 8, dtype=torch.bool), seeded())
    assert [part.shape for part in losses] == [(0,), (0,)]
    (losses[0].sum() + losses[1].sum()).backward()
    assert logits.grad is not None


def scene(images=2):
    counts = (3,) * images
    stage = Stage(torch.randn(images, 6, 5), masks=torch.randn(images, 6, 4, 4))
    truth = torch.rand(sum(counts), 12, 12) > 0.5
    labels = torch.randint(4, (sum(counts),))
    return Detections([stage, stage]), Objects(labels, torch.rand(len(labels), 4), counts, truth)


def test_points_come_from_the_given_generator_and_nowhere_else():
    detections, objects = scene()
    criterion = SetCriterion(class_loss="cross_entropy")
    before = torch.get_rng_state()
    found = [criterion(detections, objects, seeded(seed))["loss"] for seed in (1, 1, 2)]
    fixed = [criterion(detections, objects)["loss"] for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1] != found[2] and fixed[0] == fixed[1]


def test_a_run_that_goes_on_draws_new_points_at_each_step():
    detections, objects = scene()
    criterion, generator = SetCriterion(class_loss="cross_entropy"), seeded()
    first, second = (criterion(detections, objects, generator)["loss"] for _ in range(2))
    assert first != second


def test_every_draw_of_matching_and_losses_is_of_the_given_generator(monkeypatch):
    detections, objects = scene()
    asked, plain, generator = [], torch.rand, seeded()
    monkeypatch.setattr(
        torch,
        "rand",
        lambda *shape, **how: (asked.append(how["generator"]), plain(*shape, **how))[1],
    )
    SetCriterion(class_loss="cross_entropy")(detections, objects, generator)
    assert len(asked) == 6 and all(each is generator for each in asked)


def test_costs_of_masks_are_in_float32_under_autocast():
    detections, objects = scene()
    matcher = SetCriterion(class_loss="cross_entropy").matcher
    wanted = matcher.costs(detections.answer, objects, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = matcher.costs(detections.answer, objects, seeded())
    assert torch.equal(found, wanted)


def test_no_more_points_are_drawn_than_masks_have_pixels(monkeypatch):
    detections, objects = scene()
    drawn, plain = [], torch.rand
    monkeypatch.setattr(
        torch, "rand", lambda *shape, **how: (drawn.append(shape), plain(*shape, **how))[1]
    )
    SetCriterion(class_loss="cross_entropy")(detections, objects)
    costs, losses = [(2, 144, 2)] * 2, [(6, 432, 2), (6, 36, 2)] * 2
    assert drawn == costs + losses
    drawn.clear()
    SetCriterion(class_loss="cross_entropy", num_points=100)(detections, objects)
    assert drawn == [(2, 100, 2)] * 2 + [(6, 300, 2), (6, 25, 2)] * 2
