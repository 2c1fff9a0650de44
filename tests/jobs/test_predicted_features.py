"""vit predict --features: the vectors beside the answers are those of vit.load(run).features."""

import numpy as np
import pytest
from safetensors.torch import load_file

import vit
from vit.jobs.prediction import predict, predict_texts
from vit.jobs.split_prediction import predict_split


@pytest.mark.parametrize("kind", ["classes", "boxes"])
def test_of_files(tiny_runs, kind, tmp_path):
    run, paths, out = tiny_runs(kind), tiny_runs.pictures(), tmp_path / "new" / "features.npz"
    told = predict(str(run), paths, "best", "cpu", vectors=str(out))
    found = np.load(out)
    assert told["features"] == str(out) and found["ids"].tolist() == paths
    assert np.allclose(found["features"], vit.load(run).features(paths).numpy(), atol=1e-6)
    assert "features" not in predict(str(run), paths, "best", "cpu")


def test_of_texts(tiny_runs, tmp_path):
    run, texts, out = tiny_runs("topics"), tiny_runs.inputs("topics"), tmp_path / "f.safetensors"
    assert predict_texts(str(run), texts, "best", "cpu", (), str(out))["features"] == str(out)
    found = load_file(out)
    assert bytes(found["ids"].numpy()).decode().split("\0") == texts
    assert np.allclose(found["features"], vit.load(run).features(texts).numpy(), atol=1e-6)


def test_of_a_split_in_its_order(tiny_runs, tmp_path):
    run, out = tiny_runs("classes"), tmp_path / "f.npz"
    told = predict_split(str(run), "val", "best", "cpu", vectors=str(out))
    found = np.load(out)
    assert found["ids"].tolist() == [row["path"] for row in told["images"]]
    assert found["features"].shape == (196, 16)
