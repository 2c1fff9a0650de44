"""Every parameter learns at the rate of its depth, once."""

import pytest
import torch
from torch import nn

from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.optim.groups import param_groups, table


class Toy(nn.Module):
    """Embedding, two blocks, a head; the embedding's table does not decay."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 3)
        self.positions = nn.Parameter(torch.zeros(4, 3))
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        self.head = nn.Linear(3, 2)

    def depths(self):
        return {
            name: 3
            if name.startswith("head")
            else int(name.startswith("blocks")) + int("s.1" in name)
            for name, _ in self.named_parameters()
        }

    def no_weight_decay(self):
        return {name for name, p in self.named_parameters() if p.ndim == 1} | {"positions"}


def vit():
    backbone = ViT((8, 8), 1, dim=16, depth=3, heads=2, patch_size=2)
    return Classifier(backbone, Head(16, 5))


@pytest.mark.parametrize("model", [Toy(), vit(), nn.Linear(2, 2)], ids=["toy", "vit", "plain"])
def test_every_trainable_parameter_is_in_exactly_one_group(model):
    grouped = [p for group in param_groups(model, 1.0, 0.1, 0.5) for p in group["params"]]
    assert len(grouped) == len({id(p) for p in grouped}) == len(list(model.parameters()))
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}


def test_the_table_of_a_toy_model():
    groups = param_groups(Toy(), 1.0, 0.1, 0.5, head_lr_scale=10.0)
    assert [tuple(row.values()) for row in table(groups)] == [
        # depth, lr, weight decay, tensors, parameters
        (0, 0.125, 0.0, 2, 3 + 12),
        (0, 0.125, 0.1, 1, 6),
        (1, 0.25, 0.0, 1, 3),
        (1, 0.25, 0.1, 1, 9),
        (2, 0.5, 0.0, 1, 3),
        (2, 0.5, 0.1, 1, 9),
        (3, 10.0, 0.0, 1, 2),
        (3, 10.0, 0.1, 1, 6),
    ]


def test_a_vit_decays_its_rate_from_the_head_to_the_embeddings():
    model = vit()
    rates = {id(p): g["lr"] for g in param_groups(model, 1.0, 0.1, 0.8) for p in g["params"]}
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert named["head.linear.weight"] == 1.0
    assert {rate for name, rate in named.items() if "blocks.0." in name} == {0.8**3}
    assert min(named.values()) == 0.8**4


def test_frozen_parameters_are_left_out():
    model = Toy()
    model.embed.requires_grad_(False)
    grouped = {id(p) for group in param_groups(model, 1.0, 0.1) for p in group["params"]}
    assert id(model.embed.weight) not in grouped
    assert id(model.head.weight) in grouped


def test_a_model_without_a_word_has_one_depth_and_decays_no_vectors():
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    assert [
        (g["depth"], g["weight_decay"], len(g["params"])) for g in param_groups(model, 1.0, 0.1)
    ] == [
        (0, 0.0, 3),
        (0, 0.1, 1),
    ]


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="no trainable parameter"):
        param_groups(nn.Linear(2, 2).requires_grad_(False), 1.0, 0.1)
