"""Mean IoU and pixel accuracy against scikit-learn and torchmetrics, and by hand."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, recall_score
from torchmetrics.classification import MulticlassJaccardIndex

from vit.metrics.segmentation import SemanticMetrics

CPU = torch.device("cpu")
NAMES = tuple("abcdef")


@pytest.fixture
def maps():
    """Predictions and targets of 7 images; class f never occurs, a fifth of the pixels is void."""
    targets = torch.randint(5, (7, 16, 20))
    predicted = torch.where(torch.rand(targets.shape) < 0.6, targets, torch.randint(5, (7, 16, 20)))
    return predicted, torch.where(torch.rand(targets.shape) < 0.2, 255, targets)


def measured(predicted, targets, sizes=7):
    metrics = SemanticMetrics(NAMES)
    for part, truth in zip(predicted.split(sizes), targets.split(sizes), strict=True):
        metrics.update(part, truth)
    return metrics.compute(CPU), metrics.tables()


def test_numbers_equal_those_of_scikit_learn_and_torchmetrics(maps):
    predicted, targets = maps
    numbers, tables = measured(*maps)
    seen = targets != 255
    guesses, truth = predicted[seen].numpy(), targets[seen].numpy()
    each = jaccard_score(truth, guesses, labels=range(5), average=None)
    assert tables["class_iou"] == [*(pytest.approx(iou, abs=1e-12) for iou in each), None]
    assert numbers["miou"] == pytest.approx(each.mean(), abs=1e-12)
    reference = MulticlassJaccardIndex(6, average="macro", ignore_index=255, validate_args=False)
    assert numbers["miou"] == pytest.approx(reference(predicted, targets).item(), abs=1e-7)
    assert numbers["pixel_accuracy"] == pytest.approx(accuracy_score(truth, guesses), abs=1e-12)
    recall = recall_score(truth, guesses, labels=range(5), average=None)
    assert tables["class_accuracy"] == [*(pytest.approx(one, abs=1e-12) for one in recall), None]
    assert tables["confusion"] == confusion_matrix(truth, guesses, labels=range(6)).tolist()
    assert sum(tables["pixels"]) == int(seen.sum())
    assert tuple(numbers) == SemanticMetrics.names


def test_any_split_into_batches_gives_the_very_same_numbers(maps):
    whole = measured(*maps)
    for sizes in (1, 3, [6, 1], [0, 7]):
        assert measured(*maps, sizes) == whole


def test_a_class_that_is_predicted_and_never_occurs_counts_as_zero():
    numbers, tables = measured(torch.tensor([[[0, 0, 5, 5]]]), torch.tensor([[[0, 0, 0, 255]]]))
    assert tables["class_iou"] == [2 / 3, None, None, None, None, 0.0]
    assert numbers == {"miou": 1 / 3, "pixel_accuracy": 2 / 3}


def test_nothing_but_ignored_pixels_is_no_number():
    numbers, tables = measured(torch.zeros(1, 2, 2).long(), torch.full((1, 2, 2), 255))
    assert math.isnan(numbers["miou"])
    assert math.isnan(numbers["pixel_accuracy"])
    assert tables["class_iou"] == [None] * 6


@pytest.mark.parametrize("wrong", [6, 254, -1])
def test_a_target_that_is_no_class_is_no_silent_miss(wrong):
    with pytest.raises(
        ValueError, match=r"2 pixels have a target or a prediction that is no class"
    ):
        measured(torch.full((1, 1, 4), 5), torch.tensor([[[5, wrong, wrong, 255]]]))


def test_to_ignore_a_class_is_refused():
    with pytest.raises(ValueError, match="ignore_index=3 is one of the 6 classes"):
        SemanticMetrics(NAMES, ignore_index=3)


def test_counts_begin_anew_and_stay_of_one_size(maps):
    metrics = SemanticMetrics(NAMES)
    for _ in range(3):
        metrics.reset()
        for _ in range(4):
            metrics.update(*maps)
            assert metrics._pixels.shape == (38,)
        assert metrics._pixels.dtype == torch.int64
        assert metrics.compute(CPU) == measured(*maps)[0]
