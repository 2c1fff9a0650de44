"""Attention against a plain transcription of the founding article's formula."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vit.layers.attention import Attention
from vit.layers.softmax_attention import attention, attention_with_weights


def article_attention(q, k, v, mask=None):
    """The article's attention(Q, K, V, mask) in NumPy: its scores with the missing 1/√d_k."""
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask == 0, -1e9, scores)
    scores = scores - scores.max(-1, keepdims=True)  # its plain exponentials overflow
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    return weights @ v, weights


def random_qkv(batch=2, heads=3, queries=7, keys=7, dim=8):
    return (
        torch.randn(batch, heads, queries, dim),
        torch.randn(batch, heads, keys, dim),
        torch.randn(batch, heads, keys, dim),
    )


# 5 keys take the fused path on every CPU; 31 fill its vectors badly and take the plain one.
SIZES = [(5, 5), (31, 31), (6, 31), (130, 9), (1, 200)]


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize(("queries", "keys"), SIZES)
@pytest.mark.parametrize("kind", ["none", "boolean", "integer", "causal", "boolean causal"])
def test_both_paths_equal_the_article_in_float32(heads, queries, keys, kind):
    q, k, v = random_qkv(2, heads, queries, keys)
    mask = None
    if "boolean" in kind or kind == "integer":
        mask = torch.rand(2, 1, queries, keys) > 0.4
        mask[..., 0] = True  # the article gives no meaning to rows without any key
    seen = np.ones((queries, keys), bool) if mask is None else mask.numpy()
    if "causal" in kind:
        seen = seen & np.tril(np.ones((queries, keys), bool))
    expected, expected_weights = article_attention(q.numpy(), k.numpy(), v.numpy(), seen)
    given = mask.long() if kind == "integer" else mask
    causal = "causal" in kind
    fused = attention(q, k, v, given, causal=causal)
    explicit, weights = attention_with_weights(q, k, v, given, causal=causal)
    np.testing.assert_allclose(fused.numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(explicit.numpy(), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(weights.numpy(), expected_weights, rtol=0, atol=1e-6)


def every_mask(queries, keys):
    allowed = torch.rand(2, 1, queries, keys) > 0.5
    additive = torch.randn(1, 3, queries, keys).masked_fill(~allowed[:1], float("-inf"))
    return {
        "none": None,
        "boolean": allowed,
        "boolean, two axes": allowed[0, 0],
        "keys only": allowed[:, :, :1],
        "queries only": allowed[..., :1],
        "additive": additive,
        "additive, two axes": additive[0, 0],
        "additive in double": additive.double(),
    }


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), SIZES)
@pytest.mark.parametrize("kind", every_mask(1, 1))
def test_the_fused_path_equals_the_explicit_one_in_value_and_gradient(queries, keys, kind, causal):
    mask = every_mask(queries, keys)[kind]
    results = []
    inputs = [part.requires_grad_() for part in random_qkv(2, 3, queries, keys)]
    probe = torch.randn(2, 3, queries, 8)
    for path in (attention, lambda *given, **named: attention_with_weights(*given, **named)[0]):
        out = path(*inputs, mask, causal=causal)
        results.append((out, *torch.autograd.grad((out * probe).sum(), inputs)))
    assert (results[0][0] - results[1][0]).abs().max() <= 1e-6
    for fused, explicit in zip(*results, strict=True):
        torch.testing.assert_close(fused, explicit, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("queries", "keys"), SIZES)
@pytest.mark.parametrize("kind", ["boolean", "additive", "causal"])
def test_a_query_that_may_see_nothing_gives_zeros_and_finite_gradients(queries, keys, kind):
    mask = torch.rand(2, 3, queries, keys) > 0.5
    mask[0, :, 0] = False
    mask[1, 0] = False
    if kind == "causal":
        mask[0, :, 0, 1:] = True  # what the causal mask then takes away
    given = mask
    if kind == "additive":
        given = torch.zeros(mask.shape).masked_fill(~mask, float("-inf")).requires_grad_()
    inputs = [part.requires_grad_() for part in random_qkv(2, 3, queries, keys)]
    explicit, weights = attention_with_weights(*inputs, given, causal=kind == "causal")
    for out in (attention(*inputs, given, causal=kind == "causal"), explicit):
        assert torch.equal(out[0, :, 0], torch.zeros(3, 8))
        assert torch.equal(out[1, 0], torch.zeros(queries, 8))
        leaves = [*inputs, given] if kind == "additive" else inputs
        gradients = torch.autograd.grad(out.square().sum(), leaves, retain_graph=True)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert torch.equal(gradients[0][1, 0], torch.zeros(queries, 8))
    assert torch.equal(weights[1, 0], torch.zeros(queries, keys))


