"""The head and the classifier."""

import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vit.layers.pool import AttentionPool, ClsPool, MeanPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head


def make(pool=MeanPool, class_token=True, **switches):
    backbone = ViT((8, 8), 1, dim=16, depth=2, heads=2, patch_size=2, class_token=class_token)
    return Classifier(backbone, Head(16, 5, pool=pool, **switches))


@pytest.mark.parametrize("pool", [MeanPool, ClsPool, AttentionPool])
def test_flops_are_those_that_torch_counts(pool):
    model = make(pool)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        logits = model(torch.randn(3, 1, 8, 12))
    assert logits.shape == (3, 5)
    assert counter.get_total_flops() == 3 * model.flops(8, 12)


def test_a_head_on_the_class_token_needs_one():
    with pytest.raises(ValueError, match=r"backbone\.class_token=true.*head/pool=mean"):
        make(ClsPool, class_token=False)


def test_every_parameter_has_a_depth_and_the_heads_is_the_last():
    model = make(AttentionPool)
    depths = model.depths()
    assert set(depths) == {name for name, _ in model.named_parameters()}
    assert depths["backbone.blocks.1.mlp.fc1.weight"] == 2
    assert depths["backbone.norm.weight"] == depths["head.linear.weight"] == 3
    assert depths["head.pool.probe"] == 3


def test_only_matrices_decay():
    model = make(AttentionPool)
    undecayed = model.no_weight_decay()
    assert {"head.linear.bias", "head.pool.probe", "backbone.class_token"} <= undecayed
    assert "head.linear.weight" not in undecayed
    for name, parameter in model.named_parameters():
        assert parameter.ndim > 1 or name in undecayed


def test_the_head_starts_near_its_bias():
    head = Head(16, 1000, bias_init=-math.log(1000))
    assert (head.linear.bias == -math.log(1000)).all()
    assert not Head(16, 1000).linear.bias.any()
    assert 0.018 < head.linear.weight.std() < 0.022


def test_dropout_acts_in_training_only():
    model, images = make(dropout=0.5), torch.randn(2, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


def test_the_meta_device_carries_a_classifier_through():
    with torch.device("meta"):
        assert make(AttentionPool)(torch.randn(2, 1, 8, 8)).shape == (2, 5)
