"""Positions: what they add, what they rotate, and how they follow the size of the image."""

import math
from functools import partial

import pytest
import torch
from timm.layers.pos_embed import resample_abs_pos_embed

from vit.layers.position import (
    AxialRope,
    Combined,
    LearnedPosition,
    NoPosition,
    SinCosPosition,
    resized,
)
from vit.layers.softmax_attention import attention_with_weights


def test_a_learned_position_is_added_to_its_own_patch():
    position = LearnedPosition(8, 2, (2, 3))
    patches = torch.randn(4, 6, 8)
    assert torch.equal(position(patches, (2, 3)), patches + position.table.reshape(6, 8))
    assert 0.01 < position.table.std() < 0.03


@pytest.mark.parametrize("grid", [(3, 5), (8, 2), (14, 14), (4, 3)])
def test_positions_resize_as_timms_do(grid):
    position = LearnedPosition(8, 2, (6, 4))
    theirs = resample_abs_pos_embed(
        position.table.detach().reshape(1, 24, 8), list(grid), [6, 4], num_prefix_tokens=0
    )
    ours = position(torch.zeros(1, grid[0] * grid[1], 8), grid)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_table_of_the_right_size_is_not_touched():
    table = torch.randn(3, 4, 8)
    assert resized(table, (3, 4)) is table


def test_sines_and_cosines_stand_where_the_paper_has_them():
    table = SinCosPosition(16, 2, (3, 5)).table
    row, col = 2, 3
    for step in range(4):
        frequency = 10_000.0 ** (-step / 3)
        expected = [f(at * frequency) for at in (col, row) for f in (math.sin, math.cos)]
        torch.testing.assert_close(table[row, col, step::4], torch.tensor(expected))


def test_sincos_refuses_a_width_that_four_does_not_divide():
    with pytest.raises(ValueError, match="backbone/position=learned"):
        SinCosPosition(18, 2, (3, 5))


def test_fixed_positions_stay_out_of_the_state_and_the_parameters():
    for part in (SinCosPosition, AxialRope, NoPosition):
        position = part(16, 2, (3, 5))
        assert not position.state_dict() and not list(position.parameters())


def rotated_scores(position, q, k, grid, prefix=0):
    q, k = position.rotation(grid, prefix)(q, k)
    return q @ k.transpose(-1, -2)


def test_rope_scores_depend_only_on_offset():
    position = AxialRope(32, 2, (4, 5))
    q, k = torch.randn(1, 2, 1, 16), torch.randn(1, 2, 1, 16)
    scores = rotated_scores(position, q.expand(-1, -1, 20, -1), k.expand(-1, -1, 20, -1), (4, 5))
    scores = scores.reshape(2, 4, 5, 4, 5)
    torch.testing.assert_close(scores[:, :-1, :-1, :-1, :-1], scores[:, 1:, 1:, 1:, 1:])
    assert not torch.allclose(scores[:, 0, 0], scores[:, 1, 0])


def test_rope_leaves_prefix_tokens_as_they_are():
    position = AxialRope(32, 2, (4, 5))
    q, k = torch.randn(3, 2, 23, 16), torch.randn(3, 2, 23, 16)
    rotated_q, rotated_k = position.rotation((4, 5), 3)(q, k)
    assert torch.equal(rotated_q[:, :, :3], q[:, :, :3])
    assert torch.equal(rotated_k[:, :, :3], k[:, :, :3])
    patches_q, _ = position.rotation((4, 5), 0)(q[:, :, 3:], k[:, :, 3:])
    assert torch.equal(rotated_q[:, :, 3:], patches_q)
    assert not torch.allclose(rotated_q[:, :, 3:], q[:, :, 3:])


def test_rope_spans_the_same_coordinates_at_every_size():
    small, large = AxialRope(32, 2, (2, 3)), AxialRope(32, 2, (4, 6))
    for ours, theirs in ((small, large), (large, small)):
        rotation, native = ours.rotation(theirs.grid, 0), theirs.rotation(theirs.grid, 0)
        torch.testing.assert_close(rotation.cos, native.cos)
        torch.testing.assert_close(rotation.sin, native.sin)


