"""A block, its gains and its stochastic depth."""

import pytest
import torch

from vit.layers.attention import Attention
from vit.layers.block import Block
from vit.layers.drop_path import DropPath
from vit.layers.layer_scale import LayerScale
from vit.layers.mlp import Mlp
from vit.layers.norm import LayerNorm


def make(**switches):
    return Block(16, Attention(16, 2), Mlp(16, 32), LayerNorm, **switches)


def test_a_block_is_two_residual_branches():
    block, x = make(), torch.randn(2, 5, 16)
    y = x + block.attention(block.norm1(x))
    torch.testing.assert_close(block(x), y + block.mlp(block.norm2(y)))


def test_switched_off_parts_leave_no_module_and_the_same_numbers():
    torch.manual_seed(1)
    plain = make()
    torch.manual_seed(1)
    off = make(layer_scale=None, drop_path=0.0)
    kinds = {type(module) for module in off.modules()}
    assert not kinds & {DropPath, LayerScale, torch.nn.Dropout, torch.nn.Identity}
    assert list(off.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 5, 16)
    assert torch.equal(off(x), plain(x))


def test_layer_scale_multiplies_each_branch():
    block, plain = make(layer_scale=0.1), make()
    plain.load_state_dict(block.state_dict(), strict=False)
    x = torch.randn(2, 5, 16)
    y = x + 0.1 * plain.attention(plain.norm1(x))
    torch.testing.assert_close(block(x), y + 0.1 * plain.mlp(plain.norm2(y)))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    drop, x = DropPath(0.25), torch.ones(4000, 3, 2)
    y = drop(x)
    assert (y.amin((1, 2)) == y.amax((1, 2))).all()
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert (y.mean() - 1).abs() < 0.05
    assert torch.equal(drop.eval()(x), x)


@pytest.mark.parametrize("rate", [1.0, -0.1, 1.5])
def test_drop_path_refuses_rates_that_are_no_share(rate):
    with pytest.raises(ValueError, match=r"backbone\.drop_path"):
        DropPath(rate)


def test_the_branches_of_a_block_are_dropped_apart():
    block, x = make(drop_path=0.5), torch.randn(400, 5, 16)
    changed = (block(x) - x).abs().amax((1, 2)) > 0
    assert 0.65 < changed.float().mean() < 0.85  # 3 of 4 keep at least one of the two


def test_masks_reach_the_attention():
    block, x = make(), torch.randn(2, 5, 16)
    shorter = block(x[:, :3])
    mask = torch.arange(5) < 3
    torch.testing.assert_close(block(x, mask[None, :])[:, :3], shorter)
    torch.testing.assert_close(block(x, causal=True)[:, :3], block(x[:, :3], causal=True))
