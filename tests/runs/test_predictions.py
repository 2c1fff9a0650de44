"""Predictions in a run's folder: what was written is read, and nothing else is believed."""

import numpy as np
import pytest

from vit.runs.predictions import (
    Predictions,
    hash_of_names,
    predictions_file,
    read_predictions,
    write_predictions,
)

TOLD = Predictions(
    index=np.array([0, 1, 2, 4]),
    target=np.array([2, 0, 1, 1]),
    predicted=np.array([2, 1, 0, 2]),
    confidence=np.array([0.9, 0.6, 0.8, 0.8], np.float32),
    samples=hash_of_names(["a", "b", "c", "e"]),
)


def test_what_was_written_is_read(tmp_path):
    write_predictions(tmp_path, "test", TOLD)
    read = read_predictions(tmp_path, "test")
    for name in ("index", "target", "predicted", "confidence"):
        np.testing.assert_array_equal(getattr(read, name), getattr(TOLD, name))
    assert read.samples == TOLD.samples != hash_of_names(["ab", "c", "e"])
    assert [file.name for file in tmp_path.iterdir()] == ["predictions-test.npz"]


def test_the_most_confident_mistakes_come_first_and_equal_ones_in_order():
    assert TOLD.mistakes(9).tolist() == [2, 3, 1]
    assert TOLD.mistakes(1).tolist() == [2]


def test_ten_thousand_samples_take_little_room(tmp_path):
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, (2, 10_000))
    told = Predictions(np.arange(10_000), *labels, draw.random(10_000).astype(np.float32))
    assert write_predictions(tmp_path, "test", told).stat().st_size < 90_000


def test_other_files_are_none(tmp_path):
    assert read_predictions(tmp_path, "test") is None
    file = predictions_file(tmp_path, "test")
    whole = write_predictions(tmp_path, "test", TOLD).read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], b"no archive"):
        file.write_bytes(content)
        assert read_predictions(tmp_path, "test") is None
    predictions_file(tmp_path, "val").write_bytes(whole)
    assert read_predictions(tmp_path, "val") is None  # it says that it is of test


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": np.int64(2)},
        {"target": np.zeros(3, np.int32)},
        {"confidence": np.array([object()] * 4)},  # a pickle, which is not opened
    ],
)
def test_other_versions_lengths_and_pickles_are_none(tmp_path, change):
    with np.load(write_predictions(tmp_path, "test", TOLD)) as file:
        content = dict(file)
    np.savez(predictions_file(tmp_path, "test"), **{**content, **change})
    assert read_predictions(tmp_path, "test") is None
