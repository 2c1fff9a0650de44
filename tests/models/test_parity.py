"""Our ViT with the weights of others gives their numbers: tiny random models, no downloads."""

import re
from functools import partial

import pytest
import timm
import torch
import torchvision
from randomised import randomised

from vit.layers.mlp import SwiGlu
from vit.layers.norm import LayerNorm
from vit.layers.pool import ClsPool, MeanPool
from vit.layers.position import AxialRope
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head

SMALL = {"dim": 32, "depth": 3, "heads": 2, "patch_size": 4}

# What others call the same parameter, in the order the renaming needs.
NAMES = [
    (r"^encoder\.", ""),
    (r"^model\.", ""),
    (r"^embeddings\.", ""),
    (r"^(layers\.encoder_layer_|layers\.|layer\.)(\d)", r"blocks.\2"),
    (r"^(patch_embed\.proj|patch_embeddings(\.projection)?|conv_proj)\.", "patch.proj."),
    (r"^(cls_token|class_token)$", "class_token"),
    (r"^(reg_token|register_tokens)$", "registers"),
    (r"^(ln|layernorm)\.", "norm."),
    (r"\.(ln_1|layernorm_before)\.", ".norm1."),
    (r"\.(ln_2|layernorm_after)\.", ".norm2."),
    (r"\.(attn|self_attention)\.", ".attention."),
    (r"\.in_proj_", ".qkv."),
    (r"\.(o_proj|out_proj)\.", ".proj."),
    (r"\.(q_norm)\.", ".query_norm."),
    (r"\.(k_norm)\.", ".key_norm."),
    (r"\.ls(\d)\.gamma$", r".scale\1.gain"),
    (r"\.layer_scale(\d)\.lambda1$", r".scale\1.gain"),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"\.down_proj\.", ".fc2."),
]


def translated(theirs, grid, class_position=True):
    """A state dict of theirs in our names: one table of positions, one matrix for q, k and v."""
    state = {}
    for name, value in theirs.state_dict().items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        state[name] = value
    for name in ("pos_embed", "pos_embedding", "position_embeddings"):
        if name in state:
            position = state.pop(name)
            if class_position:  # theirs adds a position to the class token, too
                state["class_token"] = state["class_token"] + position[:, :1]
                position = position[:, 1:]
            state["position.table"] = position.reshape(*grid, -1)
    for name in [name for name in state if name.endswith(".q_proj.weight")]:
        stem, q = name.removesuffix(".q_proj.weight"), state.pop(name)
        weights = [q, state.pop(f"{stem}.k_proj.weight"), state.pop(f"{stem}.v_proj.weight")]
        state[f"{stem}.qkv.weight"] = torch.cat(weights)
        biases = [state.pop(f"{stem}.{part}_proj.bias", None) for part in "qkv"]
        if biases[1] is None:
            state[f"{stem}.query_bias"], state[f"{stem}.value_bias"] = biases[0], biases[2]
        else:
            state[f"{stem}.qkv.bias"] = torch.cat(biases)
    for name in [name for name in state if ".mlp.gate_proj." in name]:
        parts = [state.pop(name), state.pop(name.replace("gate_proj", "up_proj"))]
        state[name.replace("gate_proj", "gate_value")] = torch.cat(parts)
    if not any("gate_value" in name for name in state):  # DINOv3 calls a plain mlp's half so, too
        state = {name.replace(".up_proj.", ".fc1."): value for name, value in state.items()}
    state["patch.proj.weight"] = state["patch.proj.weight"].flatten(1)
    return state


def tokens_of(backbone, images):
    features = backbone.eval()(images)
    return torch.cat([features.prefix, features.patches], dim=1)


def assert_same(ours, theirs):
    assert theirs.abs().mean() > 0.1  # else anything would pass
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


TIMM = {
    "plain": ({}, {}),
    "layer scale": ({"init_values": 0.1}, {"layer_scale": 0.1}),
    "norms of q and k": ({"qk_norm": True}, {"qk_norm": True}),
    "no biases": (
        {"qkv_bias": False, "proj_bias": False},
        {"qkv_bias": False, "proj_bias": False, "mlp_bias": False},
    ),
    "registers": ({"reg_tokens": 3}, {"registers": 3}),
}


@pytest.mark.parametrize("case", TIMM)
def test_equals_timm(case):
    theirs_have, ours_have = TIMM[case]
    theirs = randomised(
        timm.models.VisionTransformer(
            img_size=(16, 24),
            patch_size=4,
            embed_dim=32,
            depth=3,
            num_heads=2,
            num_classes=0,
            class_token=True,
            no_embed_class=True,
            **theirs_have,
        )
    )
    ours = ViT((16, 24), 3, class_token=True, **SMALL, **ours_have)
    ours.load_state_dict(translated(theirs, (4, 6), class_position=False))
    images = torch.randn(2, 3, 16, 24)
    assert_same(tokens_of(ours, images), theirs.forward_features(images))
    _, taken = theirs.forward_intermediates(images, indices=[0, 1], output_fmt="NLC")
    for own, other in zip(ours(images, (1, 0)).blocks, taken[::-1], strict=True):
        assert_same(own, other)


