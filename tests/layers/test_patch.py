"""Patch embeddings: equal where they should be, refused where they cannot be."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.patch import ConvPatch, ConvStem, LinearPatch


@pytest.mark.parametrize("bias", [True, False])
def test_the_linear_patch_equals_the_convolution(bias):
    linear, conv = LinearPatch(3, 16, 4, bias=bias), ConvPatch(3, 16, 4, bias=bias)
    state = conv.state_dict()
    linear.load_state_dict(state | {"proj.weight": state["proj.weight"].flatten(1)})
    images = torch.randn(2, 3, 12, 20)
    torch.testing.assert_close(linear(images), conv(images), atol=1e-6, rtol=1e-5)
    turned = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(linear(turned), conv(images), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("part", [LinearPatch, ConvPatch, ConvStem])
def test_tokens_come_in_row_major_order(part):
    patch = part(1, 8, 4)
    images = torch.zeros(1, 1, 8, 12)
    before = patch(images)
    images[0, 0, 5, 9] = 1.0  # second row, third column of patches
    changed = (patch(images) - before).abs().amax(-1)[0]
    assert changed.argmax() == 1 * 3 + 2
    assert before.shape == (1, 6, 8)


@pytest.mark.parametrize("part", [LinearPatch, ConvPatch])
@pytest.mark.parametrize(("channels", "size"), [(1, 2), (3, 16)])
def test_unit_pixels_give_unit_tokens_however_many_a_patch_has(part, channels, size):
    tokens = part(channels, 64, size)(torch.randn(32, channels, 4 * size, 4 * size))
    assert 0.8 < tokens.std() < 1.1


@pytest.mark.parametrize("part", [LinearPatch, ConvPatch, ConvStem])
def test_flops_are_those_that_torch_counts(part):
    patch = part(3, 24, 8)
    with FlopCounterMode(display=False) as counter:
        patch(torch.randn(2, 3, 16, 40))
    assert counter.get_total_flops() == 2 * patch.flops(16, 40)


@pytest.mark.parametrize("size", [1, 6, 12])
def test_the_stem_refuses_what_it_cannot_reach_by_halving(size):
    with pytest.raises(ValueError, match="backbone/patch=linear"):
        ConvStem(3, 16, size)


def test_the_stem_treats_each_image_by_itself():
    stem = ConvStem(1, 8, 4)
    images = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(stem(images)[:1], stem(images[:1]), atol=1e-6, rtol=1e-5)
