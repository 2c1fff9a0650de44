"""Pools: which tokens they see."""

from functools import partial

import pytest
import torch
from timm.layers import AttentionPoolLatent
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.pool import AttentionPool, ClsPool, MeanPool


def test_the_mean_leaves_prefix_tokens_out():
    patches, prefix = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    torch.testing.assert_close(MeanPool(8)(patches, prefix), patches.mean(1))


def test_the_class_token_is_the_first_of_the_prefix():
    patches, prefix = torch.randn(2, 6, 8), torch.randn(2, 3, 8)
    assert torch.equal(ClsPool(8)(patches, prefix), prefix[:, 0])


def test_attention_pooling_equals_timms():
    ours = AttentionPool(16, heads=2)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs = AttentionPoolLatent(16, num_heads=2, norm_layer=partial(torch.nn.LayerNorm, eps=1e-6))
    state = ours.state_dict()
    names = {"probe": "latent", "attention.query": "q", "attention.key_value": "kv"}
    names["attention.proj"] = "proj"
    for name, value in state.items():
        for mine, timms in names.items():
            name = name.replace(mine, timms)
        theirs.get_parameter(name).data.copy_(value)
    patches = torch.randn(3, 6, 16)
    torch.testing.assert_close(ours(patches, patches[:, :0]), theirs(patches))


def test_attention_pooling_says_which_heads_do_not_divide():
    with pytest.raises(ValueError, match=r"heads=3.*head\.pool\.heads"):
        AttentionPool(16, heads=3)


@pytest.mark.parametrize("part", [MeanPool, ClsPool, AttentionPool])
def test_flops_are_those_that_torch_counts(part):
    pool = part(16)
    with (
        FlopCounterMode(display=False) as counter,
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        pool(torch.randn(3, 7, 16), torch.randn(3, 1, 16))
    assert counter.get_total_flops() == 3 * pool.flops(7)
