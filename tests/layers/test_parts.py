"""Parts by what they can do, and attention of other people's beside ours."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vit.explain.maps import seen_by
from vit.explain.record import recorded
from vit.layers import attention, mlp, norm, patch, position, sequence_position
from vit.layers.attention import Attention
from vit.layers.kv_cache import Memory
from vit.layers.linear import linear
from vit.layers.parts import (
    AttentionPart,
    MlpPart,
    NormPart,
    PatchPart,
    PositionPart,
    TokenPositionPart,
)
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.models.detector import Detector
from vit.models.heads.tokens import TokensHead
from vit.models.sequence import TokenTransformer
from vit.slots import fits, slots_of


class GatedAttention(Attention):
    """Each number that a head answers is gated by the token that asked.

    Source: Qiu et al. 2025, arXiv:2505.06708 (elementwise, behind the heads).
    """

    def __init__(self, dim, heads, context_dim=None, **given):
        super().__init__(dim, heads, context_dim, **given)
        self.gate = linear(dim, dim)

    def joined(self, answers, x):
        return super().joined(answers, x) * self.gate(x).sigmoid()

    def flops(self, tokens, context_tokens=None):
        return super().flops(tokens, context_tokens) + 2 * tokens * self.gate.weight.numel()


class MeanOfHeads(nn.Module):
    """No subclass of ours: it mixes what an attention of ours and its own way of asking answer."""

    def __init__(self, dim, heads, **given):
        super().__init__()
        self.inner = Attention(dim, heads, **given)

    def forward(self, x, *, mask=None, causal=False, rotate=None):
        return self.inner(x, mask=mask, causal=causal, rotate=rotate) / 2

    def with_weights(self, x, *, mask=None, causal=False, rotate=None):
        out, weights = self.inner.with_weights(x, mask=mask, causal=causal, rotate=rotate)
        return out / 2, weights

    def flops(self, tokens):
        return self.inner.flops(tokens)


def randomised(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module


def body(part, **more):
    return ViT((8, 12), 1, dim=16, depth=2, heads=2, patch_size=4, attention=part, **more)


def classifier(part):
    return Classifier(body(part), Head(16, 3))


@pytest.mark.parametrize("across", [False, True])
def test_a_gate_reaches_both_paths_by_one_method(across):
    module = randomised(GatedAttention(16, 2, 24 if across else None)).eval()
    x, context = torch.randn(2, 7, 16), torch.randn(2, 5, 24) if across else None
    out, weights = module.with_weights(x, context)
    assert (module(x, context) - out).abs().max() <= 1e-6
    open_ = copy.deepcopy(module)
    nn.init.zeros_(open_.gate.weight), nn.init.constant_(open_.gate.bias, 50.0)
    plain = Attention(16, 2, 24 if across else None)
    plain.load_state_dict({k: v for k, v in module.state_dict().items() if "gate" not in k})
    torch.testing.assert_close(open_(x, context), plain(x, context))
    by_hand = plain.with_weights(x, context)[0] - plain.proj.bias
    by_hand = torch.linalg.solve(plain.proj.weight, by_hand.mT).mT  # what the heads answered
    gated = plain.proj(by_hand * module.gate(x).sigmoid())
    torch.testing.assert_close(out, gated, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(weights, plain.with_weights(x, context)[1])


def test_a_gated_model_learns_and_counts_its_gates():
    model, images = classifier(GatedAttention), torch.randn(4, 1, 8, 12)
    labels = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = copy.deepcopy(model.state_dict())
    losses = []
    for _ in range(3):
        losses.append(F.cross_entropy(model(images), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    gates = [name for name in before if ".gate." in name]
    assert len(gates) == 4 and losses[-1] < losses[0]
    assert all(not torch.equal(before[name], model.state_dict()[name]) for name in gates)
    plain = classifier(Attention)
    assert model.flops(8, 12) - plain.flops(8, 12) == 2 * 2 * 6 * 16 * 16
    assert model.backbone.depths()["blocks.1.attention.gate.weight"] == 2
    assert "blocks.1.attention.gate.weight" not in model.backbone.no_weight_decay()


@pytest.mark.parametrize("part", [GatedAttention, MeanOfHeads])
def test_another_attention_is_looked_into_once_a_block(part):
    model, image = randomised(classifier(part)).eval(), torch.rand(1, 8, 12)
    before = model(image[None])
    with recorded(model) as recording, torch.enable_grad():
        during = model(image[None])
    assert [look.name for look in recording.looks] == [
        f"backbone.blocks.{number}.attention" for number in range(2)
    ]
    torch.testing.assert_close(during, before, atol=1e-6, rtol=1e-5)
    gradients = torch.autograd.grad(during[0, 1], [look.weights for look in recording.looks])
    assert all(gradient.any() for gradient in gradients)
    seen = seen_by(model, image)
    assert [tuple(layer.shape) for layer in seen.layers] == [(2, 6)] * 2
    assert seen.relevance.any()
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("part", [GatedAttention, MeanOfHeads])
def test_a_head_that_drives_the_stages_has_them_looked_into(part):
    head = TokensHead(16, 3, 4, 2, num_queries=5)
    model = randomised(Detector(body(part, registers=1), head)).eval()
    seen = seen_by(model, torch.rand(1, 8, 12), threshold=0.0)
    assert len(seen.detections) == 5
    assert all(each.maps["relevance"].any() for each in seen.detections)


def test_a_text_model_takes_a_gate_for_tokens_and_for_their_context():
    model = randomised(
        TokenTransformer(9, 6, 24, dim=16, depth=1, heads=2, attention=GatedAttention)
    )
    tokens, context = torch.tensor([[3, 4, 5]]), torch.randn(1, 4, 24)
    model.eval()
    fused = model(tokens, context).patches
    with recorded(model) as recording:
        explicit = model(tokens, context).patches
    assert [look.cross for look in recording.looks] == [False, True]
    assert (fused - explicit).abs().max() <= 1e-5


def test_a_pass_with_a_memory_is_not_recorded_by_halves():
    model = nn.ModuleDict({"attention": Attention(16, 2)}).eval()
    with recorded(model), pytest.raises(ValueError, match="without a memory"):
        model["attention"](torch.randn(1, 3, 16), memory=Memory())
    model["attention"](torch.randn(1, 3, 16), memory=Memory())


GRID = {"dim": 16, "heads": 2, "grid": (2, 3)}
SHIPPED = {
    PatchPart: [patch.LinearPatch(1, 16, 4), patch.ConvPatch(1, 16, 4), patch.ConvStem(1, 16, 4)],
    PositionPart: [
        position.NoPosition(**GRID),
        position.LearnedPosition(**GRID),
        position.SinCosPosition(**GRID),
        position.AxialRope(**GRID),
        position.Combined(**GRID, added=position.LearnedPosition, rotary=position.AxialRope),
    ],
    TokenPositionPart: [
        sequence_position.NoTokenPosition(16, 2, 6),
        sequence_position.LearnedTokenPosition(16, 2, 6),
        sequence_position.SinusoidalPosition(16, 2, 6),
        sequence_position.RotaryPosition(16, 2, 6),
    ],
    NormPart: [norm.LayerNorm(16), norm.RMSNorm(16), nn.LayerNorm(16)],
    MlpPart: [mlp.Mlp(16, 32), mlp.SwiGlu(16, 32)],
    AttentionPart: [attention.Attention(16, 2), GatedAttention(16, 2), MeanOfHeads(16, 2)],
}


def test_what_is_shipped_is_what_its_protocol_asks_for():
    for protocol, parts in SHIPPED.items():
        for part in parts:
            assert isinstance(part, protocol), part
            assert isinstance(part, AttentionPart) == (protocol is AttentionPart), part


@pytest.mark.parametrize("owner", [ViT, TokenTransformer])
def test_a_slot_takes_its_protocol_and_torch_modules_alone(owner):
    slots = slots_of(owner.__init__)
    assert fits(Attention, True, slots["attention"], False)
    assert not fits(mlp.Mlp, True, slots["attention"], False)
    assert not fits(nn.Linear, True, slots["mlp"], False)
    assert fits(nn.LayerNorm, True, slots["norm"], False)
    function = torch.autograd.Function  # it has a `forward` as well
    assert not fits(function, True, slots["norm"], False)


def test_an_attention_that_shows_no_weights_is_reported_what_it_lacks():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(16, 2)}).eval()
    with pytest.raises(ValueError, match=r"no attention.*with_weights.*AttentionPart"):
        recorded(model).__enter__()
