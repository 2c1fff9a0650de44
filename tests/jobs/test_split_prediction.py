"""Samples that are no files are predicted by their number or row."""

import json
from pathlib import Path

import pytest

from vit.cli.compose import compose
from vit.faults import Refused
from vit.jobs import split_prediction as subject
from vit.jobs.split_prediction import predict_split, splits_of
from vit.runs.directory import RunFolder
from vit.runs.splits import write_splits
from vit.runs.writing import write_json
from vit.tasks.assembly import assemble_data


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """A run's folder as training leaves it but for the model, and what predicting is asked."""

    def predict(run_dir, paths, *_, opened=None, vectors=None):
        images = [{"path": path, "size": opened(Path(path)).size} for path in paths]
        return {"images": images, "left_out": []}

    def predict_texts(run_dir, texts, *_):
        return {"texts": [{"input": text} for text in texts]}

    monkeypatch.setattr(subject, "predict", predict)
    monkeypatch.setattr(subject, "predict_texts", predict_texts)

    def make(*words):
        folder = RunFolder(tmp_path / "run")
        config = compose([*words, "trainer=cpu", "tracking=none"])
        folder.freeze(config)
        data = assemble_data(config)
        write_splits(folder.path, splits_of(data))
        write_json(folder.stamp_file, {"data": {"fingerprint": data.fingerprint()}})
        return str(folder.path), data

    return make


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=digits"],
        ["data=digit_scenes", "task=detection", "data.val_scenes=4", "data.train_scenes=9"],
    ],
)
def test_generated_images_go_by_their_number(planned, words):
    run_dir, data = planned(*words)
    result = predict_split(run_dir, "val", "best", "cpu")
    names = [data.sample_name("val", index) for index in range(data.lengths["val"])]
    assert [row["path"] for row in result["images"]] == names and result["split"] == "val"


def test_texts_go_by_their_row(planned):
    run_dir, data = planned("data=number_words", "task=text_to_text", "data.samples=200")
    result = predict_split(run_dir, "test", "best", "cpu")
    assert [row["sample"] for row in result["texts"]] == [
        data.sample_name("test", index) for index in range(data.lengths["test"])
    ]
    assert json.dumps(result)


def test_numbers_of_other_data_are_refused(planned, tmp_path):
    run_dir, _ = planned("experiment=digits")
    write_json(RunFolder(tmp_path / "run").stamp_file, {"data": {"fingerprint": "another"}})
    with pytest.raises(Refused, match="fingerprint another →"):
        predict_split(run_dir, "test", "best", "cpu")


def test_a_run_from_before_there_were_names_is_cut_as_its_data_are(planned, tmp_path):
    run_dir, data = planned("experiment=digits")
    (tmp_path / "run" / "splits.json").unlink()
    result = predict_split(run_dir, "test", "best", "cpu")
    assert len(result["images"]) == data.lengths["test"]


def test_names_that_cannot_be_read_are_refused_by_their_file(planned, tmp_path):
    run_dir, _ = planned("experiment=digits")
    (tmp_path / "run" / "splits.json").write_text("{")
    with pytest.raises(Refused, match=r"splits\.json: cannot be read"):
        predict_split(run_dir, "test", "last", "cpu")
