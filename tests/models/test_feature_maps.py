"""Models of timm with feature maps behind our Features, compared with timm's own answers."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from vit.facts import Facts
from vit.models.classifier import Classifier, Head
from vit.models.heads.masks import MasksHead
from vit.models.heads.tokens import TokensHead
from vit.models.pretrained import TimmBackbone
from vit.structures import Grid
from vit.tasks.specs.classification import class_loss
from vit.tasks.specs.detection import DetectionSpec
from vit.tasks.specs.detector import build_detector

# One of each: BatchNorm; a norm after the pool; a last convolution; channels that come last;
# windows of attention; a plain vision transformer, by its blocks.
FAMILIES = {
    "test_resnet": (64, 32),
    "test_convnext": (64, 32),
    "test_efficientnet": (64, 32),
    "test_mambaout": (64, 32),
    "test_maxvit": (64, 64),
    "test_vit": (64, 32),
}
LARGER = {
    "swin_tiny_patch4_window7_224": (64, 64),
    "hiera_tiny_224": (64, 64),
    "pvt_v2_b0": (64, 32),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in LARGER]
TINY = ["test_resnet", "test_convnext", "test_efficientnet", "test_mambaout"]


def joined_by_timm(name, size, weights, stages):
    """timm's own maps under the same weights, by its wrapper that keeps the parts in a list."""
    sized = {"img_size": size} if name in ("test_maxvit", "test_vit") or "tiny" in name else {}
    source = timm.create_model(name, features_only=True, out_indices=stages, **sized)
    known = {key.replace(".", "_"): value for key, value in weights.items()}
    state = source.state_dict()
    plain = {key: key.removeprefix("model.").replace(".", "_") for key in state}
    source.load_state_dict({key: known[short] for key, short in plain.items()})
    return source.eval()


@pytest.mark.parametrize("name", [*FAMILIES, *SLOW])
def test_stages_are_the_maps_of_timms_features_only(name):
    size, stages = (FAMILIES | LARGER)[name], (-2, -1)
    torch.manual_seed(1)
    ours = TimmBackbone(size, 3, name=name, stages=stages).eval()
    for each in ours.maps.norms:
        nn.init.uniform_(each.weight)
    source = joined_by_timm(name, size, ours.model.state_dict(), stages)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        features, maps = ours(images), source(images)
    assert features.grid == (size[0] // ours.patch_size, size[1] // ours.patch_size)
    assert features.patches.shape[2] == ours.dim == sum(source.feature_info.channels())
    at = 0
    for each, norm in zip(maps, ours.maps.norms, strict=True):
        each = each.permute(0, 3, 1, 2) if each.shape[1] != norm.weight.numel() else each
        expected = norm(each.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        expected = nn.functional.interpolate(expected, tuple(features.grid), mode="nearest")
        width = norm.weight.numel()
        found = features.patches[..., at : at + width].transpose(1, 2).unflatten(2, features.grid)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        at += width


def weights_of(model):
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.state_dict()


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "resnet10t", "test_byobnet"])
def test_the_mean_of_the_tokens_is_what_timm_pools(name, tmp_path):
    source = timm.create_model(name, num_classes=7).eval()
    save_file(weights_of(source), tmp_path / "weights.safetensors")
    ours = TimmBackbone((64, 64), 3, name=name, checkpoint=str(tmp_path / "weights.safetensors"))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        features = ours.eval()(images)
        pooled = source.forward_head(source.forward_features(images), pre_logits=True)
    assert features.patches.shape == (2, 4, ours.dim) and features.prefix.shape[1] == 0
    scale = pooled.abs().max()
    torch.testing.assert_close(features.patches.mean(1) / scale, pooled / scale, atol=1e-6, rtol=0)
    (remark,) = ours.remarks
    assert "2 tensors" in remark  # the classes' weights, and nothing that was taken


