"""kNN against scikit-learn's on the same features."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from vit.probes.neighbours import nearest_classes


def clouds(count, dim=12, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(classes, (count,), generator=generator)
    return centres[labels] + 1.5 * torch.randn(count, dim, generator=generator), labels


@pytest.mark.parametrize("temperature", [0.07, 0.01, 1.0])
def test_it_answers_as_scikit_learn_s_neighbours_with_the_same_weights(temperature):
    bank, labels = clouds(400)
    queries, own = clouds(150, seed=1)
    found = nearest_classes(queries, bank, labels, 5, (1, 10, 20, 100), temperature)
    for count, guessed in found.items():
        oracle = KNeighborsClassifier(
            n_neighbors=count,
            metric="cosine",
            algorithm="brute",
            weights=lambda distance: np.exp((1 - distance) / temperature),
        )
        oracle.fit(bank.double().numpy(), labels.numpy())
        assert guessed.tolist() == oracle.predict(queries.double().numpy()).tolist()
    accuracies = [(guessed == own).float().mean().item() for guessed in found.values()]
    assert min(accuracies) > 0.3 and max(accuracies) < 1
    assert temperature != 1.0 or len(set(accuracies)) > 1


def test_a_bound_on_memory_changes_nothing():
    bank, labels = clouds(100)
    queries, _ = clouds(33, seed=1)
    whole = nearest_classes(queries, bank, labels, 5, (7,))
    parts = nearest_classes(queries, bank, labels, 5, (7,), at_once=250)  # two queries at a time
    assert torch.equal(whole[7], parts[7]) and len(whole[7]) == 33


def test_lengths_of_vectors_count_for_nothing_and_a_near_one_for_more_than_several_far_ones():
    bank = torch.tensor([[100.0, 0.0], [0.1, 0.1], [0.1, 0.11], [0.0, 1.0]])
    labels = torch.tensor([0, 1, 1, 1])
    queries = torch.tensor([[1.0, 0.02]])
    assert nearest_classes(queries, bank, labels, 2, (3,))[3].tolist() == [0]
    assert nearest_classes(queries, bank, labels, 2, (3,), temperature=100.0)[3].tolist() == [1]


def test_a_small_temperature_stays_finite():
    bank, labels = clouds(50)
    nearest = nearest_classes(bank[:5], bank, labels, 5, (20,), temperature=1e-4)
    assert nearest[20].tolist() == labels[:5].tolist()  # each is its own nearest
