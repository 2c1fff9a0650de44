"""Accuracy, top-5, loss, calibration and tables: against scikit-learn, torchmetrics and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import multiclass_calibration_error

from vit.losses.classification import cross_entropy
from vit.metrics.classification import ClassificationMetrics

CPU = torch.device("cpu")


def measured(logits, targets, sizes, num_classes=None):
    metrics = ClassificationMetrics(tuple(map(str, range(num_classes or logits.shape[1]))))
    for part, labels in zip(logits.split(sizes), targets.split(sizes), strict=True):
        metrics.update(part, part.softmax(-1), labels, cross_entropy(part, labels))
    return metrics.compute(CPU), metrics.tables()


@pytest.fixture
def sample():
    targets = torch.arange(200) % 8
    logits = torch.randn(200, 8)
    logits[torch.arange(200), targets] += 1.0
    return logits, targets


def test_numbers_equal_those_of_scikit_learn_and_torchmetrics(sample):
    logits, targets = sample
    found, tables = measured(logits, targets, 200)
    probabilities = logits.double().softmax(-1).numpy()
    guesses = probabilities.argmax(-1)
    assert found["accuracy"] == accuracy_score(targets, guesses)
    assert found["top5"] == top_k_accuracy_score(targets, probabilities, k=5)
    assert found["loss"] == pytest.approx(log_loss(targets, probabilities), abs=1e-6)
    macro = f1_score(targets, guesses, average="macro")
    assert found["macro_f1"] == pytest.approx(macro, abs=1e-12)
    ece = multiclass_calibration_error(logits.softmax(-1), targets, 8, n_bins=15, norm="l1")
    assert found["ece"] == pytest.approx(ece.item(), abs=1e-6)
    assert found["overconfidence"] == pytest.approx(
        probabilities.max(-1).mean() - found["accuracy"], abs=1e-6
    )
    np.testing.assert_array_equal(tables["confusion"], confusion_matrix(targets, guesses))
    np.testing.assert_allclose(
        tables["class_accuracy"], recall_score(targets, guesses, average=None)
    )
    assert tables["images"] == [25] * 8


def test_any_split_into_batches_gives_the_same_numbers(sample):
    logits, targets = sample
    whole, whole_tables = measured(logits, targets, 200)
    for sizes in (1, 7, [199, 1], [3, 0, 197]):
        found, tables = measured(logits, targets, sizes)
        assert found == pytest.approx(whole, abs=1e-13)
        assert found["accuracy"] == whole["accuracy"] and found["top5"] == whole["top5"]
        assert tables["confusion"] == whole_tables["confusion"]


def test_calibration_bins_are_open_below_and_closed_above():
    # 0.2 = 3/15 lies in the third bin with 0.15, so that there the two errors cancel.
    metrics = ClassificationMetrics(("a", "b"))
    probabilities = torch.tensor([[0.2, 0.1], [0.15, 0.1], [1.0, 0.0]])
    metrics.update(probabilities, probabilities, torch.tensor([0, 1, 0]), torch.zeros(3))
    found = metrics.compute(CPU)
    assert found["ece"] == pytest.approx(abs(0.2 + 0.15 - 1) / 3, abs=1e-7)
    assert [row["images"] for row in metrics.tables()["calibration"]] == [2, 1]


def test_equal_logits_count_for_the_lowest_class():
    found, _ = measured(torch.zeros(8, 8), torch.arange(8), 8)
    assert (found["accuracy"], found["top5"]) == (1 / 8, 5 / 8)


def test_a_model_that_answers_nan_is_not_called_right():
    found, _ = measured(torch.full((8, 8), torch.nan), torch.arange(8), 8)
    assert found["accuracy"] <= 1 / 8 and found["top5"] == 0
    assert np.isnan(found["loss"]) and np.isnan(found["ece"])


def test_top5_is_reported_from_six_classes_on():
    assert "top5" not in ClassificationMetrics(tuple("abcde")).names
    assert "top5" in ClassificationMetrics(tuple("abcdef")).names


def test_names_are_those_that_compute_tells(sample):
    found, _ = measured(*sample, 200)
    assert tuple(found) == ClassificationMetrics(tuple("abcdefgh")).names


def test_macro_f1_leaves_out_classes_that_nobody_has_or_tells():
    # Class 0: one right, one missed, one too many; 1: never said; 2: said wrongly; 3: unseen.
    logits = torch.eye(4)[torch.tensor([0, 0, 2])]
    targets = torch.tensor([0, 1, 0])
    found, _ = measured(logits, targets, 2)
    expected = f1_score(targets, logits.argmax(-1), average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert found["macro_f1"] == pytest.approx((1 / 2 + 0 + 0) / 3, abs=1e-12)


def test_a_class_without_images_has_no_accuracy():
    _, tables = measured(torch.eye(3)[:2] * 9, torch.tensor([0, 1]), 2)
    assert tables["class_accuracy"] == [1.0, 1.0, None]
    assert tables["most_confused"] == []


def test_the_worst_confusions_come_first():
    guesses = torch.tensor([1, 1, 1, 2, 0])
    _, tables = measured(torch.eye(3)[guesses], torch.tensor([0, 0, 0, 1, 0]), 5)
    assert tables["most_confused"] == [["0", "1", 3], ["1", "2", 1]]


def test_very_many_classes_go_without_the_matrix():
    found, tables = measured(torch.eye(2000)[:3], torch.tensor([0, 1, 5]), 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert "confusion" not in tables and len(tables["class_accuracy"]) == 2000


def test_reset_begins_anew(sample):
    logits, targets = sample
    metrics = ClassificationMetrics(tuple("abcdefgh"))
    for _ in range(2):
        metrics.reset()
        metrics.update(logits, logits.softmax(-1), targets, cross_entropy(logits, targets))
        found = metrics.compute(CPU)
        assert metrics.tables()["images"] == [25] * 8
    assert found == measured(logits, targets, 200)[0]