def test_a_norm_behind_the_pool_is_applied_to_each_token():
    ours = TimmBackbone((64, 32), 3, name="test_convnext").eval()
    images = torch.randn(2, 3, 64, 32)
    raw = ours.model.forward_features(images).permute(0, 2, 3, 1).flatten(1, 2)
    norm = ours.model.head.norm
    expected = nn.functional.layer_norm(raw, (ours.dim,), norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(ours(images).patches, expected, atol=1e-6, rtol=0)


class Products:
    """Multiplications and additions of convolutions and linear layers, counted by hooks."""

    def __init__(self, model):
        self.total = 0
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(self.add)

    def add(self, module, inputs, output):
        places = output.numel() // module.weight.shape[0]
        self.total += 2 * module.weight.numel() * places


@pytest.mark.parametrize("stages", [None, (-2, -1)])
@pytest.mark.parametrize("name", TINY)
def test_flops_are_those_of_its_convolutions_and_layers(name, stages):
    ours = TimmBackbone((64, 64), 3, name=name, stages=stages)
    counted = ours.flops(64, 64)
    assert all(part.training for part in ours.modules())
    products = Products(ours.eval())
    ours(torch.randn(1, 3, 64, 64))
    assert counted == pytest.approx(products.total, rel=0.01)


def test_flops_of_a_resnet_are_the_published_ones():
    with torch.device("meta"):
        model = TimmBackbone((224, 224), 3, name="resnet18")
    assert model.flops(224, 224) / 2e9 == pytest.approx(1.82, rel=0.01)  # timm's table, in GMACs


@pytest.mark.parametrize("name", [*TINY, "test_vit", SLOW[-1]])
def test_every_family_learns_a_few_images_by_heart(name):
    torch.manual_seed(2)
    backbone = TimmBackbone((32, 32), 3, name=name, drop_path=0.0)
    model = Classifier(backbone, Head(backbone.dim, 4)).train()
    images, targets = torch.randn(8, 3, 32, 32), torch.arange(8) % 4
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("stages", [None, (-2, -1)])
@pytest.mark.parametrize("name", [*TINY, *SLOW])
def test_every_parameter_learns_and_has_a_depth_and_a_decay(name, stages):
    backbone = TimmBackbone((32, 32), 3, name=name, stages=stages)
    model = Classifier(backbone, Head(backbone.dim, 4))
    class_loss(model(torch.randn(4, 3, 32, 32))).backward()
    named = dict(model.named_parameters())
    assert [name for name, parameter in named.items() if parameter.grad is None] == []
    depths = model.depths()
    assert set(depths) == set(named)
    first = next(iter(named))
    assert depths[first] == 0 and depths["head.linear.weight"] == max(depths.values()) > 3
    own = [depth for name, depth in depths.items() if ".maps." not in name]
    assert own == sorted(own) or name in (*LARGER, "test_mambaout")  # by the order of its parts
    still = model.no_weight_decay()
    assert {name for name, parameter in named.items() if parameter.ndim < 2} <= still
    assert len(set(named) - still - {"head.linear.weight"}) > 3
    shards = model.shards()
    inside = [id(parameter) for part in shards for parameter in part.parameters()]
    assert len(shards) > 1 and len(inside) == len(set(inside))


def test_what_timm_names_is_not_decayed():
    with torch.device("meta"):
        model = TimmBackbone((32, 32), 3, name="swin_tiny_patch4_window7_224")
    tables = {name for name, _ in model.named_parameters() if "relative_position_bias" in name}
    assert tables and tables <= model.no_weight_decay()


def test_grey_images_other_sizes_and_small_ones():
    model = TimmBackbone((64, 64), 1, name="test_resnet").eval()
    assert model(torch.randn(1, 1, 96, 32)).grid == Grid(3, 1)
    with pytest.raises(ValueError, match=r"40x64 px.*test_resnet, 32.*to 32 or 64 say"):
        model(torch.randn(1, 1, 40, 64))
    for size, wanted in ((65, "to 64 or 96 say"), (48, "to 32 or 64 say")):
        with pytest.raises(ValueError, match=rf"{size}x{size} px.*{wanted}"):
            TimmBackbone((size, size), 3, name="test_resnet")
    small = TimmBackbone((28, 28), 1, name="test_resnet").eval()
    assert small.patch_size == 28 and small(torch.randn(2, 1, 28, 28)).patches.shape == (2, 1, 96)
    with pytest.raises(ValueError, match=r"28x28 px.*to 32 or 64 say"):  # whose parts get too small
        TimmBackbone((28, 28), 3, name="test_convnext")


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("vgg11", {"drop_path": 0.1}, r"vgg11 of timm has no drop_path_rate. Set backbone.drop_p"),
        ("resnet18", {"dropout": 0.1}, r"no proj_drop_rate. Set backbone.dropout=0"),
        ("test_resnet", {"gradient_checkpointing": True}, "BatchNorm would count each batch twice"),
        ("vgg11", {"gradient_checkpointing": True}, "vgg11 cannot: gradient checkpointing not sup"),
        ("test_resnet", {"stages": (-1, 9)}, r"\[-1, 9\]; wanted.*4 \(stride 32\)"),
        ("test_resnet", {"stages": ()}, "wanted some of the maps of test_resnet"),
        ("test_resnet", {"stages": (4, -1)}, "each once"),
        ("inception_next_atto", {}, r"Cannot disable pooling.*backbone\.stages=\[-1\]"),
    ],
)
def test_what_a_model_cannot_do_is_said_by_its_name(name, keys, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        TimmBackbone((64, 64), 3, name=name, **keys)


@pytest.mark.parametrize("head", [TokensHead, MasksHead])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_heads_that_work_between_the_stages_name_the_backbone_and_what_to_take(head, name):
    with torch.device("meta"):
        backbone = TimmBackbone((32, 32), 3, name=name)

        facts = Facts(3, ("a", "b", "c"), (32, 32), 3, (0.5,) * 3, (0.5,) * 3)
        with pytest.raises(ValueError, match=rf"of '{name}', which it does not have.*head=d.*vit"):
            build_detector(DetectionSpec(), backbone, head, facts)


def test_checkpointing_changes_no_number():
    torch.manual_seed(3)
    plain = TimmBackbone((32, 32), 3, name="test_convnext")
    thrifty = TimmBackbone((32, 32), 3, name="test_convnext", gradient_checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    grads = []
    for model in (plain, thrifty):
        model(images).patches.square().mean().backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def test_dropped_paths_are_timms_rate():
    model = TimmBackbone((32, 32), 3, name="test_convnext", drop_path=0.3)
    rates = [part.drop_prob for part in model.modules() if hasattr(part, "drop_prob")]
    assert max(rates) == pytest.approx(0.3)
    torch.manual_seed(0)
    images = torch.randn(8, 3, 32, 32)
    assert not torch.equal(model(images).patches, model(images).patches)
    assert torch.equal(model.eval()(images).patches, model(images).patches)
    # A rate of 0 is none, where timm's own default is another.
    with torch.device("meta"):
        swin = TimmBackbone((32, 32), 3, name="swin_tiny_patch4_window7_224")
    assert not [part for part in swin.modules() if getattr(part, "drop_prob", 0)]
