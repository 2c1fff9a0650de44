"""Text data: files, tokenizers, batches, and numbers in words."""

import gzip
import itertools
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from vit.data.formats.text_files import texts_of
from vit.data.formats.tokenizing import SPECIAL, Tokenizer, train_tokenizer
from vit.data.number_words import NumberWords, in_words
from vit.data.text_table import TextTable
from vit.structures import END, PAD, START, UNKNOWN

TEXTS = ["the cat sat, the dog ran", "a cat ran  twice", "«Hund» und Katze im Jahr 2024"] * 5


def test_what_was_encoded_is_decoded():
    tokenizer = Tokenizer(train_tokenizer(TEXTS, 200))
    rows, cut = tokenizer.encode(TEXTS, 60)
    assert tokenizer.decode(rows) == TEXTS and cut == 0
    assert all(row[-1] == END and not {PAD, START, UNKNOWN} & set(row) for row in rows)
    pieces = tokenizer.pieces(rows[2])
    assert pieces[-6:] == ["▁", "2", "0", "2", "4", SPECIAL[END]] or "2024" not in pieces
    assert "2024" not in pieces and "▁cat" in tokenizer.pieces(rows[0])


def test_what_was_never_seen_is_unknown_and_what_looks_special_is_not():
    tokenizer = Tokenizer(train_tokenizer([*TEXTS, "<end> pads"], 200))
    ((*row, end),), _ = tokenizer.encode(["cat Ω"], 60)
    assert UNKNOWN in row and end == END
    ((*row, end),), _ = tokenizer.encode(["<end> <pad> cat"], 60)
    assert not {END, PAD} & set(row) and tokenizer.decode([row]) == ["<end> <pad> cat"]


def test_long_texts_are_cut_and_keep_their_end():
    tokenizer = Tokenizer(train_tokenizer(TEXTS, 200))
    (row, short), cut = tokenizer.encode([TEXTS[0], "a"], 4)
    assert len(row) == 4 and row[-1] == END and cut == 1 and short[-1] == END


def test_a_tokenizer_is_the_same_for_the_same_texts_in_every_process(tmp_path):
    program = (
        "from vit.data.number_words import NumberWords as N; import hashlib\n"
        "tokenizer = N(samples=300, test_samples=20).facts.tokenizer\n"
        "print(hashlib.sha256(tokenizer.encode()).hexdigest())"
    )
    result = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(result) == 1


def test_a_tokenizer_travels_as_its_json():
    trained = train_tokenizer(TEXTS, 200, lowercase=True)
    assert json.loads(trained)["model"]["type"] == "BPE"
    again = pickle.loads(pickle.dumps(Tokenizer(trained)))
    assert again.encode(["THE CAT"], 9) == Tokenizer(trained).encode(["the cat"], 9)
    with pytest.raises(ValueError, match="no tokenizer's JSON"):
        Tokenizer("{}")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (85, "eighty five"),
        (100, "one hundred"),
        (999, "nine hundred ninety nine"),
        (1000, "one thousand"),
        (42_007, "forty two thousand seven"),
        (500_300, "five hundred thousand three hundred"),
    ],
)
def test_numbers_are_reported_as_people_tell_them(number, words):
    assert in_words(number) == words


def numbers(**options):
    given = {"samples": 400, "test_samples": 50, "batch_size": 32, "vocabulary": 100}
    return NumberWords(**(given | options))


def test_all_numbers_differ_in_words():
    assert len({in_words(number) for number in range(0, 1_000_000, 7)}) == len(
        range(0, 1_000_000, 7)
    )


def test_no_number_is_in_two_splits_and_the_runs_seed_changes_none():
    data, other = numbers(seed=0), numbers(seed=1)
    texts = [set(data._texts(split)) for split in ("train", "val", "test")]
    assert [len(part) for part in texts] == [360, 40, 50]
    assert all(not one & two for one, two in itertools.combinations(texts, 2))
    assert data.fingerprint() == other.fingerprint() != numbers(draw_seed=1).fingerprint()
    assert data.faults() == [] and data.warnings() == []


def test_batches_hold_each_sample_once_and_are_about_equally_long():
    data = numbers(samples=4_000)
    seen, filled = [], 0
    for batch in data.loader("train"):
        lengths = (batch.tokens != PAD).sum(1)
        assert (batch.tokens[torch.arange(len(batch)), lengths - 1] == END).all()
        seen += batch.index.tolist()
        filled += int((batch.tokens == PAD).sum())
        words = data.eval_transform.decode(batch.tokens.tolist())
        digits = data.eval_transform.decode(batch.targets.tolist())
        assert [in_words(int(number)) for number in digits] == words
    assert len(seen) == len(set(seen)) == 3_584
    plain = numbers(samples=4_000, bucketed=False).loader("train")
    assert filled < 0.3 * sum(int((batch.tokens == PAD).sum()) for batch in plain)
    assert [i for b in data.loader("val") for i in b.index.tolist()] == list(range(400))


def test_long_numbers_are_cut_with_a_word_of_warning():
    (train, *_) = numbers(max_tokens=5).warnings()
    assert train.startswith("train: ") and "longer than data.max_tokens=5" in train


def test_senseless_numbers_are_refused():
    for wrong, said in (
        ({"largest": 10}, "are more than the 11 numbers"),
        ({"largest": 1_000_000}, "wanted 1 to 999999"),
        ({"max_tokens": 1}, "wanted 2 or more"),
        ({"vocabulary": 4}, "wanted 5 or more"),
    ):
        with pytest.raises(ValueError, match=said):
            numbers(**wrong)


