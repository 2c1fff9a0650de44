"""What is frozen stays as it is, bit for bit; adapters begin as nothing and can be merged."""

import copy

import pytest
import pytorch_lightning as lightning
import torch
from pages import ROOT, python_blocks
from safetensors.torch import save_file
from torch import nn

from vit.callbacks.ema import trained
from vit.faults import Refused
from vit.layers.lora import LoraLinear
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.optim.optimizer import Optim
from vit.tuning.freezing import (
    Bias,
    LastBlocks,
    Untunable,
    freeze,
    keep_still,
    trained_parameters,
)
from vit.tuning.freezing import Head as HeadOnly
from vit.tuning.lora import TARGETS, Lora, adapters_of, require_called
from vit.tuning.of_config import merged_state

EVERY = {
    "head": HeadOnly(),
    "last_blocks": LastBlocks(blocks=2),
    "bias": Bias(),
    "lora": Lora(rank=4),
    "lora everywhere": Lora(rank=4, targets=TARGETS, dropout=0.2),
}


def classifier(**settings):
    torch.manual_seed(0)
    settings = {"dim": 24, "depth": 3, "heads": 2, "patch_size": 8, **settings}
    return Classifier(ViT((16, 16), 3, **settings), Head(24, 5))


def randomised(model):
    """Adapters as after a training."""
    for name, parameter in model.named_parameters():
        if name.endswith("lora_b"):
            nn.init.normal_(parameter)
    return model


@pytest.fixture
def images():
    return torch.randn(4, 3, 16, 16)


