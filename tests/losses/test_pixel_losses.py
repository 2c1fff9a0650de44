"""Losses of maps of classes against the papers' formulas, written down here in plain NumPy."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode
from torchvision.ops import sigmoid_focal_loss

from vit.losses.lovasz import lovasz_softmax
from vit.losses.pixels import CrossEntropy, Dice, Focal, Lovasz, WeightedSum
from vit.structures import IGNORED

CLASSES = 4
LOSSES = {
    "cross_entropy": CrossEntropy(),
    "focal": Focal(),
    "focal, gamma 0.5": Focal(gamma=0.5),
    "dice": Dice(),
    "lovasz": Lovasz(),
    "sum": WeightedSum(cross_entropy=0.5, focal=2.0, dice=1.0, lovasz=3.0),
}
WEIGHTS = torch.tensor([0.25, 1.0, 2.0, 8.0])


def drawn():
    """Two images, the second without class 3; void among their pixels."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, CLASSES, 5, 6, generator=generator)
    labels = torch.randint(0, CLASSES, (2, 5, 6), generator=generator)
    labels[1] %= 3
    labels[:, :2, :3] = IGNORED
    return logits, labels


@pytest.fixture()
def scene():
    return drawn()


def loss_of(loss, logits, labels, weights=None):
    sums = loss.sums(logits, labels, weights).values()
    return sum(each.weight * each.total / each.number.clamp(min=1) for each in sums)


def total_of(loss, logits, labels, weights=None):
    (own,) = loss.sums(logits, labels, weights).values()
    return own.total


def softmax(logits):
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def kept(logits, labels):
    """Shares [pixels, classes] and labels of those pixels of each image that count."""
    shares = softmax(logits.double().numpy())
    for own, truth in zip(shares, labels.numpy(), strict=True):
        valid = truth != IGNORED
        yield own[:, valid].T, truth[valid]


def jaccard(classes, wrong, c):
    """1 − IoU of class c where exactly the pixels of the set `wrong` are mistaken about c."""
    truth = {at for at, label in enumerate(classes) if label == c}
    either = truth | wrong
    return len(wrong) / len(either) if either else 0.0


def lovasz_by_definition(shares, truth, c):
    """Definition 1 of the paper: Σ m_(i) (Δ({π1 … πi}) − Δ({π1 … πi−1})), errors descending."""
    errors = [1 - p if label == c else p for p, label in zip(shares[:, c], truth, strict=True)]
    ranked = sorted(range(len(errors)), key=lambda at: -errors[at])
    return sum(
        errors[at]
        * (jaccard(truth, set(ranked[: place + 1]), c) - jaccard(truth, set(ranked[:place]), c))
        for place, at in enumerate(ranked)
    )


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_cross_entropy_is_that_of_torch(scene, weights):
    logits, labels = scene
    (own,) = CrossEntropy().sums(logits, labels, weights).values()
    expected = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED, reduction="sum")
    assert torch.equal(own.total, expected)
    assert own.number == (labels != IGNORED).sum() == 48


