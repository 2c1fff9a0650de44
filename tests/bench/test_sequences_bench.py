"""What is compared, and that both ways of writing write the same; how fast in the slow tests."""

import json

import pytest
import torch

from vit.bench import sequences
from vit.bench.sequences import OURS, SIZES, THEIRS, Shape, compare, made_up_texts
from vit.cli import main as commands

TINY = Shape(32, 2, 2, 48, 50, source=8, target=6, written=12)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "s", TINY)


def test_both_transformers_have_the_same_parameters():
    ours, theirs = (
        sum(p.numel() for p in make(TINY).parameters()) for make in sequences.MAKERS.values()
    )
    assert ours == theirs


def test_both_are_given_texts_of_two_lengths_and_start_at_the_same_loss():
    source, target = made_up_texts(TINY, 4, "cpu")
    assert (source == 0).sum(1).tolist() == [2, 0, 2, 0]
    for make in sequences.MAKERS.values():
        torch.manual_seed(0)
        logits = make(TINY).eval()(source, target[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())
        assert logits.shape == (4, TINY.target, TINY.vocabulary) and 3 < loss < 6


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sequences_have_a_row_for_each_work_and_write_the_same_tokens(precision, tiny):
    result = compare(batch=2, rounds=2, generation_rounds=1, precision=precision)
    rows = [(row.work, row.library) for row in result.rows]
    assert rows == [(work, name) for work in ("forward", "step") for name in (OURS, THEIRS)]
    for row in result.rows:
        assert row.texts_per_second > 0
        assert (row.ours_is_faster is None) == (row.library == OURS)
    assert result.generation.times_as_fast.median > 0
    if precision == "fp32":
        assert result.generation.same_tokens == 1.0
    json.dumps(result.as_json(), allow_nan=False)


def test_sequences_are_shown_as_a_table_and_as_json(tiny, capsys):
    assert commands.main(["bench", "sequences", "--rounds", "1", "--batch", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2 + 2 layers of 32, 2 heads, hidden 48, 50 tokens known" in shown
    assert "step     nn.Transformer" in shown and "all of the tokens alike" in shown
    words = ["bench", "sequences", "--generate", "--rounds", "1", "--json"]
    assert commands.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["bench"], result["rows"], result["generation"]["rounds"]) == ("sequences", [], 1)
    assert commands.main(["bench", "sequences", "--batch", "0"]) == 2
    assert "--batch: is 0; wanted at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_step_takes_no_longer_than_that_of_torchs_transformer():
    result = compare(works=["step"], batch=16)
    assert result.rows[1].ours_is_faster.median >= 1


@pytest.mark.slow
def test_a_memory_writes_five_times_as_fast_at_128_tokens():
    result = compare(works=["generate"])
    assert result.shape.written == 128 and result.generation.same_tokens == 1.0
    assert result.generation.times_as_fast.median >= 5
