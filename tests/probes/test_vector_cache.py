"""Vectors on disk: what no pass would have written counts as missing."""

import pytest
import torch

from vit.probes.cache import SAMPLES, Cache
from vit.probes.collecting import Vectors

NAMES = ["cls@1", "mean@1"]


@pytest.fixture()
def cache(tmp_path):
    kept = Cache(tmp_path)
    by_name = {name: torch.randn(4, 6) for name in NAMES}
    kept.write("val", Vectors(by_name, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 3, 4])))
    return kept


def test_what_was_written_is_read(cache):
    found, missing = cache.read("val", [*NAMES, "cls@2"], length=5, dim=6)
    assert missing == ["cls@2"] and found.by_name.keys() == set(NAMES)
    assert found.index.tolist() == [0, 1, 3, 4] and found.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "vectors",
    [
        torch.full((4, 6), torch.nan),
        torch.full((4, 6), torch.inf),
        torch.zeros(4, 5),
        torch.zeros(3, 6),
        torch.zeros(4),
        torch.tensor(1.0),
        torch.zeros(4, 6, 1),
        torch.zeros(4, 6, dtype=torch.float64),
        torch.zeros(4, 6, dtype=torch.int64),
    ],
    ids=lambda each: f"{str(each.dtype)[6:]}{list(each.shape)}",
)
def test_vectors_that_cannot_be_right_are_missing(cache, vectors):
    cache._write("val", "mean@1", {"vectors": vectors})
    found, missing = cache.read("val", NAMES, length=5, dim=6)
    assert missing == ["mean@1"] and list(found.by_name) == ["cls@1"]


@pytest.mark.parametrize(
    "changed",
    [
        {"index": torch.tensor([0, 1, 3, 5])},
        {"index": torch.tensor([-1, 1, 3, 4])},
        {"index": torch.tensor([0, 1, 1, 4])},
        {"index": torch.tensor([0.0, 1.0, 3.0, 4.0])},
        {"index": torch.tensor([[0, 1, 3, 4]])},
        {"index": torch.tensor(0)},
        {"labels": torch.tensor(0)},
        {"labels": torch.tensor([0, 1, 0])},
        {"labels": torch.full((4, 2), torch.nan)},
    ],
    ids=lambda each: str(each),
)
def test_without_sound_places_and_labels_nothing_is_there(cache, changed):
    sound = {"labels": torch.tensor([0, 1, 0, 1]), "index": torch.tensor([0, 1, 3, 4])}
    cache._write("val", SAMPLES, {**sound, **changed})
    assert cache.read("val", NAMES, length=5, dim=6) == (None, NAMES)
