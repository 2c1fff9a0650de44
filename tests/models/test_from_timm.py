"""Our backbone with timm's weights has timm's function, to rounding: random weights, no network."""

import pytest
import timm
import torch
from randomised import randomised

from vit.models.pretrained import from_timm, to_timm

SMALL = {"embed_dim": 48, "depth": 2, "num_heads": 2}
# One of each family, at two blocks: what it has of its own, and what stands for it in others.
FAMILIES = {
    "vit_tiny_patch16_224": "a position of the class token",
    "deit_tiny_distilled_patch16_224": "two tokens with positions",
    "deit3_small_patch16_224": "LayerScale, no position of the class token",
    "vit_small_patch14_reg4_dinov2": "registers",
    "vit_giant_patch14_dinov2": "a packed SwiGLU",
    "vit_base_patch16_clip_quickgelu_224": "a norm before the blocks, QuickGELU",
    "vit_so400m_patch14_siglip_384": "patches that do not divide the image, tanh-GELU",
    "vit_base_patch16_siglip_gap_224": "no class token",
    "vit_small_patch16_dinov3": "DINOv3's RoPE",
    "vit_small_plus_patch16_dinov3": "SwiGLU with DINOv3's RoPE",
    "eva02_tiny_patch14_224": "interleaved RoPE beside a table, queries and keys apart",
    "eva02_base_patch14_224": "a norm inside of the SwiGLU",
    "vit_pe_core_tiny_patch16_384": "RoPE from 1, columns first",
    "vit_pe_spatial_tiny_patch16_512": "no last norm",
}


# And these by a slow test: every family, its sizes, its years.
MORE = [
    "vit_tiny_patch16_384",
    "vit_small_patch32_224",
    "vit_small_patch16_224",
    "vit_small_patch8_224",
    "vit_base_patch32_224",
    "vit_base_patch16_224",
    "vit_base_patch16_384",
    "vit_base_patch8_224",
    "vit_large_patch16_224",
    "vit_large_patch14_224",
    "vit_huge_patch14_224",
    "vit_giant_patch14_224",
    "vit_base_patch16_224_miil",
    "vit_base_patch16_gap_224",
    "vit_medium_patch16_gap_240",
    "vit_small_patch14_dinov2",
    "vit_base_patch14_dinov2",
    "vit_large_patch14_dinov2",
    "vit_base_patch14_reg4_dinov2",
    "vit_giant_patch14_reg4_dinov2",
    "deit_tiny_patch16_224",
    "deit_small_patch16_224",
    "deit_base_patch16_224",
    "deit_base_patch16_384",
    "deit_small_distilled_patch16_224",
    "deit_base_distilled_patch16_224",
    "deit3_medium_patch16_224",
    "deit3_base_patch16_224",
    "deit3_large_patch16_224",
    "deit3_huge_patch14_224",
    "vit_base_patch32_clip_224",
    "vit_base_patch16_clip_224",
    "vit_base_patch16_clip_384",
    "vit_large_patch14_clip_224",
    "vit_large_patch14_clip_336",
    "vit_huge_patch14_clip_224",
    "vit_base_patch32_clip_quickgelu_224",
    "vit_large_patch14_clip_quickgelu_224",
    "vit_base_patch32_siglip_256",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_256",
    "vit_base_patch16_siglip_384",
    "vit_large_patch16_siglip_256",
    "vit_large_patch16_siglip_gap_256",
    "vit_so400m_patch14_siglip_224",
    "vit_so400m_patch14_siglip_378",
    "vit_so400m_patch16_siglip_256",
    "vit_giantopt_patch16_siglip_256",
    "vit_base_patch16_dinov3",
    "vit_large_patch16_dinov3",
    "vit_huge_plus_patch16_dinov3",
    "vit_7b_patch16_dinov3",
    "vit_small_patch16_dinov3_qkvb",
    "vit_base_patch16_dinov3_qkvb",
    "eva02_small_patch14_224",
    "eva02_large_patch14_224",
    "eva_large_patch14_196",
    "eva_giant_patch14_224",
    "vit_pe_core_small_patch16_384",
    "vit_pe_core_base_patch16_224",
    "vit_pe_core_large_patch14_336",
    "vit_pe_lang_large_patch14_448",
    "vit_pe_spatial_small_patch16_512",
    "vit_pe_spatial_base_patch16_512",
]


def theirs_of(name, **more):
    return randomised(timm.create_model(name, **{**SMALL, **more}))


def tokens_of(ours, images):
    features = ours(images)
    return torch.cat([features.prefix, features.patches], dim=1)


@pytest.mark.parametrize(
    "name", [*FAMILIES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]
)
def test_the_tokens_are_timms_and_the_way_back_is_byte_for_byte(name):
    theirs = theirs_of(name)
    ours = from_timm(theirs, name)
    images = torch.randn(1, 3, *theirs.patch_embed.img_size)
    with torch.no_grad():
        single = tokens_of(ours, images)
        theirs, ours, images = theirs.double(), ours.double(), images.double()
        expected = theirs.forward_features(images)
        scale = expected.abs().mean()
        assert scale > 0.1
        assert (tokens_of(ours, images) - expected).abs().max() < 1e-9
        # Against the function itself: timm's own float32 is up to 2.8e-5 away from it.
        assert (single - expected).abs().max() / scale < 1e-5
    given = to_timm(ours, theirs)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in given.items())
    assert not theirs.load_state_dict(given, strict=False).unexpected_keys


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "vit_small_patch16_dinov3", "eva02_tiny_patch14_224"]
)
@pytest.mark.parametrize("factors", [(1, 2), (0.5, 1.5)])
def test_and_at_another_size_as_timm_resizes(name, factors):
    theirs = theirs_of(name, img_size=112, dynamic_img_size=True).double()
    ours = from_timm(theirs, name)
    side = theirs.patch_embed.patch_size[0]
    height, width = (int(112 // side * factor) * side for factor in factors)
    images = torch.randn(1, 3, height, width, dtype=torch.float64)
    with torch.no_grad():
        difference = tokens_of(ours, images) - theirs.forward_features(images)
    assert difference.abs().max() < 1e-9


def test_gradients_are_timms_too():
    theirs = theirs_of("deit3_small_patch16_224", img_size=32).double()
    ours = from_timm(theirs, "deit3_small_patch16_224")
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    theirs.forward_features(images).square().mean().backward()
    tokens_of(ours, images).square().mean().backward()
    for mine, name in (
        ("blocks.0.attention.qkv.weight", "blocks.0.attn.qkv.weight"),
        ("blocks.1.scale2.gain", "blocks.1.ls2.gamma"),
        ("class_token", "cls_token"),
    ):
        expected = theirs.get_parameter(name).grad
        assert (ours.get_parameter(mine).grad - expected).abs().max() < 1e-9


REFUSED = {
    "beit_base_patch16_224": "class Beit",
    "resnet18": "class ResNet",
    "vit_base_patch16_rope_mixed_224": "RotaryEmbeddingMixed",
    "vit_relpos_small_patch16_224": "class VisionTransformerRelPos",
    "vit_small_r26_s32_224": "patches of timm's class",
    "swin_tiny_patch4_window7_224": "class SwinTransformer",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        from_timm({}, name)


def test_weights_of_another_model_are_not_returned_as_timms():
    ours = from_timm(theirs_of("vit_tiny_patch16_224", img_size=32))
    with pytest.raises(ValueError, match="not the weights of"):
        to_timm(ours, theirs_of("deit3_small_patch16_224", img_size=32))
