"""vit predict --file: which texts of a file are asked; the model itself is asked elsewhere.

And what is shown of a task of somebody's own, whose answers have names of their own.
"""

import gzip

import pytest
import yaml

from vit.cli import predict
from vit.faults import Refused
from vit.runs import process


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A run that reads a table's third column, and what it is asked."""
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"schema_version": 1, "data": {"input_column": 2}})
    )
    calls = []

    def call(where, *words):
        calls.append((where, words[1]))
        return {"texts": [{"input": text, "text": text.upper()} for text in words[1]]}

    monkeypatch.setattr(process, "warm_up", lambda: None)
    monkeypatch.setattr(process, "call", call)
    return calls


def test_a_file_is_asked_after_the_texts_of_the_command(asked, tmp_path, capsys):
    file = tmp_path / "more.tsv.gz"
    file.write_bytes(gzip.compress(b"x\ty\tone\nx\ty\ttwo\n"))
    assert predict.main([str(tmp_path), "--text", "none", "--file", str(file)]) == 0
    assert asked == [("vit.jobs.prediction:predict_texts", ["none", "one", "two"])]
    assert "two  →  TWO" in capsys.readouterr().out
    (tmp_path / "more.txt").write_text("just\tthis\n")
    predict.main([str(tmp_path), "--file", str(tmp_path / "more.txt")])
    assert asked[1][1] == ["just\tthis"]


def test_a_file_that_cannot_be_read_is_told_before_the_model_is_loaded(asked, tmp_path):
    (tmp_path / "two.tsv").write_text("a\tb\n")
    with pytest.raises(Refused, match="row 1: 2 columns; wanted number 2, counted from 0"):
        predict.main([str(tmp_path), "--file", str(tmp_path / "two.tsv")])
    with pytest.raises(Refused, match="--text or --file"):
        predict.main([str(tmp_path), "a.png", "--file", str(tmp_path / "two.tsv")])
    assert asked == []


def test_what_a_task_of_ones_own_says_is_shown_by_its_names(asked, tmp_path, capsys, monkeypatch):
    predict._show({"images": [{"path": "[a].png", "loss": 0.123456, "rows": [1, 2]}]}, 5)
    shown = capsys.readouterr().out
    assert "[a].png" in shown and "loss 0.1235, rows [1, 2]" in shown
    monkeypatch.setattr(
        process, "call", lambda *words: {"texts": [{"input": "a text", "depth": 3, "loss": 0.5}]}
    )
    assert predict.main([str(tmp_path), "--text", "a text"]) == 0
    assert "a text  →  depth 3, loss 0.5\n" in capsys.readouterr().out
