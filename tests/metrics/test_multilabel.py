"""Metrics of several labels per image, against scikit-learn."""

import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

from vit.losses.classification import binary_cross_entropy
from vit.metrics.multilabel import MultilabelMetrics

CPU = torch.device("cpu")


def measured(logits, targets, sizes):
    metrics = MultilabelMetrics(tuple(map(str, range(logits.shape[1]))))
    for part, labels in zip(logits.split(sizes), targets.split(sizes), strict=True):
        metrics.update(part, part.sigmoid(), labels, binary_cross_entropy(part, labels))
    return metrics.compute(CPU), metrics.tables()


@pytest.fixture
def sample():
    targets = (torch.rand(120, 4) < 0.4).float()
    return torch.randn(120, 4) + 2 * targets - 1, targets


def test_numbers_equal_those_of_scikit_learn(sample):
    logits, targets = sample
    found, tables = measured(logits, targets, 120)
    scores, guesses = logits.sigmoid().numpy(), (logits > 0).numpy()
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, guesses), abs=1e-7)
    assert found["map"] == pytest.approx(average_precision_score(targets, scores), abs=1e-6)
    assert found["f1"] == pytest.approx(f1_score(targets, guesses, average="macro"), abs=1e-6)
    per_class = [log_loss(targets[:, c], scores[:, c]) for c in range(4)]
    assert found["loss"] == pytest.approx(sum(per_class) / 4, abs=1e-6)
    assert tables["class_f1"] == pytest.approx(f1_score(targets, guesses, average=None), abs=1e-6)
    assert tables["images"] == targets.sum(0).long().tolist()


def test_any_split_into_batches_gives_the_same_numbers(sample):
    whole = measured(*sample, 120)
    for sizes in (1, 7, [119, 1]):
        assert measured(*sample, sizes) == whole


def test_a_class_that_never_occurs_counts_neither_way(sample):
    logits, targets = sample
    targets[:, 2] = 0
    found, tables = measured(logits, targets, 120)
    rest = [0, 1, 3]
    scores = logits.sigmoid()[:, rest]
    assert found["map"] == pytest.approx(
        average_precision_score(targets[:, rest], scores), abs=1e-6
    )
    assert tables["class_average_precision"][2] is None and tables["class_f1"][2] is None


def test_one_label_alone_can_be_measured(sample):
    logits, targets = (values[:, :1] for values in sample)
    found, _ = measured(logits, targets, 50)
    assert found["map"] == pytest.approx(average_precision_score(targets, logits), abs=1e-6)


def test_images_without_any_label_are_no_error():
    found, _ = measured(torch.full((5, 3), -4.0), torch.zeros(5, 3), 5)
    assert found["accuracy"] == 1.0
    assert found["loss"] == pytest.approx(0.018, abs=1e-3)
