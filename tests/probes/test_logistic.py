"""Logistic regression against scikit-learn's, to 1e-6 in log loss."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sklearn_log_loss

from vit.probes import logistic


def clouds(count, dim=8, classes=4, seed=0, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % classes
    return centres[labels] + 3 + spread * torch.randn(count, dim, generator=generator), labels


@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_scikit_learn_s_to_1e_6_in_log_loss(C, classes):
    seen, labels = clouds(300, classes=classes)
    other, right = clouds(100, classes=classes, seed=1)
    found = logistic.fit(seen, labels, classes, C)
    oracle = LogisticRegression(C=C, tol=1e-10, max_iter=10_000)
    oracle.fit(seen.double().numpy(), labels.numpy())
    for vectors, own in ((seen, labels), (other, right)):
        expected = sklearn_log_loss(own, oracle.predict_proba(vectors.double().numpy()))
        assert logistic.log_loss(found.logits(vectors), own) == pytest.approx(expected, abs=1e-6)
    assert found.slope < 1e-6


def test_every_c_on_the_path_is_near_what_it_is_alone_and_the_penalty_tells():
    seen, labels = clouds(200)
    path = list(logistic.path(seen, labels, 4, (1.0, 1e-4, 1e-2)))
    assert [each.C for each in path] == [1e-4, 1e-2, 1.0]
    for each in path:
        alone = logistic.fit(seen, labels, 4, each.C)
        near = logistic.log_loss(alone.logits(seen), labels)
        assert logistic.log_loss(each.logits(seen), labels) == pytest.approx(near, abs=1e-3)
    sizes = [each.weights.norm().item() for each in path]
    assert sizes == sorted(sizes) and sizes[0] < 0.5 * sizes[2]


def test_separable_classes_and_the_largest_c_stay_finite():
    seen, labels = clouds(40, spread=0.01)
    for found in (logistic.fit(seen, labels, 4, 1e5), *logistic.path(seen, labels, 4, (1.0, 1e5))):
        assert found.weights.isfinite().all()
        assert (found.logits(seen).argmax(1) == labels).all()


def test_the_loss_of_the_wrong_class_is_as_in_the_formula():
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    expected = (torch.log1p(torch.tensor(-2.0).exp()) + torch.log(torch.tensor(2.0))) / 2
    assert logistic.log_loss(logits, torch.tensor([0, 1])) == pytest.approx(expected.item())