def test_without_any_keys_the_answer_is_zeros():
    q, k, v = random_qkv(keys=0)
    assert torch.equal(attention(q, k, v), torch.zeros(2, 3, 7, 8))
    assert attention_with_weights(q, k, v)[1].shape == (2, 3, 7, 0)


def test_large_scores_do_not_overflow():
    q, k, v = random_qkv()
    out, weights = attention_with_weights(q * 1e4, k * 1e4, v)
    assert torch.isfinite(out).all() and torch.isfinite(weights).all()
    assert torch.isfinite(attention(q * 1e4, k * 1e4, v)).all()


def test_the_scale_can_be_set():
    q, k, v = random_qkv()
    torch.testing.assert_close(attention(q, k, v, scale=0.5), attention(q * 0.5 * 8**0.5, k, v))
    torch.testing.assert_close(
        attention_with_weights(q, k, v, scale=0.5)[0], attention(q, k, v, scale=0.5)
    )


@pytest.mark.parametrize("axes", [(2, 5), (5,), (2, 5, 5)])
def test_a_mask_of_unclear_axes_is_refused(axes):
    q, k, v = random_qkv(queries=5, keys=5)
    if len(axes) == 2:
        axes = (2, 1, 1, 1, 5)
    for path in (attention, attention_with_weights):
        with pytest.raises(ValueError, match=r"wanted \[queries, keys\]"):
            path(q, k, v, torch.ones(axes, dtype=torch.bool))


def test_dropout_keeps_the_expected_value_and_drops_weights():
    q, k, v = random_qkv(1, 1, 3, 4)
    v = torch.eye(4, 8).expand(1, 1, 4, 8)  # shows the weights themselves
    weights = attention_with_weights(q, k, v)[1]
    drawn = torch.stack([attention(q, k, v, dropout=0.5)[..., :4] for _ in range(2000)])
    assert (drawn == 0).float().mean().sub(0.5).abs() < 0.05
    torch.testing.assert_close(drawn.mean(0), weights, atol=0.05, rtol=0)


@pytest.mark.parametrize("tokens", [6, 31])
def test_bfloat16_answers_in_bfloat16_near_float32(tokens):
    q, k, v = random_qkv(queries=tokens, keys=tokens)
    mask = torch.randn(tokens, tokens)
    exact = attention(q, k, v, mask)
    halves = [part.bfloat16() for part in (q, k, v)]
    for out in (attention(*halves, mask), attention_with_weights(*halves, mask)[0]):
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), exact, atol=0.05, rtol=0)


def torch_attention(ours, context_dim=None):
    """torch's own module with the weights of ours."""
    dim, heads = ours.proj.in_features, ours.heads
    theirs = nn.MultiheadAttention(dim, heads, batch_first=True, kdim=context_dim, vdim=context_dim)
    with torch.no_grad():
        if context_dim is None:
            theirs.in_proj_weight.copy_(ours.qkv.weight)
            theirs.in_proj_bias.copy_(ours.qkv.bias)
        else:
            theirs.q_proj_weight.copy_(ours.query.weight)
            key, value = ours.key_value.weight.chunk(2)
            theirs.k_proj_weight.copy_(key)
            theirs.v_proj_weight.copy_(value)
            theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.weight.copy_(ours.proj.weight)
        theirs.out_proj.bias.copy_(ours.proj.bias)
    return theirs


def with_random_parameters(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("case", ["self", "cross", "cross of another width", "causal", "padding"])
@pytest.mark.parametrize("heads", [1, 4])
def test_the_module_equals_torchs(case, heads):
    context_dim = 24 if "width" in case else None
    ours = with_random_parameters(Attention(16, heads, context_dim=context_dim))
    theirs = torch_attention(ours, context_dim)
    x = torch.randn(2, 9, 16)
    context = torch.randn(2, 5, context_dim or 16) if "cross" in case else None
    keys = x if context is None else context
    mask = banned = None
    if case == "causal":
        banned = ~torch.ones(9, 9, dtype=torch.bool).tril()
    if case == "padding":
        padding = torch.zeros(2, 9, dtype=torch.bool)
        padding[1, 6:] = True
        mask = ~padding[:, None, None]
    expected, weights = theirs(
        x,
        keys,
        keys,
        attn_mask=banned,
        key_padding_mask=padding if case == "padding" else None,
        average_attn_weights=False,
    )
    out = ours(x, context, mask, causal=case == "causal")
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        ours.with_weights(x, context, mask, causal=case == "causal")[1],
        weights,
        atol=1e-6,
        rtol=1e-5,
    )


