"""Our backbone with weights of Hugging Face's and torchvision's models has their function."""

import pytest
import torch
import torchvision
import transformers
from randomised import randomised

from vit.models.pretrained import from_hf, from_torchvision, to_hf, to_torchvision

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 56,
    "patch_size": 14,
}
MODELS = {
    "ViT": {},
    "DeiT": {},
    "Dinov2": {},
    "Dinov2 swiglu": {"use_swiglu_ffn": True},
    "Dinov2WithRegisters": {"num_register_tokens": 2},
    "DINOv3ViT": {"num_register_tokens": 2},
    "DINOv3ViT gated": {"use_gated_mlp": True, "hidden_act": "silu", "num_register_tokens": 0},
    "DINOv3ViT key bias": {"key_bias": True, "num_register_tokens": 1},
    "SiglipVision": {},
    "CLIPVision": {},
}
# Those that take other sizes only when asked to.
SWITCHED = ("ViT", "DeiT", "SiglipVision", "CLIPVision")


def theirs_of(case):
    name = case.partition(" ")[0]
    config = getattr(transformers, f"{name}Config")(**SMALL, **MODELS[case])
    model = randomised(getattr(transformers, f"{name}Model")(config))
    return model, {"interpolate_pos_encoding": True} if name in SWITCHED else {}


def tokens_of(ours, images):
    features = ours(images)
    return torch.cat([features.prefix, features.patches], dim=1)


@pytest.mark.parametrize("case", MODELS)
def test_hugging_faces_tokens_at_its_own_size_and_at_others(case):
    theirs, switch = theirs_of(case)
    images = torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        expected = theirs(images).last_hidden_state
        assert (tokens_of(from_hf(theirs), images) - expected).abs().max() < 1e-5
        theirs = theirs.double()
        ours = from_hf(theirs)
        # Its DINOv3 computes sines in float32 alone, where timm's does so in float64.
        within = 1e-6 if "DINOv3" in case else 1e-9
        for size in ((56, 56), (84, 84), (42, 70)):
            images = torch.randn(1, 3, *size, dtype=torch.float64)
            expected = theirs(images, **switch).last_hidden_state
            assert expected.abs().mean() > 0.1
            assert (tokens_of(ours, images) - expected).abs().max() < within


@pytest.mark.parametrize("case", MODELS)
def test_and_the_way_back_is_byte_for_byte(case):
    theirs, _ = theirs_of(case)
    given = to_hf(from_hf(theirs), theirs)
    state = theirs.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in given.items())
    left = state.keys() - given.keys()
    assert all(name.startswith(("pooler", "head", "embeddings.mask")) for name in left)


def test_the_last_norm_of_clip_is_of_the_pooled_token():
    theirs, _ = theirs_of("CLIPVision")
    images = torch.randn(1, 3, 56, 56)
    features = from_hf(theirs)(images)
    expected = theirs(images).pooler_output
    assert (features.pooled_norm(features.prefix[:, 0]) - expected).abs().max() < 1e-5


def test_torchvisions_tokens_and_the_way_back():
    theirs = randomised(torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64)).double()
    ours = from_torchvision(theirs)
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    row = torch.cat([theirs.class_token.expand(2, -1, -1), theirs._process_input(images)], 1)
    assert (tokens_of(ours, images) - theirs.encoder(row)).abs().max() < 1e-9
    given, state = to_torchvision(ours, theirs), theirs.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in given.items())


def test_torchvisions_table_at_another_size_is_that_of_its_own_function():
    from torchvision.models.vision_transformer import interpolate_embeddings

    theirs = randomised(torchvision.models.VisionTransformer(32, 8, 2, 2, 32, 64)).double()
    larger = torchvision.models.VisionTransformer(56, 8, 2, 2, 32, 64).double().eval()
    larger.load_state_dict(interpolate_embeddings(56, 8, theirs.state_dict()))
    images = torch.randn(1, 3, 56, 56, dtype=torch.float64)
    row = torch.cat([larger.class_token, larger._process_input(images)], 1)
    ours = from_torchvision(theirs)
    assert (tokens_of(ours, images) - larger.encoder(row)).abs().max() < 1e-9
