"""The two kinds of mlp."""

import pytest
import torch
from timm.layers import SwiGLUPacked
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.attention import Attention
from vit.layers.mlp import Mlp, SwiGlu


def test_gelu_is_exact_unless_tanh_is_asked_for():
    x = torch.randn(4, 8)
    exact = Mlp(8, 16)
    for parameter in exact.parameters():
        torch.nn.init.normal_(parameter)
    hidden = exact.fc1(x)
    erf = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(exact(x), exact.fc2(erf))
    tanh = Mlp(8, 16, gelu="tanh")
    tanh.load_state_dict(exact.state_dict())
    cubic = 0.5 * hidden * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (hidden + 0.044715 * hidden**3)))
    torch.testing.assert_close(tanh(x), tanh.fc2(cubic))
    assert (tanh(x) - exact(x)).abs().max() > 1e-4


def test_swiglu_equals_timms():
    ours = SwiGlu(12, 48)  # 32 = two thirds of 48
    theirs = SwiGLUPacked(12, 64, gate_last=False)
    theirs.load_state_dict(
        {
            "fc1.weight": ours.gate_value.weight,
            "fc1.bias": ours.gate_value.bias,
            "fc2.weight": ours.fc2.weight,
            "fc2.bias": ours.fc2.bias,
        }
    )
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("hidden", "expected"), [(256, 176), (3072, 2048), (768, 512)])
def test_swiglu_takes_two_thirds_rounded_up_to_eights(hidden, expected):
    assert SwiGlu(8, hidden).hidden == expected


@pytest.mark.parametrize("part", [Mlp, SwiGlu])
def test_flops_are_those_that_torch_counts(part):
    mlp = part(16, 40)
    with FlopCounterMode(display=False) as counter:
        mlp(torch.randn(3, 7, 16))
    assert counter.get_total_flops() == 3 * mlp.flops(7)


@pytest.mark.parametrize("part", [Mlp, SwiGlu])
def test_biases_start_at_zero_and_can_be_left_out(part):
    for name, parameter in part(64, 256).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            assert 0.018 < parameter.std() < 0.022
    assert not [name for name, _ in part(16, 40, bias=False).named_parameters() if "bias" in name]


@pytest.mark.parametrize("part", [Mlp, SwiGlu])
def test_dropout_acts_in_training_only(part):
    mlp = part(16, 40, dropout=0.5)
    plain = part(16, 40)
    plain.load_state_dict(mlp.state_dict())
    x = torch.randn(3, 7, 16)
    assert not torch.equal(mlp(x), mlp(x))
    assert torch.equal(mlp.eval()(x), plain(x))


def test_weights_start_by_glorots_rule_where_it_is_asked_for():
    makers = {
        "fc1.weight": (64, 256, lambda **given: Mlp(64, 256, **given)),
        "qkv.weight": (64, 192, lambda **given: Attention(64, 4, **given)),
        "query.weight": (64, 64, lambda **given: Attention(64, 4, context_dim=32, **given)),
        "key_value.weight": (32, 128, lambda **given: Attention(64, 4, context_dim=32, **given)),
        "proj.weight": (64, 64, lambda **given: Attention(64, 4, context_dim=32, **given)),
    }
    for name, (inputs, outputs, make) in makers.items():
        glorot, plain = make(start="glorot"), make()
        deviation = (2 / (inputs + outputs)) ** 0.5
        assert glorot.get_parameter(name).std().item() == pytest.approx(deviation, rel=0.05), name
        assert plain.get_parameter(name).std().item() == pytest.approx(0.02, rel=0.05), name
        assert not any(p.any() for key, p in glorot.named_parameters() if key.endswith("bias"))