def test_queries_and_keys_are_normalised_before_the_usual_scale():
    module = with_random_parameters(Attention(16, 2, qk_norm=nn.LayerNorm))
    x = torch.randn(1, 5, 16)
    q, k, _ = module.qkv(x).unflatten(-1, (3, 2, 8)).unbind(2)
    q, k = module.query_norm(q).transpose(1, 2), module.key_norm(k).transpose(1, 2)
    expected = (q @ k.transpose(-1, -2) / math.sqrt(8)).softmax(-1)
    torch.testing.assert_close(module.with_weights(x)[1], expected)


def test_keys_alone_can_go_without_bias():
    module = with_random_parameters(Attention(16, 2, key_bias=False))
    plain = Attention(16, 2)
    bias = torch.cat([module.query_bias, torch.zeros(16), module.value_bias])
    plain.load_state_dict(
        {"qkv.weight": module.qkv.weight, "qkv.bias": bias}
        | {f"proj.{name}": value for name, value in module.proj.state_dict().items()}
    )
    x, context = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    torch.testing.assert_close(module(x), plain(x))
    torch.testing.assert_close(module(x, context), plain(x, context))


def test_bias_switches_leave_no_parameter_behind():
    names = {
        name for name, _ in Attention(16, 2, qkv_bias=False, proj_bias=False).named_parameters()
    }
    assert names == {"qkv.weight", "proj.weight"}


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match=r"heads=5.*backbone\.heads.*backbone\.dim=65"):
        Attention(64, 5)


def test_a_cross_attention_asks_for_its_context():
    with pytest.raises(ValueError, match="got no context"):
        Attention(16, 2, context_dim=8)(torch.randn(1, 3, 16))


def test_dropouts_act_in_training_only():
    module = Attention(16, 2, dropout=0.5, proj_dropout=0.5)
    x = torch.randn(2, 5, 16)
    plain = Attention(16, 2)
    plain.load_state_dict(module.state_dict())
    assert not torch.equal(module(x), module(x))
    torch.testing.assert_close(module.eval()(x), plain(x))


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize(("context_dim", "across"), [(None, False), (None, True), (24, True)])
def test_positions_reach_queries_and_keys_but_not_values(context_dim, across, norms):
    """As torch's module with its three inputs given apart."""
    width = context_dim or 16
    module = Attention(16, 2, context_dim=context_dim, qk_norm=nn.LayerNorm if norms else None)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, x_position = torch.randn(2, 5, 16), torch.randn(1, 5, 16)
    context = torch.randn(2, 7, width) if across else x
    context_position = torch.randn(2, 7, width) if across else x_position
    answer = module(
        x,
        context if across else None,
        position=x_position,
        context_position=context_position if across else None,
    )
    if context_dim is None:
        weights, biases = module.qkv.weight.chunk(3), module.qkv.bias.chunk(3)
    else:
        weights = (module.query.weight, *module.key_value.weight.chunk(2))
        biases = (module.query.bias, *module.key_value.bias.chunk(2))
    given = (x + x_position, context + context_position, context)
    q, k, v = (
        nn.functional.linear(part, weight, bias).unflatten(-1, (2, 8)).transpose(1, 2)
        for part, weight, bias in zip(given, weights, biases, strict=True)
    )
    if norms:
        q, k = module.query_norm(q), module.key_norm(k)
    expected = module.proj(attention_with_weights(q, k, v)[0].transpose(1, 2).flatten(2))
    torch.testing.assert_close(answer, expected, atol=1e-5, rtol=1e-5)
    _, weights = module.with_weights(
        x, context if across else None, position=x_position, context_position=context_position
    )
    torch.testing.assert_close(weights, attention_with_weights(q, k, v)[1], atol=1e-5, rtol=1e-5)