@pytest.fixture
def tsv(tmp_path):
    file = tmp_path / "sections.tsv.gz"
    rows = [f'{"admin" if i % 3 else "doc"}\tname{i}\tsome "text of {i % 5}' for i in range(30)]
    file.write_bytes(gzip.compress("\n".join(rows).encode()))
    return file


def test_classes_of_a_tsv(tsv):
    data = TextTable(train=str(tsv), input_column=2, target_column=0, test_fraction=0.2)
    assert data.facts.class_names == ("admin", "doc") and data.faults() == []
    assert data.lengths == {"train": 21, "val": 3, "test": 6}
    description = data.describe()
    assert description["train"]["per_class"] == {"admin": 14, "doc": 7}
    (batch,) = data.loader("test")
    source, members = data.splits["test"]
    assert batch.targets.tolist() == data.contents.sources[source].labels[members].tolist()
    texts = data.eval_transform.decode(batch.tokens.tolist())
    assert texts == [f'some "text of {i % 5}' for i in members]
    assert data.sample_name("test", 0) == f"row {members[0] + 1}"


def test_texts_of_json_lines(tmp_path):
    for name in ("train", "val"):
        rows = [json.dumps({"en": f"the {i}", "de": f"die {i}\u2028"}) for i in range(10)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "val")}
    columns = {"input_column": "en", "target_column": "de"}
    data = TextTable(**files, **columns, target="text", batch_size=5)
    assert data.facts.num_classes == 0 and data.lengths == {"train": 10, "val": 10}
    assert data.warnings() == ["val: 10 of its texts are in train too"]
    batch = next(iter(data.loader("val")))
    assert data.eval_transform.decode(batch.targets.tolist()) == [f"die {i}" for i in range(5)]


def test_broken_files_are_reported(tmp_path, tsv):
    (tmp_path / "a.jsonl").write_text('{"x": "1", "y": "2"}\n{"x": "1"\n')
    (tmp_path / "b.jsonl").write_text('{"x": "1", "y": "2"}\n{"x": "1"}\n')
    (tmp_path / "c.tsv").write_text("a\tb\nc\n")
    (tmp_path / "d.tsv").write_text("admin\tx\tnew\nnet\tx\tnew\n")
    (tmp_path / "e.tsv").write_text("")
    (tmp_path / "f.tsv").write_text("one\ttwo\n\tfour\nfive\tsix\n" * 9)
    keys = {"input_column": "x", "target_column": "y"}
    for options, said in (
        ({"train": str(tmp_path / "a.jsonl"), **keys}, "row 2 is no JSON"),
        ({"train": str(tmp_path / "b.jsonl"), **keys}, "row 2 has no 'y', only x"),
        ({"train": str(tmp_path / "c.tsv")}, "row 2: 1 columns"),
        ({"train": str(tmp_path / "e.tsv")}, "holds no rows"),
        ({"train": str(tmp_path / "x.tsv")}, "is no file"),
        ({"train": str(tmp_path)}, "is no file"),
        ({"train": str(tsv), "input_column": "text"}, "no column 'text'"),
        (
            {"train": str(tsv), "val": str(tmp_path / "d.tsv")}
            | {"input_column": 2, "target_column": 0},
            "d.tsv: classes that train lacks: net",
        ),
        ({"train": str(tmp_path / "f.tsv"), "target": "text"}, "9 of 27 rows have no text"),
    ):
        (fault, *_) = TextTable(**options).faults()
        assert said in str(fault)


def test_texts_alone_are_read_from_files_of_any_kind(tmp_path, tsv):
    (tmp_path / "a.txt").write_text("one\ttwo\nthree\n")
    (tmp_path / "b.tsv").write_text("one\ntwo\n")
    (tmp_path / "c.jsonl").write_text('{"text": "one", "de": "eins"}\n')
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"one\n\nthree"))
    assert texts_of(tmp_path / "a.txt") == ["one\ttwo", "three"]
    assert texts_of(tmp_path / "b.tsv", 3) == ["one", "two"]
    assert texts_of(tmp_path / "c.jsonl") == ["one"]
    assert texts_of(tmp_path / "c.jsonl", "de") == ["eins"]
    assert texts_of(tsv, 2)[:2] == ['some "text of 0', 'some "text of 1']
    for file, said in (("d.txt.gz", "text 2 is empty"), ("e.txt", "is no file")):
        with pytest.raises(ValueError, match=said):
            texts_of(tmp_path / file)
    (tmp_path / "e.csv").write_text("one")
    with pytest.raises(ValueError, match=r"wanted \.tsv or \.jsonl"):
        texts_of(tmp_path / "e.csv")


def test_named_columns_of_a_tsv(tmp_path):
    (tmp_path / "a.tsv").write_text("kind\ttext\n" + "x\tone\ny\ttwo\n" * 5)
    options = {"header": True, "input_column": "text", "target_column": "kind"}
    data = TextTable(train=str(tmp_path / "a.tsv"), **options)
    assert data.lengths["train"] == 8 and data.facts.class_names == ("x", "y")
    assert data.contents.sources["train"].name(0) == "row 2"


def test_a_split_is_cheap_to_send_to_a_worker():
    split = numbers(samples=2_000).dataset("train", training=True)
    assert isinstance(split.texts.tokens, np.ndarray)
    assert len(pickle.dumps(split)) < 200_000


def test_short_numbers_are_drawn_as_often_as_long_ones_while_they_last():
    texts = NumberWords(samples=3_000, test_samples=500, to="words").contents.sources
    counts = np.bincount([len(text) for part in texts.values() for text in part.texts])
    assert counts.tolist() == [0, 10, 90, 850, 850, 850, 850]
