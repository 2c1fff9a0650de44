"""BLEU, chrF and ROUGE: against sacrebleu and rouge_score; over two ranks in test_ranks.py."""

import math
import re
import sys

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from vit.metrics.written import WrittenMetrics, rouge

RIGHT = [
    "This package contains the development files.",
    "A fast, small library for reading images",
    "Größere Bilder werden schneller gelesen",
    "the cat sat on the mat while the dog sat on the cat",
    "documentation",
    "",
]
WRITTEN = [
    "This package contains development files for it.",
    "a library for small images, and for reading",
    "Bilder werden größer gelesen als Bilder",
    "the dog sat on the cat while the cat sat on the mat",
    "nothing of it",
    "something",
]
ALL = ("bleu", "chrf", "rouge")


class Words:
    """What rouge_score asks for: ours, since its own drop all letters beyond a to z."""

    def tokenize(self, text):
        return re.findall(r"[^\W_]+", text.lower())


def measured(first=0, last=6, wanted=ALL):
    metrics = WrittenMetrics(wanted)
    for start in range(first, last, 4):
        rows = range(start, min(start + 4, last))
        metrics.update(rows, (WRITTEN[i] for i in rows), (RIGHT[i] for i in rows))
    return metrics.compute()


def test_rouge_equals_the_library_of_its_authors():
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
    rows = [rouge(one, other) for one, other in zip(WRITTEN, RIGHT, strict=True)]
    for row, one, other in zip(rows, WRITTEN, RIGHT, strict=True):
        expected = scorer.score(other, one)
        assert row == pytest.approx([score.fmeasure for score in expected.values()], abs=1e-12)
    assert rows[3][0] == 1.0 > rows[3][1] > rows[3][2] > 0
    assert rouge("", "") == (0.0, 0.0, 0.0)
    found = measured(wanted=["rouge"])
    assert found["rouge_l"] == pytest.approx(sum(row[2] for row in rows) / 6, abs=1e-12)


def test_bleu_and_chrf_are_those_of_the_whole_corpus():
    found = measured()
    assert tuple(found) == WrittenMetrics(ALL).names
    assert found["bleu"] == sacrebleu.corpus_bleu(WRITTEN, [RIGHT]).score > 20
    assert found["chrf"] == sacrebleu.corpus_chrf(WRITTEN, [RIGHT]).score > 40
    assert tuple(measured(wanted=["chrf"])) == ("chrf",)


def test_a_text_reported_twice_counts_once():
    metrics = WrittenMetrics(["rouge"])
    for _ in range(2):
        metrics.update([0, 3], [WRITTEN[0], WRITTEN[3]], [RIGHT[0], RIGHT[3]])
    expected = (rouge(WRITTEN[0], RIGHT[0])[1] + rouge(WRITTEN[3], RIGHT[3])[1]) / 2
    assert metrics.compute()["rouge_2"] == pytest.approx(expected, abs=1e-12)
    metrics.reset()
    assert math.isnan(metrics.compute()["rouge_2"])  # nothing is known


def test_a_metric_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="has 'blue'; wanted bleu, chrf, rouge"):
        WrittenMetrics(["blue"])
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(ValueError, match=r"pip install 'vit-experiments\[text\]'"):
        WrittenMetrics(["chrf"])
    assert WrittenMetrics(["rouge"]).names == ("rouge_1", "rouge_2", "rouge_l")
    assert WrittenMetrics([]).compute() == {}