def test_the_weight_of_a_class_multiplies_what_its_pixels_add(scene):
    logits, labels = scene
    for loss in (CrossEntropy(), Focal()):
        once = [
            float(total_of(loss, logits, labels.where(labels == c, IGNORED)))
            for c in range(CLASSES)
        ]
        expected = np.dot(once, WEIGHTS.numpy())
        assert float(total_of(loss, logits, labels, WEIGHTS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_is_the_formula_of_the_paper(scene, gamma):
    logits, labels = scene
    expected = [
        -((1 - share[label]) ** gamma) * np.log(share[label])
        for shares, truth in kept(logits, labels)
        for share, label in zip(shares, truth, strict=True)
    ]
    assert float(loss_of(Focal(gamma=gamma), logits, labels)) == pytest.approx(np.mean(expected))


def test_focal_of_two_classes_is_that_of_torchvision():
    logits = 3 * torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(1))
    truth = (logits + torch.randn(2, 7, 5, generator=torch.Generator().manual_seed(2)) > 1).long()
    both = torch.stack([torch.zeros_like(logits), logits], 1)
    expected = sigmoid_focal_loss(logits, truth.float(), alpha=0.25, gamma=2, reduction="mean")
    found = loss_of(Focal(), both, truth, torch.tensor([0.75, 0.25]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_dice_is_the_formula_of_the_paper(scene, weights):
    logits, labels = scene
    losses = []
    for shares, truth in kept(logits, labels):
        for c in sorted(set(truth.tolist())):
            p, g = shares[:, c], truth == c
            weight = 1 if weights is None else float(weights[c])
            losses.append(weight * (1 - 2 * (p * g).sum() / ((p**2).sum() + g.sum())))
    assert len(losses) == 7
    assert float(loss_of(Dice(), *scene, weights)) == pytest.approx(np.mean(losses))


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_lovasz_is_the_definition_of_the_paper(scene, weights):
    losses = []
    for shares, truth in kept(*scene):
        for c in sorted(set(truth.tolist())):
            weight = 1 if weights is None else float(weights[c])
            losses.append(weight * lovasz_by_definition(shares, truth.tolist(), c))
    assert float(loss_of(Lovasz(), *scene, weights)) == pytest.approx(np.mean(losses))


def test_lovasz_is_the_jaccard_loss_wherever_shares_are_0_or_1():
    """All 16 answers to all 16 maps of four pixels and two classes."""
    pairs = list(itertools.product(itertools.product((0, 1), repeat=4), repeat=2))
    told = torch.tensor([pair[0] for pair in pairs])
    truth = torch.tensor([pair[1] for pair in pairs])
    shares = torch.stack([1.0 - told, told.float()], 1)
    shown = torch.stack([truth == 0, truth == 1], 1)
    found = lovasz_softmax(shares, shown, torch.ones_like(truth, dtype=torch.bool))
    for (answer, classes), losses in zip(pairs, found.tolist(), strict=True):
        for c in (0, 1):
            wrong = {at for at in range(4) if (answer[at] == c) != (classes[at] == c)}
            expected = jaccard(classes, wrong, c) if c in classes else 0.0
            assert losses[c] == pytest.approx(expected)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(scene, name):
    logits, labels = (part[..., 1:4, 2:4] for part in scene)
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: loss_of(LOSSES[name], x, labels, WEIGHTS.double()), (logits,), eps=1e-7, atol=1e-5
    )


@pytest.mark.parametrize("name", LOSSES)
def test_void_pixels_change_nothing(scene, name):
    logits, labels = scene
    logits = logits.requires_grad_()
    loss = loss_of(LOSSES[name], logits, labels, WEIGHTS)
    (slope,) = torch.autograd.grad(loss, logits)
    void = (labels == IGNORED)[:, None].expand_as(logits)
    assert not slope[void].any() and slope[~void].all()
    other = logits.detach().where(~void, 50 * torch.randn_like(logits))
    assert torch.allclose(loss_of(LOSSES[name], other, labels, WEIGHTS), loss)


@pytest.mark.parametrize("name", LOSSES)
def test_images_of_void_alone_give_0_and_no_nan(name):
    logits = torch.randn(2, CLASSES, 4, 4, requires_grad=True)
    labels = torch.full((2, 4, 4), IGNORED)
    loss = loss_of(LOSSES[name], logits, labels, WEIGHTS)
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss == 0 and not slope.any()


@pytest.mark.parametrize("name", LOSSES)
def test_one_class_alone_and_sure_answers_give_finite_gradients(name):
    """What is sure is 0 or 1 to the last digit; half of it is sure and wrong."""
    logits = torch.full((1, CLASSES, 2, 4), -1e4)
    logits[:, 0] = 1e4
    logits[:, :2, :, 2:] = logits[:, :2, :, 2:].flip(1)
    logits.requires_grad_()
    loss = loss_of(LOSSES[name], logits, torch.zeros(1, 2, 4, dtype=torch.long))
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and slope.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_computed_in_float32_for_bfloat16(scene, name):
    logits, labels = scene
    half = logits.bfloat16()
    found = loss_of(LOSSES[name], half, labels, WEIGHTS.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = loss_of(LOSSES[name], half, labels, WEIGHTS)
    expected = loss_of(LOSSES[name], half.float(), labels, WEIGHTS)
    assert found.dtype == cast.dtype == torch.float32
    assert torch.equal(found, expected) and torch.equal(cast, expected)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_asks_for_a_value(name):
    """Fake tensors have none: whoever waited for the device would fail."""
    with FakeTensorMode(allow_non_fake_inputs=False):
        logits = torch.randn(2, CLASSES, 8, 8, requires_grad=True)
        labels = torch.zeros(2, 8, 8, dtype=torch.long)
        loss = loss_of(LOSSES[name], logits, labels, torch.ones(CLASSES))
        loss.backward()
        assert loss.shape == () and logits.grad.shape == logits.shape


@pytest.mark.slow
def test_they_compile_into_one_graph_with_the_same_numbers():
    """In a process of its own: shape checks are no part of a graph."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:-1] == [f"{name} compiled" for name in LOSSES]


@pytest.mark.parametrize("name", LOSSES)
def test_batches_of_any_size_add_up(scene, name):
    logits, labels = scene
    whole = LOSSES[name].sums(logits, labels, WEIGHTS)
    parts = [LOSSES[name].sums(logits[at : at + 1], labels[at : at + 1], WEIGHTS) for at in (0, 1)]
    for key, own in whole.items():
        torch.testing.assert_close(own.total, parts[0][key].total + parts[1][key].total)
        assert own.number == parts[0][key].number + parts[1][key].number


def test_a_sum_is_that_of_its_parts(scene):
    parts = ((0.5, CrossEntropy()), (2.0, Focal()), (1.0, Dice()), (3.0, Lovasz()))
    expected = sum(weight * loss_of(loss, *scene, WEIGHTS) for weight, loss in parts)
    torch.testing.assert_close(loss_of(LOSSES["sum"], *scene, WEIGHTS), expected)
    assert list(WeightedSum().sums(*scene, None)) == ["cross_entropy", "dice"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Focal(gamma=-1.0), r"gamma=-1.0; wanted 0 \(cross-entropy\) or more"),
        (lambda: Focal(gamma=float("nan")), "gamma=nan; wanted"),
        (lambda: WeightedSum(dice=-1.0), "dice=-1.0; wanted a weight"),
        (lambda: WeightedSum(cross_entropy=0.0, dice=0.0), "are all 0; wanted one above"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_choice_is_told_from_another_by_what_it_is_called():
    assert repr(Focal()) == repr(Focal()) != repr(Focal(gamma=1.0))
    assert repr(WeightedSum()) == repr(WeightedSum()) != repr(WeightedSum(dice=2.0))
    assert str(WeightedSum(dice=2.0)) == "cross-entropy + 2 × dice"


if __name__ == "__main__":
    for name, loss in LOSSES.items():
        compiled = torch.compile(loss_of, backend="aot_eager", fullgraph=True)
        logits, labels = drawn()
        logits.requires_grad_()
        found, expected = compiled(loss, logits, labels, WEIGHTS), loss_of(loss, *drawn(), WEIGHTS)
        torch.testing.assert_close(found, expected)
        found.backward()
        torch.compiler.reset()
        print(name, "compiled")