def test_rope_follows_the_patches_that_were_kept():
    position = AxialRope(32, 2, (4, 5))
    kept = torch.tensor([[3, 0, 17], [19, 4, 1]])
    q = torch.randn(2, 2, 20, 16)
    whole, _ = position.rotation((4, 5), 0)(q, q)
    chosen = torch.stack([q[at][:, kept[at]] for at in (0, 1)])
    prefix = torch.randn(2, 2, 1, 16)
    rotated, _ = position.rotation((4, 5), 1, kept)(torch.cat([prefix, chosen], 2), q[:, :, :4])
    expected = torch.stack([whole[at][:, kept[at]] for at in (0, 1)])
    assert torch.equal(rotated, torch.cat([prefix, expected], 2))


def test_rope_moves_its_coordinates_in_training_only():
    still = AxialRope(32, 2, (4, 5)).rotation((4, 5), 0)
    for key, value in (("shift", 0.5), ("jitter", 2.0), ("rescale", 2.0)):
        position = AxialRope(32, 2, (4, 5), **{key: value})
        assert not torch.equal(position.rotation((4, 5), 0).cos, still.cos)
        assert torch.equal(position.eval().rotation((4, 5), 0).cos, still.cos)


@pytest.mark.parametrize(("key", "axes_differ"), [("jitter", True), ("rescale", False)])
def test_rope_stretches_by_at_most_the_factor(key, axes_differ):
    position = AxialRope(16, 2, (3, 3), **{key: 2.0})
    ratios = []
    for _ in range(200):
        angle = position.rotation((3, 3), 0)
        # The first of each axis' angles is 2π·coordinate: ±4π/3 at the corner, before stretching.
        ratios.append(torch.atan2(angle.sin[-1], angle.cos[-1])[:4])
        base = 2 * math.pi * 2 / 3
    stretched = torch.stack(ratios)[:, [1, 3]] * 100**0.5 / base  # the slow angles do not wrap
    assert stretched.min() >= 0.499 and stretched.max() <= 2.001
    assert stretched.log().mean().abs() < 0.1
    assert ((stretched[:, 0] - stretched[:, 1]).abs().max() > 0.1) == axes_differ


def test_rope_refuses_head_widths_that_four_does_not_divide():
    with pytest.raises(ValueError, match=r"dim=50 over heads=5 gives 10"):
        AxialRope(50, 5, (2, 2))


def test_rope_refuses_factors_below_one():
    with pytest.raises(ValueError, match=r"jitter=0.5 .* at least 1"):
        AxialRope(32, 2, (2, 2), jitter=0.5)


def test_rope_keeps_the_type_of_queries_and_keys():
    position = AxialRope(32, 2, (4, 5))
    q, k = position.rotation((4, 5), 0)(
        torch.randn(1, 2, 20, 16).bfloat16(), torch.randn(1, 2, 20, 16).bfloat16()
    )
    assert q.dtype == k.dtype == torch.bfloat16


def test_two_positions_can_act_together():
    position = Combined(32, 2, (4, 5), added=LearnedPosition, rotary=partial(AxialRope, base=50.0))
    patches = torch.randn(2, 20, 32)
    assert torch.equal(position(patches, (4, 5)), position.added(patches, (4, 5)))
    expected = AxialRope(32, 2, (4, 5), base=50.0).rotation((4, 5), 1)
    assert torch.equal(position.rotation((4, 5), 1).cos, expected.cos)


def test_rotation_does_not_change_what_a_token_gives_to_itself():
    position = AxialRope(32, 2, (4, 5))
    q = torch.randn(1, 2, 20, 16)
    rotated, _ = position.rotation((4, 5), 0)(q, q)
    plain, turned = (attention_with_weights(x, x, x)[1] for x in (q, rotated))
    torch.testing.assert_close((rotated**2).sum(-1), (q**2).sum(-1))
    assert not torch.allclose(plain, turned)