def test_equals_timm_at_another_size():
    theirs = timm.models.VisionTransformer(
        img_size=16, patch_size=4, embed_dim=32, depth=3, num_heads=2, dynamic_img_size=True
    )
    randomised(theirs).reset_classifier(0)
    ours = ViT((16, 16), 3, class_token=True, **SMALL)
    ours.load_state_dict(translated(theirs, (4, 4)))
    for height, width in ((16, 16), (12, 28), (40, 24)):
        images = torch.randn(2, 3, height, width)
        assert_same(tokens_of(ours, images), theirs.forward_features(images))


@pytest.mark.parametrize(("pool", "name"), [(ClsPool, "token"), (MeanPool, "avg")])
def test_a_classifier_equals_timms(pool, name):
    theirs = randomised(
        timm.models.VisionTransformer(
            img_size=16,
            patch_size=4,
            in_chans=1,
            embed_dim=32,
            depth=3,
            num_heads=2,
            num_classes=5,
            global_pool=name,
            fc_norm=False,  # as ours, theirs then normalises before it pools
        )
    )
    head = Head(32, 5, pool=pool)
    ours = Classifier(ViT((16, 16), 1, class_token=True, **SMALL), head).eval()
    state = translated(theirs, (4, 4))
    head.linear.load_state_dict({part: state.pop(f"head.{part}") for part in ("weight", "bias")})
    ours.backbone.load_state_dict(state)
    images = torch.randn(2, 1, 16, 16)
    assert_same(ours(images), theirs(images))


def test_equals_torchvision():
    theirs = randomised(torchvision.models.VisionTransformer(16, 4, 3, 2, 32, 128, num_classes=5))
    head = Head(32, 5, pool=ClsPool)
    ours = Classifier(ViT((16, 16), 3, class_token=True, **SMALL), head).eval()
    state = translated(theirs, (4, 4))
    head.linear.load_state_dict(
        {part: state.pop(f"heads.head.{part}") for part in ("weight", "bias")}
    )
    ours.backbone.load_state_dict(state)
    images = torch.randn(2, 3, 16, 16)
    assert_same(ours(images), theirs(images))


HUGGING_FACE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "image_size": 16,
    "patch_size": 4,
}


def test_equals_hugging_face_vit():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**HUGGING_FACE)
    theirs = randomised(transformers.ViTModel(config, add_pooling_layer=False))
    norm = partial(LayerNorm, eps=1e-12)
    ours = ViT((16, 16), 3, class_token=True, norm=norm, **SMALL)
    ours.load_state_dict(translated(theirs, (4, 4)))
    images = torch.randn(2, 3, 16, 16)
    assert_same(tokens_of(ours, images), theirs(images).last_hidden_state)


@pytest.mark.parametrize("swiglu", [False, True])
def test_equals_hugging_face_dinov2_with_registers(swiglu):
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2WithRegistersConfig(
        **HUGGING_FACE, num_register_tokens=2, use_swiglu_ffn=swiglu
    )
    theirs = randomised(transformers.Dinov2WithRegistersModel(config))
    parts = {"mlp": SwiGlu} if swiglu else {}
    ours = ViT((16, 16), 3, class_token=True, registers=2, layer_scale=1.0, **SMALL, **parts)
    state = translated(theirs, (4, 4))
    del state["mask_token"]
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 16, 16)
    assert_same(tokens_of(ours, images), theirs(images).last_hidden_state)


@pytest.mark.parametrize("gated", [False, True])
def test_equals_hugging_face_dinov3_with_rotary_positions(gated):
    transformers = pytest.importorskip("transformers")
    width = (
        {"intermediate_size": 88, "hidden_act": "silu"} if gated else {}
    )  # 88: 128·2/3 in eights
    config = transformers.DINOv3ViTConfig(
        **HUGGING_FACE | width, num_register_tokens=2, use_gated_mlp=gated
    )
    theirs = randomised(transformers.DINOv3ViTModel(config))
    ours = ViT(
        (16, 16),
        3,
        class_token=True,
        registers=2,
        layer_scale=1.0,
        key_bias=False,
        position=partial(AxialRope, rescale=2.0),  # stretches in training only, theirs too
        norm=partial(LayerNorm, eps=1e-5),
        **SMALL,
        **({"mlp": SwiGlu} if gated else {}),
    )
    state = translated(theirs, (4, 4))
    del state["mask_token"]
    ours.load_state_dict(state)
    for height, width in ((16, 16), (12, 28)):
        images = torch.randn(2, 3, height, width)
        assert_same(tokens_of(ours, images), theirs(images).last_hidden_state)
