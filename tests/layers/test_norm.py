"""Norms with the papers' epsilon."""

import torch

from vit.layers.norm import LayerNorm, RMSNorm


def test_layer_norm_uses_its_epsilon():
    x = torch.randn(5, 8) * 1e-3  # small enough for the epsilon to show
    centred = x - x.mean(-1, keepdim=True)
    for eps in (1e-6, 1e-12):
        expected = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        torch.testing.assert_close(LayerNorm(8, eps=eps)(x), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(LayerNorm(8)(x), LayerNorm(8, eps=1e-6)(x))


def test_rms_norm_does_not_centre():
    x = torch.randn(5, 8) + 3
    torch.testing.assert_close(RMSNorm(8)(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt())


def test_switches_leave_only_the_parameters_they_need():
    assert [name for name, _ in RMSNorm(8).named_parameters()] == ["weight"]
    assert [name for name, _ in LayerNorm(8, bias=False).named_parameters()] == ["weight"]
