"""From a backbone's features to maps."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vit.models.necks import Projector, Pyramid
from vit.structures import Features, Grid


def features(rows=4, cols=6, blocks=3, batch=2, dim=16):
    grid = Grid(rows, cols)
    tokens = grid.rows * grid.cols
    return Features(
        patches=torch.randn(batch, tokens, dim),
        grid=grid,
        prefix=torch.randn(batch, 1, dim),
        blocks=tuple(torch.randn(batch, tokens, dim) for _ in range(blocks)),
    )


@pytest.mark.parametrize(
    ("depth", "switches", "blocks"),
    [
        (12, {}, (2, 5, 8, 11)),
        (24, {}, (5, 11, 17, 23)),
        (6, {}, (1, 2, 3, 5)),
        (3, {}, (0, 1, 2)),
        (1, {}, (0,)),
        (12, {"num_blocks": 1}, (11,)),
        (12, {"blocks": (3, -1)}, (3, 11)),
    ],
)
def test_blocks_are_evenly_spaced_up_to_the_last(depth, switches, blocks):
    assert Projector(16, 32, depth, **switches).blocks == blocks


@pytest.mark.parametrize("blocks", [(3, 4), (), (12, 11), (-13, -1)])
def test_blocks_that_are_not_there_or_leave_the_last_out_are_refused(blocks):
    with pytest.raises(ValueError, match=r"blocks 0 to 11.*the last must be among"):
        Projector(16, 32, 12, blocks=blocks)


def test_the_projector_takes_the_last_block_through_the_backbones_norm():
    neck, seen = Projector(16, 32, 3), features()
    (level,) = neck(seen)
    assert level.tokens.shape == (2, 24, 32) and level.grid == (4, 6) and level.valid is None
    torch.testing.assert_close(level.tokens.mean(-1), torch.zeros(2, 24), atol=1e-5, rtol=0)
    seen.blocks = (*seen.blocks[:-1], torch.full_like(seen.patches, torch.nan))
    torch.testing.assert_close(neck(seen)[0].tokens, level.tokens)
    seen.blocks = (seen.blocks[0] * 100, *seen.blocks[1:])  # a norm of its own takes scales away
    torch.testing.assert_close(neck(seen)[0].tokens, level.tokens, atol=1e-4, rtol=1e-4)


def test_the_pyramid_equals_plain_convolutions():
    neck, seen = Pyramid(16, 32, 3), features()
    image = seen.patches.transpose(1, 2).unflatten(2, (4, 6))
    levels = neck(seen)
    assert [tuple(level.grid) for level in levels] == [(8, 12), (4, 6), (2, 3)]
    scaled = [neck.up(image), image, F.max_pool2d(image, 2)]
    for number, (level, x) in enumerate(zip(levels, scaled, strict=True)):
        for part, padding in ((neck.narrow[number], 0), (neck.smooth[number], 1)):
            x = F.conv2d(x, part.conv.weight, padding=padding)
            x = part.norm(x.movedim(1, -1)).movedim(-1, 1)
        torch.testing.assert_close(level.tokens, x.flatten(2).transpose(1, 2), atol=1e-5, rtol=0)


def test_odd_sides_of_the_pyramid_round_up():
    levels = Pyramid(16, 32, 3, scales=(0.5, 1.0))(features(1, 5))
    assert [tuple(level.grid) for level in levels] == [(1, 5), (1, 3)]
    assert [level.tokens.shape[1] for level in levels] == [5, 3]


@pytest.mark.parametrize("scales", [(), (4.0,), (1.0, 1.0)])
def test_other_scales_are_refused(scales):
    with pytest.raises(ValueError, match=r"head\.neck\.scales.*some of 2, 1 and 0\.5"):
        Pyramid(16, 32, 3, scales=scales)


@pytest.mark.parametrize("neck", [Projector, Pyramid])
def test_padded_tokens_are_zeros_to_every_convolution(neck):
    module = neck(16, 32, 3)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    small = features(2, 4)
    valid = torch.zeros(2, 4, 6, dtype=torch.bool)
    valid[:, :2, :4] = True
    valid = valid.flatten(1)

    def framed(tokens):
        wide = torch.randn(2, 24, 16) * 5
        wide[valid] = tokens.flatten(0, 1)
        return wide

    large = Features(
        patches=framed(small.patches),
        grid=Grid(4, 6),
        prefix=small.prefix,
        blocks=tuple(framed(block) for block in small.blocks),
    )
    for own, other in zip(module(small), module(large, valid), strict=True):
        answer = other.tokens[other.valid].unflatten(0, (2, -1))
        torch.testing.assert_close(answer, own.tokens, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("neck", [Projector, Pyramid])
def test_no_neck_keeps_statistics_of_batches(neck):
    names = [type(part).__name__ for part in neck(16, 32, 3).modules()]
    assert not any("Batch" in name for name in names)
    assert not list(neck(16, 32, 3).buffers())


def test_padding_does_not_win_where_the_pyramid_pools():
    neck, seen = Pyramid(16, 32, 3, scales=(0.5,)), features(2, 2)
    seen.patches = -seen.patches.abs()[:, :1].expand(-1, 4, -1)  # the same everywhere, below zero
    (whole,) = neck(seen)
    valid = torch.tensor([True, False, True, False]).expand(2, -1)
    (half,) = neck(seen, valid)
    torch.testing.assert_close(half.tokens, whole.tokens)
    assert half.valid.tolist() == [[True], [True]]
