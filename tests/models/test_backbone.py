"""The vision transformer: its stages, its switches, and what it knows of itself."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.explain.record import recorded
from vit.layers.attention import Attention
from vit.layers.drop_path import DropPath
from vit.layers.mlp import Mlp, SwiGlu
from vit.layers.norm import RMSNorm
from vit.layers.patch import ConvPatch, ConvStem
from vit.layers.position import (
    AxialRope,
    Combined,
    LearnedPosition,
    NoPosition,
    SinCosPosition,
)
from vit.models.backbone import ViT
from vit.structures import Grid

VARIANTS = {
    "plain": {},
    "prefix": {"class_token": True, "registers": 2},
    "rope": {"position": partial(AxialRope, rescale=2.0, jitter=1.5, shift=0.1), "registers": 1},
    "sincos": {"position": SinCosPosition},
    "both positions": {
        "position": partial(Combined, added=LearnedPosition, rotary=AxialRope),
        "class_token": True,
    },
    "no position": {"position": NoPosition},
    "conv": {"patch": ConvPatch},
    "stem": {"patch": ConvStem},
    "swiglu": {"mlp": SwiGlu},
    "rms": {"norm": RMSNorm, "qk_norm": True},
    "gains": {"layer_scale": 1e-4, "drop_path": 0.3},
    "key bias": {"key_bias": False},
    "no bias": {"qkv_bias": False, "proj_bias": False, "mlp_bias": False},
    "dropouts": {"dropout": 0.1, "attention_dropout": 0.1, "patch_dropout": 0.5},
    "checkpointing": {"gradient_checkpointing": True, "drop_path": 0.3},
}
variants = pytest.mark.parametrize("variant", VARIANTS)


def make(image_size=(8, 12), channels=1, **switches):
    sizes = {"dim": 16, "depth": 3, "heads": 2, "patch_size": 2}
    return ViT(image_size, channels, **sizes | switches)


@variants
def test_features_have_the_shape_of_the_image_and_every_parameter_learns(variant):
    model = make(**VARIANTS[variant])
    for height, width in ((8, 12), (12, 4)):
        features = model(torch.randn(2, 1, height, width), blocks=(0, -1))
        rows, cols = height // 2, width // 2
        count = rows * cols // (2 if variant == "dropouts" else 1)
        assert features.grid == Grid(rows, cols)
        assert features.patches.shape == (2, count, 16)
        assert features.prefix.shape == (2, model.num_prefix, 16)
        assert [block.shape for block in features.blocks] == [(2, count, 16)] * 2
        loss = features.patches.square().mean() + features.prefix.square().sum()
        (loss + features.blocks[0].mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@variants
def test_every_variant_builds_and_runs_on_the_meta_device(variant):
    with torch.device("meta"):
        model = make(**VARIANTS[variant])
        for mode in (True, False):
            features = model.train(mode)(torch.randn(2, 1, 12, 4))
            assert features.patches.is_meta


@variants
def test_flops_are_those_that_torch_counts(variant):
    model = make(**VARIANTS[variant]).eval()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(torch.randn(3, 1, 16, 12))
    assert counter.get_total_flops() == 3 * model.flops(16, 12)


def test_flops_follow_the_published_formula():
    dim, depth, ratio, patch, tokens = 16, 3, 4, 2, 24 + 1
    expected = 2 * (
        tokens * depth * (4 + 2 * ratio) * dim**2
        + 2 * depth * tokens**2 * dim
        + 24 * 3 * patch**2 * dim
    )
    assert make(channels=3, class_token=True).flops(8, 12) == expected


def test_the_stages_give_what_the_whole_gives():
    model = make(class_token=True, registers=2, position=AxialRope)
    images = torch.randn(2, 1, 8, 12)
    whole = model(images, blocks=(2, 0))
    tokens, grid = model.embed(images)
    staged = model.encode(tokens, grid, blocks=(2, 0))
    assert torch.equal(staged.patches, whole.patches)
    half = model.advance(tokens, grid, 0, 1)
    assert torch.equal(half[:, 3:], whole.blocks[1])
    finished = model.finish(model.advance(half, grid, 1, 3), grid)
    assert torch.equal(finished.patches, whole.patches)
    assert torch.equal(finished.prefix, whole.prefix)
    assert torch.equal(model.norm(whole.blocks[0]), whole.patches)


@pytest.mark.parametrize("position", [LearnedPosition, AxialRope])
def test_dropped_patches_are_as_if_masked(position):
    model = make(class_token=True, position=position)
    tokens, grid = model.embed(torch.randn(2, 1, 8, 12))
    kept = torch.stack([torch.randperm(24)[:7] for _ in range(2)])
    at = torch.cat([torch.zeros(2, 1, dtype=torch.long), kept + 1], dim=1)
    fewer = tokens.gather(1, at[:, :, None].expand(-1, -1, 16))
    features = model.encode(fewer, grid, kept=kept)
    mask = torch.zeros(2, 25, dtype=torch.bool).scatter(1, at, True)
    masked = model.encode(tokens, grid, mask=mask[:, None, None])
    expected = masked.patches.gather(1, kept[:, :, None].expand(-1, -1, 16))
    torch.testing.assert_close(features.patches, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.prefix, masked.prefix, atol=1e-5, rtol=1e-5)


def test_further_tokens_ride_along_between_prefix_and_patches():
    model = make(class_token=True, position=AxialRope)
    tokens, grid = model.embed(torch.randn(2, 1, 8, 12))
    queries = torch.randn(2, 5, 16)
    riding = torch.cat([tokens[:, :1], queries, tokens[:, 1:]], dim=1)
    features = model.encode(riding, grid)
    assert features.prefix.shape == (2, 6, 16) and features.patches.shape == (2, 24, 16)
    hidden = torch.ones(30, 30, dtype=torch.bool)
    hidden[:, 1:6] = False  # nobody looks at the queries: they change nothing
    torch.testing.assert_close(
        model.encode(riding, grid, mask=hidden).patches,
        model.encode(tokens, grid).patches,
        atol=1e-5,
        rtol=1e-5,
    )


def test_blocks_come_in_the_order_asked_for():
    model, images = make(), torch.randn(2, 1, 8, 12)
    first, last, again = model(images, blocks=(0, -1, 0)).blocks
    assert torch.equal(first, again) and not torch.equal(first, last)
    for number in (3, -4):
        with pytest.raises(ValueError, match="blocks 0 to 2"):
            model(images, blocks=(number,))


PLAIN_KEYS = ["position.table", "patch.proj.weight", "patch.proj.bias", "norm.weight", "norm.bias"]
BLOCK_KEYS = ["norm1", "attention.qkv", "attention.proj", "norm2", "mlp.fc1", "mlp.fc2"]


def test_the_names_of_the_plain_models_state_do_not_change():
    blocks = itertools.product(range(3), BLOCK_KEYS, ("weight", "bias"))
    expected = PLAIN_KEYS + [f"blocks.{number}.{part}.{kind}" for number, part, kind in blocks]
    assert sorted(make().state_dict()) == sorted(expected)


OFF = {
    "class_token": False,
    "registers": 0,
    "qk_norm": False,
    "layer_scale": None,
    "drop_path": 0.0,
    "drop_path_mode": "constant",
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "patch_dropout": 0.0,
    "gradient_checkpointing": False,
}


@pytest.mark.parametrize("switch", OFF)
def test_a_switch_that_is_off_changes_nothing(switch):
    torch.manual_seed(3)
    plain = make()
    torch.manual_seed(3)
    off = make(**{switch: OFF[switch]})
    assert [type(module) for module in off.modules()] == [
        type(module) for module in plain.modules()
    ]
    for name, value in plain.state_dict().items():
        assert torch.equal(off.state_dict()[name], value)
    images = torch.randn(2, 1, 8, 12)
    assert torch.equal(off(images).patches, plain(images).patches)


def test_drop_path_rises_with_depth_or_stays():
    def rates(model):
        return [block.drop_path and block.drop_path.rate for block in model.blocks]

    assert rates(make(drop_path=0.2)) == [None, 0.1, 0.2]
    assert rates(make(drop_path=0.2, drop_path_mode="constant")) == [0.2] * 3
    assert not any(isinstance(module, DropPath) for module in make().modules())


def test_patch_dropout_keeps_its_share_in_training_only():
    model, images = make(patch_dropout=0.75, class_token=True), torch.randn(2, 1, 8, 12)
    features = model(images, blocks=(0,))
    assert features.patches.shape == (2, 6, 16) and features.blocks[0].shape == (2, 6, 16)
    assert features.prefix.shape == (2, 1, 16) and features.grid == Grid(4, 6)
    assert model.eval()(images).patches.shape == (2, 24, 16)


def test_gradient_checkpointing_changes_no_number():
    torch.manual_seed(3)
    plain = make(drop_path=0.5, position=AxialRope)
    saving = make(drop_path=0.5, position=AxialRope, gradient_checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(4, 1, 8, 12)
    for model in (plain, saving):
        torch.manual_seed(5)
        model(images).patches.square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_the_depth_of_each_parameter_is_known():
    depths = make(class_token=True, registers=1, layer_scale=0.1).depths()
    assert depths["patch.proj.weight"] == depths["position.table"] == 0
    assert depths["class_token"] == depths["registers"] == 0
    assert depths["blocks.0.scale1.gain"] == 1
    assert depths["blocks.2.mlp.fc2.bias"] == 3
    assert depths["norm.weight"] == 4
    assert set(depths) == {
        name for name, _ in make(class_token=True, registers=1, layer_scale=0.1).named_parameters()
    }


def test_only_matrices_decay():
    model = make(class_token=True, registers=1, layer_scale=0.1, qk_norm=True)
    decayed = {name for name, _ in model.named_parameters()} - model.no_weight_decay()
    blocks = itertools.product(range(3), ("attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2"))
    expected = {f"blocks.{number}.{part}.weight" for number, part in blocks}
    assert decayed == expected | {"patch.proj.weight"}


def test_attention_weights_are_those_that_the_blocks_use():
    model, images = make(class_token=True, position=AxialRope), torch.randn(2, 1, 8, 12)
    with recorded(model.eval()) as recording:
        model(images)
    weights = [look.weights for look in recording.looks]
    assert [part.shape for part in weights] == [(2, 2, 25, 25)] * 3
    torch.testing.assert_close(weights[0].sum(-1), torch.ones(2, 2, 25))
    tokens, grid = model.embed(images)
    block = model.blocks[0]
    q, k, _ = block.attention.qkv(block.norm1(tokens)).unflatten(-1, (3, 2, 8)).unbind(2)
    q, k = model.position.rotation(grid, 1)(q.transpose(1, 2), k.transpose(1, 2))
    expected = (q @ k.transpose(-1, -2) * 8**-0.5).softmax(-1)
    torch.testing.assert_close(weights[0], expected)


def test_parameters_start_as_the_papers_say():
    model = make(dim=64, class_token=True, registers=2, layer_scale=1e-4, channels=3)
    for name, parameter in model.named_parameters():
        part = name.rpartition(".")[2]
        if name in ("class_token", "registers"):
            assert 0 < parameter.std() < 3e-6
        elif part == "gain":
            assert (parameter == 1e-4).all()
        elif part == "bias":
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all()
        elif name == "patch.proj.weight":
            assert 0.8 < parameter.std() * 12**0.5 < 1.0  # truncated at two deviations
        else:
            assert 0.018 < parameter.std() < 0.022, name


@pytest.mark.parametrize("variant", ["prefix", "rope", "sincos", "rms", "swiglu", "stem"])
def test_bfloat16_stays_near_float32(variant):
    model = make(**VARIANTS[variant]).eval()
    images = torch.randn(2, 1, 12, 8)
    exact = model(images).patches
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(images).patches.float(), exact, atol=0.1, rtol=0)
    half = copy.deepcopy(model).bfloat16()(images.bfloat16()).patches
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), exact, atol=0.15, rtol=0)


@pytest.mark.parametrize("size", [(9, 12), (8, 13), (0, 12), (1, 1)])
def test_images_that_do_not_divide_are_refused(size):
    match = rf"image is {size[0]}x{size[1]} px.*patch_size=2.*data\.image_size"
    with pytest.raises(ValueError, match=match):
        make(image_size=size)
    if 0 not in size:
        with pytest.raises(ValueError, match=match):
            make()(torch.randn(1, 1, *size))


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"heads": 3}, r"dim=16.*heads=3.*backbone\.dim=15"),
        ({"heads": 0}, r"backbone\.heads"),
        ({"depth": 0}, r"depth=0"),
        ({"patch_size": 0}, r"patch_size=0"),
        ({"registers": -1}, r"registers=-1"),
        ({"dropout": 1.0}, r"backbone\.dropout"),
        ({"patch_dropout": -0.5}, r"backbone\.patch_dropout"),
        ({"attention_dropout": 2.0}, r"backbone\.attention_dropout"),
        ({"drop_path": 1.0}, r"backbone\.drop_path"),
        ({"drop_path": 1.5, "depth": 1}, r"backbone\.drop_path"),
        ({"mlp_ratio": 0.0}, r"dim·mlp_ratio=0"),
        ({"mlp": partial(Mlp, dropout=0.1)}, r"backbone\.mlp\.dropout is decided"),
        ({"attention": partial(Attention, qkv_bias=False)}, r"backbone\.attention\.qkv_bias"),
        ({"position": AxialRope, "heads": 8}, r"head width that 4 divides"),
    ],
)
def test_sizes_that_cannot_be_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        make(**switches)


def test_all_that_is_wrong_with_a_backbone_is_reported_together():
    with pytest.raises(ValueError, match=r"heads=5.*patch_size=3.*drop_path is 2"):
        ViT((8, 8), 1, dim=64, depth=1, heads=5, patch_size=3, drop_path=2.0)
