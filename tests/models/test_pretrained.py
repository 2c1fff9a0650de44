"""timm's models behind our Features, with weights from files and caches, never from a network."""

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from vit.layers.pool import ClsPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.models.pretrained import TimmBackbone
from vit.structures import Grid


def weights(model):
    """The state of a model with every parameter random: timm starts many at 0 or 1."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.state_dict()


# One of each family: class token; registers; gap with a norm after pooling; distilled; Eva;
# relative positions, which fix the size; NaFlex; DINOv3; attention pooling.
FAMILIES = {
    "test_vit": (32, 48),
    "test_vit4": (32, 48),
    "deit_tiny_distilled_patch16_224": (32, 48),
    "eva02_tiny_patch14_224": (28, 42),
    "test_vit_relpos": (32, 48),
    "vit_tiny_r_s16_p8_224": (64, 32),
    "naflexvit_base_patch16_gap": (32, 48),
    "vit_small_patch16_dinov3": (32, 48),
    "beit_base_patch16_224": (32, 48),
    "vit_base_patch16_siglip_224": (32, 48),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_the_tokens_of_timms_own_forward(name):
    size = FAMILIES[name]
    torch.manual_seed(1)
    ours = TimmBackbone(size, 1, name=name).eval()
    images = torch.randn(2, 1, *size)
    features = ours(images, blocks=(-1, 0))
    grid = Grid(size[0] // ours.patch_size, size[1] // ours.patch_size)
    assert features.grid == grid == ours.grid(*size)
    assert features.patches.shape == (2, grid.rows * grid.cols, ours.dim)
    expected = ours.model.forward_features(images)
    if not isinstance(ours.model.fc_norm, torch.nn.Identity):
        expected = ours.model.fc_norm(expected)
    tokens = torch.cat([features.prefix, features.patches], dim=1)
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=1e-5)
    last, first = features.blocks
    own_norm = ours.model.norm
    if isinstance(own_norm, torch.nn.Identity):
        own_norm = ours.model.fc_norm
    torch.testing.assert_close(own_norm(last), features.patches, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(first, last)


@pytest.mark.parametrize("name", ["test_vit", "test_vit4", "vit_small_patch16_dinov3"])
def test_every_parameter_learns_and_has_a_depth(name):
    model = TimmBackbone((32, 48), 3, name=name, drop_path=0.1)
    features = model(torch.randn(4, 3, 32, 48))
    (features.patches.square().mean() + features.prefix.square().mean()).backward()
    names = {name for name, _ in model.named_parameters()}
    assert all(parameter.grad is not None for parameter in model.parameters())
    depths = model.depths()
    assert set(depths) == names
    assert depths["model.patch_embed.proj.weight"] == 0
    assert depths["model.blocks.0.norm1.weight"] == 1
    assert depths[
        "model.norm.weight" if "model.norm.weight" in names else "model.fc_norm.weight"
    ] == (model.depth + 1)
    decayed = names - model.no_weight_decay()
    assert decayed and all(model.get_parameter(name).ndim > 1 for name in decayed)
    assert not any("token" in name or "pos_embed" in name for name in decayed)


def test_flops_equal_those_of_our_own_model_of_that_size():
    theirs = TimmBackbone((160, 160), 3, name="test_vit")
    ours = ViT((160, 160), 3, dim=64, depth=6, heads=2, class_token=True, mlp_ratio=3.0)
    assert theirs.flops(160, 160) == ours.flops(160, 160)
    assert theirs.flops(160, 80) == ours.flops(160, 80)


def test_other_sizes_run_where_timm_can_and_are_refused_where_it_cannot():
    model = TimmBackbone((32, 32), 3, name="test_vit")
    assert model(torch.randn(1, 3, 64, 48)).grid == Grid(4, 3)
    with pytest.raises(ValueError, match=r"40x32 px.*16.*data\.image_size"):
        model(torch.randn(1, 3, 40, 32))
    fixed = TimmBackbone((32, 32), 3, name="test_vit_relpos")
    with pytest.raises(ValueError, match="built for 32x32 and cannot change"):
        fixed(torch.randn(1, 3, 64, 48))


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("classes", [0, 7])
def test_weights_come_from_a_file(tmp_path, ending, classes):
    source = timm.create_model("test_vit", num_classes=classes)
    path = tmp_path / f"weights{ending}"
    (torch.save if ending == ".pth" else save_file)(weights(source), path)
    model = TimmBackbone((160, 160), 3, name="test_vit", checkpoint=str(path))
    images = torch.randn(2, 3, 160, 160)
    features = model.eval()(images)
    expected = source.eval().forward_features(images)
    assert torch.equal(torch.cat([features.prefix, features.patches], dim=1), expected)
    assert "state_dict" not in model.model.pretrained_cfg  # a second copy of every weight


def test_weights_are_fitted_to_another_size_and_to_grey_images(tmp_path):
    source = timm.create_model("test_vit")
    torch.save(weights(source), tmp_path / "weights.pth")
    model = TimmBackbone((32, 48), 1, name="test_vit", checkpoint=str(tmp_path / "weights.pth"))
    own, other = model.model.patch_embed.proj.weight, source.patch_embed.proj.weight
    torch.testing.assert_close(own, other.sum(1, keepdim=True))
    assert torch.equal(model.model.blocks[3].attn.qkv.weight, source.blocks[3].attn.qkv.weight)
    assert model.model.pos_embed.shape == (1, 1 + 2 * 3, 64)


def test_weights_come_from_timms_cache_without_a_network(tmp_path, monkeypatch):
    source = timm.create_model("test_vit")
    folder = tmp_path / "models--timm--test_vit.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(weights(source), folder / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model = TimmBackbone((160, 160), 3, name="test_vit", pretrained=True)
    assert torch.equal(model.model.blocks[5].mlp.fc2.weight, source.blocks[5].mlp.fc2.weight)


def test_where_the_hub_is_not_known_nothing_is_tried_again(tmp_path, monkeypatch):
    asked = []
    known = huggingface_hub.constants

    def unknown(host, port):
        asked.append(host)
        raise OSError

    def fetched(address):
        asked.append((address, known.HF_HUB_OFFLINE))
        raise FileNotFoundError

    monkeypatch.setattr("vit.models.timm_models.getproxies", dict)
    monkeypatch.setattr("vit.models.timm_models.socket.getaddrinfo", unknown)
    monkeypatch.setattr("vit.models.timm_models.load_state_dict_from_hf", fetched)
    monkeypatch.setattr(known, "HF_HUB_OFFLINE", False)
    with pytest.raises(ValueError, match="could not be fetched"):
        TimmBackbone((160, 160), 3, name="test_vit", pretrained=True)
    assert asked == ["huggingface.co", ("timm/test_vit.r160_in1k", True)]
    assert not known.HF_HUB_OFFLINE
    monkeypatch.setattr("vit.models.timm_models.socket.getaddrinfo", lambda host, port: [])
    with pytest.raises(ValueError, match="could not be fetched"):
        TimmBackbone((160, 160), 3, name="test_vit", pretrained=True)
    assert asked[-1] == ("timm/test_vit.r160_in1k", False)


def test_without_weights_the_error_says_what_to_fetch_and_where(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for device in ("cpu", "meta"):  # the check finds it before a run does
        with pytest.raises(ValueError) as caught, torch.device(device):
            TimmBackbone((160, 160), 3, name="test_vit", pretrained=True)
        for part in (
            "https://huggingface.co/timm/test_vit.r160_in1k/resolve/main/model.safetensors",
            "backbone.checkpoint",
            "HF_HOME",
        ):
            assert part in str(caught.value)


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    state = weights(timm.create_model("test_vit"))
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"does not fit 'test_vit2': .*43 of 116 tensors missing"):
        TimmBackbone((160, 160), 3, name="test_vit2", checkpoint=str(path))
    del state["blocks.2.mlp.fc1.weight"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"blocks\.2\.mlp\.fc1\.weight"):
        TimmBackbone((160, 160), 3, name="test_vit", checkpoint=str(path))


class Harm:
    def __reduce__(self):
        return print, ("code in a checkpoint ran",)


def test_files_that_are_no_plain_weights_are_refused(tmp_path, capsys):
    torch.save({"state_dict": Harm()}, tmp_path / "harm.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, result in (("harm.pth", "is code to whoever reads it"), ("text.pth", "is text")):
        with pytest.raises(ValueError, match=result):
            TimmBackbone((32, 32), 3, name="test_vit", checkpoint=str(tmp_path / name))
    assert "ran" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"does not exist.*backbone\.checkpoint"):
        TimmBackbone((32, 32), 3, name="test_vit", checkpoint=str(tmp_path / "absent.pth"))


def test_the_meta_device_holds_no_weights_but_compares_them(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(weights(timm.create_model("test_vit")), path)
    with torch.device("meta"):
        model = TimmBackbone((32, 32), 3, name="test_vit", checkpoint=str(path))
        assert model(torch.randn(2, 3, 32, 32)).patches.is_meta
        assert all(parameter.is_meta for parameter in model.parameters())
        with pytest.raises(ValueError, match="does not fit"):
            TimmBackbone((32, 32), 3, name="test_vit2", checkpoint=str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vit_smal_patch16_224", "Did you mean 'vit_small_patch16_224'"),
        ("vit_small_patch16_224.nope", r"vit_small_patch16_224\.dino"),
        ("pit_ti_224", r"does not answer for each place.*backbone\.stages=\[-1\]"),
    ],
)
def test_names_that_cannot_serve_are_refused(name, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        TimmBackbone((224, 224), 3, name=name)


def test_stages_are_refused_by_name():
    model = TimmBackbone((32, 32), 3, name="test_vit")
    with pytest.raises(ValueError, match=r"'test_vit' for `embed`.*backbone=vit"):
        model.embed(torch.randn(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"'test_vit' for `encode`"):
        model.encode(torch.randn(1, 5, 64), Grid(2, 2))
    with pytest.raises(ValueError, match="blocks 0 to 5"):
        model(torch.randn(1, 3, 32, 32), blocks=(6,))


def test_a_classifier_stands_on_it():
    backbone = TimmBackbone((32, 32), 1, name="test_vit", gradient_checkpointing=True)
    model = Classifier(backbone, Head(backbone.dim, 5, pool=ClsPool))
    model(torch.randn(2, 1, 32, 32)).sum().backward()
    assert model.flops(32, 32) == backbone.flops(32, 32) + 2 * 64 * 5
    assert set(model.depths()) == {name for name, _ in model.named_parameters()}
    assert len(backbone.mean) == len(backbone.std) == 3
    with pytest.raises(ValueError, match=r"head/pool=mean"):
        without = TimmBackbone((32, 32), 1, name="test_vit4")
        Classifier(without, Head(without.dim, 5, pool=ClsPool))


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("name", ["test_vit", "test_vit_relpos", "vit_tiny_nothing"])
@torch.no_grad()
def test_the_last_blocks_of_models_with_and_without_prefix_tokens(name, batch):
    ours = TimmBackbone((32, 48), 1, name="test_vit" if name != "test_vit_relpos" else name)
    if name == "vit_tiny_nothing":  # as siglip: no class token, and an output norm
        sizes = {"img_size": (32, 48), "patch_size": 16, "embed_dim": 64, "depth": 3}
        without = {"class_token": False, "global_pool": "avg", "fc_norm": False}
        given = {**sizes, **without, "num_heads": 2, "in_chans": 1, "num_classes": 0}
        ours.model = timm.models.VisionTransformer(**given)
        ours.num_prefix, ours.depth = 0, 3
    ours.eval()
    images = torch.randn(batch, 1, 32, 48)
    last, before = ours.last_features(images, 2)
    whole = ours(images, blocks=(-2,))
    torch.testing.assert_close(last.patches, whole.patches, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last.prefix, whole.prefix, atol=1e-5, rtol=1e-5)
    own_norm = ours.model.norm
    if isinstance(own_norm, torch.nn.Identity):
        own_norm = ours.model.fc_norm
    torch.testing.assert_close(before.patches, own_norm(whole.blocks[0]), atol=1e-5, rtol=1e-5)
    assert last.prefix.shape == (batch, ours.num_prefix, last.patches.shape[-1])
