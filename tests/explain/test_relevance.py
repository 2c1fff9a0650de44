import numpy as np
import pytest
import torch
from torch import nn

from vit.explain.faithful import area, faithfulness
from vit.explain.record import recorded
from vit.explain.relevance import relevance, rollout
from vit.layers.attention import Attention
from vit.layers.pool import ClsPool
from vit.layers.position import AxialRope
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.models.detector import Detector
from vit.models.heads.detr import DetrHead
from vit.structures import Grid

torch.set_num_threads(1)


def randomised(model):
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def body(**more):
    return ViT(
        (8, 12), 1, dim=16, depth=3, heads=2, patch_size=4, class_token=True, registers=2, **more
    )


def classifier(**more):
    return randomised(Classifier(body(**more), Head(16, 3, pool=ClsPool)))


def traced(model, images, number):
    with recorded(model) as recording:
        answer = model(images)
        target = number(answer)
    gradients = torch.autograd.grad(
        target, [look.weights for look in recording.looks], retain_graph=True, allow_unused=True
    )
    plain = [
        (look.name, look.cross, look.weights[0].detach().numpy(), gradient[0].numpy())
        for look, gradient in zip(recording.looks, gradients, strict=True)
    ]
    return recording, target, plain


@pytest.mark.parametrize("more", [{}, {"qk_norm": True}, {"position": AxialRope}])
def test_recording_changes_no_answer_and_ends(more):
    model = classifier(**more)
    images = torch.randn(2, 1, 8, 12)
    fused = model(images)
    with recorded(model) as recording:
        explicit = model(images)
    assert [look.weights.shape for look in recording.looks] == [(2, 2, 9, 9)] * 3
    assert torch.allclose(fused, explicit, atol=1e-5)
    model(images)
    assert len(recording.looks) == 3
    assert "forward" not in model.backbone.blocks[0].attention.__dict__


@pytest.mark.parametrize("causal", [False, True])
def test_recorded_weights_times_values_are_the_fused_answer_under_masks(causal):
    module = nn.ModuleDict({"attention": randomised(Attention(16, 4))}).eval()
    x = torch.randn(2, 7, 16)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[0, ..., 5:] = False
    fused = module["attention"](x, mask=mask, causal=causal)
    with recorded(module) as recording:
        explicit = module["attention"](x, mask=mask, causal=causal)
    assert torch.allclose(fused, explicit, atol=1e-5)
    assert recording.looks[0].weights[0, ..., 5:].max() == 0


def test_rollout_is_the_papers_product():
    model = classifier()
    recording, _, plain = traced(model, torch.randn(1, 1, 8, 12), lambda logits: logits[0, 1])
    expected = np.eye(9)
    for _, _, weights, _ in plain:
        mixed = 0.5 * weights.mean(0) + 0.5 * np.eye(9)
        expected = mixed / mixed.sum(-1, keepdims=True) @ expected
    assert np.allclose(rollout(recording.backbone)[0].numpy(), expected, atol=1e-6)


def test_relevance_of_a_classifier_is_equations_5_and_6():
    model = classifier()
    recording, target, plain = traced(model, torch.randn(1, 1, 8, 12), lambda x: x[0, 1])
    expected = np.eye(9)
    for _, _, weights, gradient in plain:
        expected = expected + np.maximum(gradient * weights, 0).mean(0) @ expected
    assert np.abs(expected - np.eye(9)).max() > 1e-3
    assert np.allclose(relevance(recording, target).own[0].numpy(), expected, atol=1e-6)


def test_relevance_of_a_query_is_equations_5_to_10():
    head = DetrHead(16, 3, 4, 3, width=16, num_queries=5, num_layers=2, heads=2, hidden=16)
    model = randomised(Detector(body(), head))
    recording, target, plain = traced(
        model, torch.randn(1, 1, 8, 12), lambda found: found.answer.logits[0, 2, 1]
    )

    def normalised(matrix):
        more = matrix - np.eye(len(matrix))
        sums = more.sum(-1, keepdims=True)
        return more / np.where(sums == 0, 1, sums) + np.eye(len(matrix))

    image, queries, cross = np.eye(9), np.eye(5), np.zeros((5, 9))
    for name, over, weights, gradient in plain:
        change = np.maximum(gradient * weights, 0).mean(0)
        if name.startswith("backbone"):
            image = image + change @ image
        elif over:  # the head sees the six patches, not the three tokens before them
            cross = cross + normalised(queries).T @ change @ normalised(image)[3:]
        else:
            queries, cross = queries + change @ queries, cross + change @ cross
    found = relevance(recording, target).cross
    assert np.abs(expected := cross[2]).max() > 1e-6
    assert np.allclose(found[0, 2].numpy(), expected, atol=1e-6)


def test_deletion_collapses_at_once_where_one_patch_decides():
    grid, image = Grid(4, 4), torch.ones(1, 8, 8)

    def score(images):  # the patch of row 0 and column 3 alone
        return images[:, 0, :2, 6:].mean((1, 2)).clamp(0, 1)

    right, wrong = torch.zeros(16), torch.zeros(16)
    right[3], wrong[3] = 1.0, -1.0
    found = faithfulness(score, image, grid, {"right": right, "wrong": wrong})
    assert found["right"]["deletion"][:2] == [1.0, 0.0]
    assert found["right"]["deletion_area"] == pytest.approx(1 / 32)
    assert found["wrong"]["deletion_area"] == pytest.approx(1 - 1 / 32)
    assert found["right"]["deletion_area"] < found["random"]["deletion_area"]
    assert area(torch.ones(5)) == 1.0


def test_a_model_in_training_or_without_attention_is_refused():
    with pytest.raises(ValueError, match="eval"), recorded(classifier().train()):
        pass
    with pytest.raises(ValueError, match="no attention"), recorded(nn.Linear(2, 2).eval()):
        pass
