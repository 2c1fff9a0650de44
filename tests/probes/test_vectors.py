"""What a feature is: what the head sees, class tokens and means of the last blocks, in order."""

import pytest
import torch

from vit.data.digits import Digits
from vit.layers.pool import AttentionPool, ClsPool, MeanPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.probes.collecting import Vectors, collected, in_order, of_all_ranks
from vit.probes.vectors import (
    grid_pools,
    joined,
    known_pools,
    most_blocks,
    parts_of,
    usual_pool,
    vectors,
)


def classifier(pool=MeanPool, **keys):
    torch.manual_seed(0)
    backbone = ViT((8, 8), 1, dim=16, depth=3, heads=2, patch_size=4, **keys)
    model = Classifier(backbone, Head(16, 5, pool=pool)).eval()
    for parameter in model.parameters():  # norms and biases count, too
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("pool", [MeanPool, ClsPool, AttentionPool])
@pytest.mark.parametrize("output_norm", ["tokens", "pooled", "none"])
def test_the_head_s_last_layer_makes_its_logits_of_these_vectors(pool, output_norm):
    model = classifier(pool, class_token=True, output_norm=output_norm)
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        found = vectors(model.backbone, images, ["head"], model.head)["head"]
        assert torch.allclose(model.head.linear(found), model(images), atol=1e-5)


def test_the_vector_of_a_block_is_that_of_the_model_cut_off_behind_it():
    model = classifier(class_token=True, output_norm="pooled").backbone
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        found = vectors(model, images, ["cls@2", "mean@2", "cls@1", "mean@1"])
        whole = model(images)
        assert torch.allclose(found["mean@1"], model.norm(whole.patches.mean(1)), atol=1e-5)
        model.blocks = model.blocks[:2]
        model.depth = 2
        cut = vectors(model, images, ["cls@1", "mean@1"])
    assert torch.allclose(found["cls@2"], cut["cls@1"], atol=1e-5)
    assert torch.allclose(found["mean@2"], cut["mean@1"], atol=1e-5)
    assert not torch.allclose(found["cls@2"], found["cls@1"], atol=0.1)


def test_several_blocks_are_joined_as_dinov2_joins_them():
    assert parts_of("cls", 1) == ("cls@1",) and parts_of("head", 1) == ("head",)
    assert parts_of("cls+mean", 2) == ("cls@2", "cls@1", "mean@1")
    assert parts_of("mean", 2) == ("mean@2", "mean@1")
    by_name = {"cls@2": torch.zeros(2, 3), "cls@1": torch.ones(2, 3), "mean@1": torch.zeros(2, 3)}
    assert joined(by_name, "cls+mean", 2)[0].tolist() == [0] * 3 + [1] * 3 + [0] * 3


def test_what_can_be_asked_follows_from_the_model():
    plain, token = classifier(), classifier(AttentionPool, class_token=True)
    assert usual_pool(plain.backbone, plain.head) == "head" and usual_pool(plain.backbone) == "mean"
    assert usual_pool(token.backbone) == "cls" and most_blocks(token.backbone) == 3
    assert known_pools(plain.backbone, plain.head) == ("mean", "head")
    assert known_pools(token.backbone) == ("cls", "mean", "cls+mean")
    assert grid_pools(plain.backbone, plain.head) == ("mean",)  # its head's is the same
    assert grid_pools(token.backbone, token.head) == ("cls", "cls+mean", "head")
    assert most_blocks(torch.nn.Identity()) == 1


def test_a_pass_gives_the_samples_of_a_split_in_order_without_augmentation():
    data = Digits(seed=0, batch_size=50, train_limit=120, eval_batch_size=33)

    def pixels(images):
        return {"cls@1": images.flatten(1)}

    found = collected(pixels, data.still_loader("train"), torch.device("cpu"))
    assert found.index.tolist() == list(range(120))
    split = data.dataset("train", training=False)
    expected = torch.stack([data.eval_transform(split.read(at)) for at in (0, 77)])
    assert torch.equal(found.by_name["cls@1"][[0, 77]], expected.flatten(1))
    shares = [
        collected(pixels, data.still_loader("train", rank=rank, world_size=3), torch.device("cpu"))
        for rank in range(3)
    ]
    whole = in_order(
        Vectors(
            {"cls@1": torch.cat([each.by_name["cls@1"] for each in shares])},
            torch.cat([each.labels for each in shares]),
            torch.cat([each.index for each in shares]),
        )
    )
    assert torch.equal(whole.by_name["cls@1"], found.by_name["cls@1"])
    assert torch.equal(whole.labels, found.labels)
    assert of_all_ranks(found, torch.device("cpu")) is found  # of one process
