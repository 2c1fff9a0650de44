"""Cross-entropy and its binary sister: against torch and timm, and what the options promise."""

import pytest
import torch
import torch.nn.functional as F
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy

from vit.losses.classification import binary_cross_entropy, cross_entropy, one_hot

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
MIXED = 0.7 * F.one_hot(LABELS, 4).float() + 0.3 * F.one_hot(LABELS.roll(1), 4).float()


def test_cross_entropy_is_minus_the_log_of_the_true_share():
    expected = -LOGITS.softmax(-1).log()[torch.arange(6), LABELS]
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS), expected)


def test_cross_entropy_of_mixed_targets_equals_timms():
    torch.testing.assert_close(
        cross_entropy(LOGITS, MIXED).mean(), SoftTargetCrossEntropy()(LOGITS, MIXED)
    )


def test_class_numbers_and_their_shares_give_the_same_loss():
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    shares = one_hot(LABELS, 4)
    for loss, options in (
        (cross_entropy, {"class_weights": weights}),
        (binary_cross_entropy, {"positive_weights": weights, "threshold": 0.0}),
    ):
        first = loss(LOGITS, LABELS, label_smoothing=0.1, **options)
        torch.testing.assert_close(first, loss(LOGITS, shares, label_smoothing=0.1, **options))


def test_a_class_weight_counts_the_same_in_any_company():
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    whole = cross_entropy(LOGITS, LABELS, class_weights=weights)
    alone = torch.cat(
        [
            cross_entropy(LOGITS[i : i + 1], LABELS[i : i + 1], class_weights=weights)
            for i in range(6)
        ]
    )
    torch.testing.assert_close(whole, alone)
    torch.testing.assert_close(whole, weights[LABELS] * cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_loss_equals_timms_for_class_numbers(smoothing):
    ours = binary_cross_entropy(LOGITS, LABELS, label_smoothing=smoothing).mean()
    torch.testing.assert_close(ours, BinaryCrossEntropy(smoothing=smoothing)(LOGITS, LABELS))


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, None])
def test_binary_loss_equals_timms_for_mixed_targets(threshold):
    ours = binary_cross_entropy(LOGITS, MIXED, threshold=threshold).mean()
    theirs = BinaryCrossEntropy(smoothing=0.0, target_threshold=threshold)(LOGITS, MIXED)
    torch.testing.assert_close(ours, theirs)


def test_threshold_comes_before_smoothing_so_absent_classes_stay_absent():
    smooth = binary_cross_entropy(LOGITS, MIXED, threshold=0.0, label_smoothing=0.01)
    plain = binary_cross_entropy(LOGITS, MIXED, threshold=0.0)
    torch.testing.assert_close(smooth, plain, atol=0.02, rtol=0)


def test_half_precision_logits_lose_nothing_more_than_they_lost_already():
    half = LOGITS.bfloat16()
    assert cross_entropy(half, LABELS).dtype == torch.float32
    torch.testing.assert_close(
        binary_cross_entropy(half, LABELS), binary_cross_entropy(half.float(), LABELS)
    )


@pytest.mark.parametrize("labels", [LABELS, MIXED])
def test_weights_in_half_precision_count_as_what_they_are(labels):
    half = torch.arange(1.0, LOGITS.shape[1] + 1).bfloat16()
    torch.testing.assert_close(
        cross_entropy(LOGITS, labels, class_weights=half),
        cross_entropy(LOGITS, labels, class_weights=half.float()),
    )
    torch.testing.assert_close(
        binary_cross_entropy(LOGITS, labels, positive_weights=half),
        binary_cross_entropy(LOGITS, labels, positive_weights=half.float()),
    )