@pytest.mark.parametrize("tuning", EVERY.values(), ids=EVERY)
def test_fifty_steps_leave_what_is_frozen_bit_for_bit(tuning, images):
    model = classifier(drop_path=0.3, dropout=0.2, registers=2, class_token=True)
    tuning.apply(model)
    still = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    moving = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    optimizer = Optim(lr=0.01, weight_decay=0.5, layer_decay=0.7).build(model)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    keep_still(model.train())
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(images), torch.tensor([0, 1, 2, 3]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = dict(model.named_parameters())
    assert still and all(torch.equal(after[name], before) for name, before in still.items())
    assert not any(torch.equal(after[name], before) for name, before in moving.items())
    assert held == {id(after[name]) for name in moving}
    assert all(after[name].grad is None for name in still)
    assert {name.removeprefix("model.") for name in trained(WithModel(model))} == {*moving}


class WithModel(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model


@pytest.mark.parametrize(
    ("tuning", "expected"),
    [
        (HeadOnly(), 0),
        (LastBlocks(blocks=1), 24 * 24 * 12 + 24 * 9 + 4 * 24 + 24 * 4 + 48),
        (Bias(), 3 * (9 * 24 + 4 * 24) + 24 + 24 - 3 * 2 * 24),
        (Lora(rank=4), 3 * 2 * 4 * (24 + 24)),
        (Lora(rank=4, targets=("mlp",)), 3 * 2 * 4 * (24 + 96)),
    ],
    ids=["head", "last_blocks", "bias", "lora", "lora of the mlp"],
)
def test_as_much_is_trained_as_was_asked_for(tuning, expected):
    model = classifier()
    tuning.apply(model)
    names = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {name for name in names if name.startswith("head.")} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    inside = [p.numel() for n, p in model.backbone.named_parameters() if f"backbone.{n}" in names]
    counted = trained_parameters(model) - sum(p.numel() for p in model.head.parameters())
    assert counted == sum(inside)
    if not isinstance(tuning, Bias | LastBlocks):
        assert counted == expected
    if isinstance(tuning, LastBlocks):
        assert {name.split(".")[1] for name in names if ".blocks." in name} == {"blocks"}
        assert {name.split(".")[2] for name in names if ".blocks." in name} == {"2"}
        assert "backbone.norm.weight" in names and "backbone.position.table" not in names
    if isinstance(tuning, Bias):
        assert all(name.endswith("bias") for name in names if name.startswith("backbone."))


def test_what_is_frozen_drops_nothing_in_training(images):
    model = classifier(drop_path=0.5, dropout=0.3, attention_dropout=0.3)
    expected = model.eval()(images)
    HeadOnly().apply(model)
    keep_still(model.train())
    assert torch.equal(model(images), expected)
    LastBlocks(blocks=1).apply(whole := classifier(drop_path=0.5, dropout=0.3))
    keep_still(whole.train())
    seen = []
    whole.backbone.blocks[1].register_forward_hook(lambda *call: seen.append(call[2]))
    whole(images), whole(images)
    assert torch.equal(*seen)  # up to the trained block
    assert not torch.equal(whole(images), whole(images))


def test_what_is_trained_beside_adapters_is_in_training(images):
    model = classifier(drop_path=0.5, gradient_checkpointing=True)
    Lora(rank=2, dropout=0.5).apply(model)
    keep_still(model.train())
    modes = {name: each.training for name, each in model.backbone.named_modules()}
    assert all(modes[name] for name in ("", "blocks.0", "blocks.1.attention.qkv"))
    assert modes["blocks.2.drop_path"]
    assert not any(modes[name] for name in ("patch", "norm", "blocks.0.norm1", "blocks.0.mlp"))
    randomised(model)
    assert not torch.equal(model(images), model(images))  # drop path and dropout act
    LastBlocks(blocks=1).apply(model)
    assert not model.backbone.blocks[0].training and model.backbone.blocks[2].training


class Reading(nn.Module):
    """Reads the weight of its fused layer and never calls it, as some of timm's attentions do."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)

    def forward(self, x):
        return nn.functional.linear(x, self.qkv.weight, self.qkv.bias).chunk(3, -1)[0]


class Own(nn.Module):
    depth = 2

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = nn.Linear(4, 4), Reading(), nn.Linear(4, 4)

    def depths(self):
        places = {"stem": 0, "first": 1, "second": 2}
        return {name: places[name.partition(".")[0]] for name, _ in self.named_parameters()}

    def forward(self, x):
        return self.second(self.first(self.stem(x)))


class OwnModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = Own(), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.backbone(x))


def test_adapters_that_would_do_nothing_or_other_than_said_are_refused():
    with pytest.raises(Untunable, match=r"which rows of `qkv` in a Reading .*key,value\]"):
        Lora(rank=2).apply(OwnModel())
    everything = Lora(rank=2, targets=("query", "key", "value"))
    everything.apply(model := OwnModel())
    with pytest.raises(Untunable, match=r"1 of its layers are read and never called, backbone"):
        require_called(model, (torch.zeros(1, 4),))
    require_called(classifier(), (torch.zeros(1, 3, 16, 16),))
    with pytest.raises(Untunable, match="no linear layer that makes mlp or proj"):
        Lora(rank=2, targets=("query", "key", "value", "mlp", "proj")).apply(OwnModel())


def test_the_last_part_of_a_backbone_without_blocks_is_trained():
    model = OwnModel()
    model.backbone.depth = 3  # of a backbone whose depths are the places of its children
    LastBlocks(blocks=1).apply(model)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert trained == {
        "backbone.second.weight",
        "backbone.second.bias",
        "head.weight",
        "head.bias",
    }
    with pytest.raises(Untunable, match="this backbone has 2"):
        LastBlocks(blocks=3).apply(OwnModel())


def test_parts_that_no_weights_bring_learn_whatever_is_frozen():
    model = OwnModel()
    model.backbone.second.newly_made = True
    HeadOnly().apply(model)
    assert model.backbone.second.weight.requires_grad and model.backbone.second.training
    assert not model.backbone.stem.weight.requires_grad


def test_muon_takes_the_ends_of_the_whole_model_for_ends():
    model = classifier()
    LastBlocks(blocks=1).apply(model)
    groups = Optim(name="muon", lr=0.1).build(model).param_groups
    inside = {group["depth"]: group["use_fallback"] for group in groups if group["decays"]}
    assert inside == {3: False, 4: True}
    HeadOnly().apply(model := classifier())
    assert all(g["use_fallback"] for g in Optim(name="muon", lr=0.1).build(model).param_groups)


def test_a_run_without_tuning_keeps_its_weights_whatever_they_are_called():
    state = {"backbone.lora_a": torch.ones(2)}
    assert merged_state({"tuning": None}, state).keys() == state.keys()
    with pytest.raises(Refused, match="do not belong together"):
        merged_state({"tuning": {"_target_": "vit.tuning.lora.Lora", "rank": "4"}}, state)


def test_a_batch_norm_keeps_its_statistics_unless_its_weight_is_trained():
    class Convolutions(nn.Module):
        depth = 1

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)

        def forward(self, x):
            return self.second(self.first(x))

    model = nn.Module()
    model.backbone, model.head = Convolutions(), nn.Linear(2, 2)
    Bias().apply(model)
    assert model.backbone.first.bias.requires_grad
    keep_still(model.train())
    model.backbone(torch.randn(4, 3, 2, 2))
    assert model.backbone.first.num_batches_tracked == 0
    assert model.backbone.second.num_batches_tracked == 0  # nothing of it could be trained


@pytest.mark.parametrize("targets", [("query", "value"), ("key",), ("proj",), TARGETS])
def test_adapters_begin_as_nothing_and_merge_to_the_same_function(targets, images):
    plain, tuning = classifier().eval(), Lora(rank=3, alpha=6.0, targets=targets)
    model = classifier().eval()
    tuning.apply(model)
    assert torch.equal(model(images), plain(images))
    randomised(model)
    expected = model(images)
    assert not torch.allclose(expected, plain(images), atol=1e-5)
    assert not any(name.startswith("backbone.patch.") for name in adapters_of(model.state_dict()))
    plain.load_state_dict(tuning.merged(model.state_dict()))
    torch.testing.assert_close(plain(images), expected, rtol=0, atol=1e-5)
    tuning.merge(model)
    assert [*model.state_dict()] == [*plain.state_dict()]
    torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5)


def test_an_adapted_part_of_a_fused_matrix_is_the_formula():
    layer = nn.Linear(6, 15)
    adapted = randomised(LoraLinear(layer, (0, 2), 3, rank=2, scale=0.5))
    x = torch.randn(7, 6)
    change = torch.zeros(7, 15)
    a, b = adapted.lora_a, adapted.lora_b
    change[:, :5] = 0.5 * x @ a[:2].T @ b[:5].T
    change[:, 10:] = 0.5 * x @ a[2:].T @ b[5:].T
    torch.testing.assert_close(adapted(x), layer(x) + change)
    assert adapted.lora_a.abs().max() <= 6**-0.5  # as uniform as a linear layer's own start


def test_frozen_weights_and_the_file_of_adapters_are_the_whole_model(images, tmp_path):
    tuning, model = Lora(rank=2), classifier().eval()
    tuning.apply(model)
    randomised(model)
    nn.init.normal_(model.head.linear.weight)
    small = adapters_of(model.state_dict())
    save_file(small, tmp_path / "adapters.safetensors")
    assert {name.rpartition(".")[2] for name in small} == {"lora_a", "lora_b", "weight", "bias"}
    again = classifier().eval()
    tuning.apply(again)
    again.load_state_dict(small, strict=False)
    assert torch.equal(again(images), model(images))


def test_layer_decay_reaches_adapters_by_their_blocks():
    model = classifier()
    Lora(rank=2).apply(model)
    groups = Optim(lr=1.0, layer_decay=0.5).build(model).param_groups
    rates = {group["depth"]: group["lr"] for group in groups}
    assert rates == {1: 0.125, 2: 0.25, 3: 0.5, 4: 1.0}


def test_a_model_on_the_meta_device_is_tuned_alike():
    with torch.device("meta"):
        model = classifier()
        Lora(rank=2).apply(model)
    assert all(each.is_meta for each in model.parameters())
    assert trained_parameters(model) == 3 * 2 * 2 * 48 + 24 * 5 + 5


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        (LastBlocks(blocks=4), "blocks=4, and this backbone has 3; wanted 1 to 3"),
        (Lora(rank=25), "rank=25 is more than a layer of 24 to 72 has; wanted at most 24"),
    ],
)
def test_more_than_there_is_cannot_be_tuned(tuning, said):
    with pytest.raises(Untunable, match=said):
        tuning.apply(classifier())


def test_what_has_nothing_to_tune_is_refused_by_name():
    model = classifier()
    for block in model.backbone.blocks:
        block.attention = block.mlp = nn.Identity()
    with pytest.raises(Untunable, match="no linear layer that makes query or value"):
        Lora().apply(model)
    with pytest.raises(Untunable, match="Linear has no `backbone`"):
        HeadOnly().apply(nn.Linear(2, 2))
    headless = nn.Module()
    headless.backbone, headless.head = nn.Linear(2, 2), nn.Identity()
    with pytest.raises(Untunable, match="no weights of its own"):
        HeadOnly().apply(headless)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lora(rank=0),
        lambda: Lora(alpha=0.0),
        lambda: Lora(dropout=1.0),
        lambda: Lora(targets=()),
        lambda: Lora(targets=("query", "query")),
        lambda: LastBlocks(blocks=0),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"tuning\.\w+="):
        make()


def test_a_models_own_frozen_parts_are_not_woken():
    model = classifier()
    model.backbone.norm.weight.requires_grad_(False)
    freeze(model, lambda name: True)
    assert not model.backbone.norm.weight.requires_grad
    assert model.backbone.blocks[0].norm1.weight.requires_grad
    copied = copy.deepcopy(model)
    assert copied.backbone.norm.bias.requires_grad


def test_the_block_of_the_page_is_run(images, tmp_path, monkeypatch):
    trained_model = classifier().eval()
    tuning = Lora(rank=8)
    tuning.apply(trained_model)
    randomised(trained_model)
    monkeypatch.chdir(tmp_path)
    save_file(adapters_of(trained_model.state_dict()), "adapters.safetensors")
    (block,) = python_blocks(ROOT / "docs" / "tuning.md")
    model = classifier().eval()
    exec(compile(block, "tuning.md", "exec"), {"model": model})
    torch.testing.assert_close(model(images), trained_model(images), rtol=0, atol=1e-5)
    assert not any("lora" in name for name, _ in model.named_parameters())
