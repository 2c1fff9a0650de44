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
    "vit_base_patch16_siglip_gap_224": "a norm of what is pooled",
    "vit_small_patch16_dinov3": "DINOv3's RoPE",
    "vit_small_plus_patch16_dinov3": "SwiGLU with DINOv3's RoPE",
    "eva02_tiny_patch14_224": "interleaved RoPE beside a table, queries and keys apart",
    "eva02_base_patch14_224": "a norm inside of the SwiGLU",
    "vit_pe_core_tiny_patch16_384": "RoPE from 1, columns first",
    "vit_pe_spatial_tiny_patch16_512": "no last norm",
}


def theirs_of(name, **more):
    return randomised(timm.create_model(name, **{**SMALL, **more}))


def tokens_of(ours, images):
    features = ours(images)
    return torch.cat([features.prefix, features.patches], dim=1)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_tokens_are_timms_and_the_way_back_is_byte_for_byte(name):
    theirs = theirs_of(name)
    ours = from_timm(theirs, name)
    images = torch.randn(1, 3, *theirs.patch_embed.img_size)
    with torch.no_grad():
        expected = theirs.forward_features(images)
        scale = expected.abs().mean()
        assert scale > 0.1
        single = (tokens_of(ours, images) - expected).abs().max()
        assert single / scale < 1e-5
        theirs, ours, images = theirs.double(), ours.double(), images.double()
        assert (tokens_of(ours, images) - theirs.forward_features(images)).abs().max() < 1e-9
    given = to_timm(ours, theirs)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in given.items())
    assert not theirs.load_state_dict(given, strict=False).unexpected_keys
