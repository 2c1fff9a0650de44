"""The tasks on text: through Lightning's loops, and as whole commands."""

import json
import time
from functools import partial

import pytest
import sacrebleu
import torch
import torch.nn.functional as F
from commands import command
from PIL import Image

from vit.check.models import backbone_for
from vit.data.digits import Digits
from vit.data.formats.tokenizing import Tokenizer
from vit.data.number_words import NumberWords
from vit.data.text_table import TextTable
from vit.faults import Refused
from vit.jobs.evaluation import evaluate
from vit.jobs.prediction import predict, predict_texts
from vit.metrics.sequence import SequenceMetrics, matches
from vit.models.classifier import Head
from vit.models.sequence import TokenTransformer
from vit.models.text_decoder import TextDecoder
from vit.optim.schedules import Constant
from vit.structures import END, PAD, START, UNKNOWN, TextBatch
from vit.tasks.captioning import Captioning
from vit.tasks.sequence import TextToText, shifted
from vit.tasks.text_classification import TextClassification
from vit.trained import load


class Adam:
    def build(self, model):
        return torch.optim.Adam(model.parameters(), lr=0.01)


def task_of(kind, data, head, **options):
    facts = data.facts
    sizes = {"dim": 32, "depth": 1, "heads": 2, "embedding_scale": True}
    backbone = TokenTransformer(**facts.for_backbone(), **sizes)
    model = kind.spec().build_model(backbone, head, facts)
    given = kind.spec().from_data(data)
    return kind(model, facts, Adam(), Constant(cooldown=1.0), 0, **given, **options)


def writing(data, **options):
    blocks = partial(TokenTransformer, dim=32, depth=1, heads=2, embedding_scale=True)
    return task_of(TextToText, data, partial(TextDecoder, blocks=blocks), **options)


@pytest.fixture
def numbers():
    return NumberWords(
        samples=90, test_samples=10, largest=99, batch_size=9, vocabulary=80, max_tokens=6
    )


@pytest.fixture
def reviews(tmp_path):
    rows = [
        f"{adjective} {noun} number {i}\t{kind}"
        for i, noun in enumerate(["film", "book", "song", "play"] * 8)
        for adjective, kind in (("good", "praise"), ("bad", "blame"), ("long", "neither"))
    ]
    file = tmp_path / "reviews.tsv"
    file.write_text("\n".join(rows))
    return TextTable(train=str(file), batch_size=12, vocabulary=120, test_fraction=0.2)


def test_it_learns_to_tell_classes_of_texts(reviews, trainer, logged):
    task = task_of(TextClassification, reviews, Head)
    run = trainer(max_epochs=6)
    run.fit(task, reviews.loader("train"), reviews.loader("val"))
    assert set(run.callback_metrics) == logged(task, reviews)
    assert run.callback_metrics["val/accuracy"] > 0.95
    run.test(task, reviews.loader("test"), verbose=False)
    assert task.tables()["classes"] == ["blame", "neither", "praise"]
    assert set(task.running.flush(task.device)) == {"train/loss", "train/accuracy"}


@pytest.fixture
def animals(tmp_path):
    pairs = "dog Hund,cat Katze,horse Pferd,cow Kuh,sheep Schaf,goat Ziege,hen Huhn,duck Ente"
    pairs += ",goose Gans,fish Fisch,mouse Maus,hare Hase"
    rows = ["a {}\tein {}".format(*pair.split()) for pair in pairs.split(",")]
    for name in ("train", "val"):
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows))
    files = {name: str(tmp_path / f"{name}.tsv") for name in ("train", "val")}
    return TextTable(**files, target="text", batch_size=6, max_tokens=8, vocabulary=200)


def test_it_learns_to_write_and_tells_what_it_wrote(animals, trainer, logged):
    asked = ["chrf", "rouge"]
    task = writing(animals, beams=2, text_metrics=asked)
    run = trainer(max_epochs=100, check_val_every_n_epoch=100)
    run.fit(task, animals.loader("train"), animals.loader("val"))
    assert set(run.callback_metrics) == logged(task, animals, text_metrics=asked)
    found = run.callback_metrics["val/exact_match"].item()
    samples = task.tables()["samples"]
    assert found >= 0.9 and samples[0] == ["a dog", "ein Hund", "ein Hund"]
    assert len(samples) == 10
    right, result = animals.contents.sources["val"].targets, []
    for batch in animals.loader("val"):
        assert list(batch.references) == [right[i] for i in batch.index.tolist()]
        result += Tokenizer(animals.facts.tokenizer).decode(task.predict_step(batch, 0).tolist())
    expected = sacrebleu.corpus_chrf(result, [right]).score
    assert run.callback_metrics["val/chrf"].item() == pytest.approx(expected, abs=1e-9)
    assert animals.loader("train").dataset.references is None
    assert set(task.running.flush(task.device)) == {"train/loss", "train/token_accuracy"}


def test_the_loss_is_the_mean_over_all_tokens_and_smoothing_is_for_training(numbers, trainer):
    task = writing(numbers, label_smoothing=0.1)
    run = trainer(max_steps=1)
    losses = []
    original = task.training_step
    batches = []

    def step(batch, batch_idx):
        batches.append(batch)
        with torch.no_grad():
            losses.append(task.model(batch.tokens, shifted(batch.targets)))
        return original(batch, batch_idx)

    task.training_step = step
    run.fit(task, numbers.loader("train"))
    real = batches[0].targets != PAD
    expected = F.cross_entropy(losses[0][real], batches[0].targets[real], label_smoothing=0.1)
    assert task.running.peek()["train/loss"] == pytest.approx(expected.item(), abs=1e-5)
    (tested,) = run.test(task, numbers.loader("test"), verbose=False)
    total = count = 0.0
    with torch.no_grad():
        for batch in numbers.loader("test"):
            real = batch.targets != PAD
            logits = task.model(batch.tokens, shifted(batch.targets))[real]
            total += F.cross_entropy(logits, batch.targets[real], reduction="sum").item()
            count += int(real.sum())
    assert tested["test/loss"] == pytest.approx(total / count, abs=1e-5)
    assert tested["test/perplexity"] == pytest.approx(torch.tensor(total / count).exp().item())


def test_the_decoder_is_given_what_stands_before_each_target():
    targets = torch.tensor([[7, 8, END], [9, END, PAD]])
    assert shifted(targets).tolist() == [[START, 7, 8], [START, 9, END]]


def test_a_match_is_the_same_text_to_its_end():
    targets = torch.tensor([[7, 8, END, PAD], [7, END, PAD, PAD], [7, UNKNOWN, END, PAD]])
    written = torch.tensor([[7, 8, END], [7, 8, END], [7, UNKNOWN, END]])
    assert matches(written, targets).tolist() == [True, False, False]
    cut = torch.tensor([[7, 8, 9]])  # nobody knows how it goes on
    assert matches(cut, cut).tolist() == [False]


def test_metrics_do_not_depend_on_the_batches():
    targets = torch.randint(4, 9, (12, 6))
    targets[:, 5] = END
    targets[::3, 4:] = torch.tensor([END, PAD])
    logits = torch.randn(12, 6, 9)
    written = torch.where(torch.rand(12, 1) < 0.5, targets, targets + 1)
    whole, parts = SequenceMetrics(), SequenceMetrics()
    whole.update(logits, targets, written)
    for part in (slice(0, 5), slice(5, 12)):
        parts.update(logits[part], targets[part], written[part])
    device = torch.device("cpu")
    assert parts.compute(device) == pytest.approx(whole.compute(device), abs=1e-12)
    expected = F.cross_entropy(logits[targets != PAD], targets[targets != PAD])
    assert whole.compute(device)["loss"] == pytest.approx(expected.item(), abs=1e-6)
    right = (logits.argmax(-1) == targets)[targets != PAD].float().mean()
    assert whole.compute(device)["token_accuracy"] == pytest.approx(right.item(), abs=1e-6)


def test_data_of_another_kind_and_unfit_heads_are_refused(numbers, reviews):
    for kind, data, said in (
        (TextToText, reviews, "TextTable with classes"),
        (TextClassification, numbers, "NumberWords without classes"),
        (TextClassification, object(), "data is object"),
    ):
        with pytest.raises(ValueError, match=said):
            kind.spec().from_data(data)
    for kind, data, head, said in (
        (TextToText, numbers, Head, "head=text_decoder is .such a head takes dim, vocabulary, len"),
        (Captioning, numbers, Head, "task=captioning can build; head=caption_decoder is"),
        (TextClassification, reviews, TextDecoder, "head=linear is .such a head takes dim, num_c"),
    ):
        with pytest.raises(ValueError, match=said) as found:
            task_of(kind, data, head)
        assert "__init__" not in str(found.value)


def test_a_mistake_inside_of_a_head_is_reported_as_it_is(reviews):
    def broken(dim, num_classes):
        return len(dim)

    with pytest.raises(ValueError, match="object of type 'int' has no len"):
        task_of(TextClassification, reviews, broken)


def test_a_part_that_a_head_cannot_build_is_reported_by_its_name(reviews):
    def neck(dim): ...

    class WithNeck:
        def __init__(self, dim, num_classes):
            neck(dim, num_classes=num_classes)

    with pytest.raises(ValueError, match=r"neck.* an unexpected keyword argument 'num_classes'"):
        task_of(TextClassification, reviews, WithNeck)


def test_a_backbone_for_other_data_is_refused_in_words(numbers, reviews):
    for target, data, said in (
        ("vit.models.backbone.ViT", numbers, "not made for texts, .* take backbone=text"),
        ("vit.models.sequence.TokenTransformer", Digits(), "not made for images, .*backbone=vit"),
    ):
        with pytest.raises(ValueError, match=said):
            backbone_for({"backbone": {"_target_": target}}, data, [])


def test_a_backbone_of_ones_own_is_reported_what_it_does_not_take(tmp_path, monkeypatch):
    (tmp_path / "ownbody.py").write_text("def body(image_size, in_chans): ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TypeError, match="unexpected keyword argument 'channels'"):
        backbone_for({"backbone": {"_target_": "ownbody.body"}}, Digits(), ["ownbody"])


def test_a_batch_keeps_its_parts_when_it_moves():
    batch = TextBatch(torch.ones(2, 3).long(), torch.zeros(2).long(), torch.arange(2))
    moved = batch.to("cpu")
    assert len(moved) == 2 and moved.input_size() == (3,)
    assert set(batch.as_plain()) == {"tokens", "targets", "index"}


def vit(*words, code=0):
    done = command(*words, code=code, environment={"COLUMNS": "120"}, timeout=400)
    return done.stdout + done.stderr


def test_a_run_on_texts_is_trained_and_evaluated_and_asked(tmp_path):
    folder = str(tmp_path / "run")
    small = ["data.samples=300", "data.test_samples=40", "trainer.max_epochs=1", "tracking=none"]
    said = vit("train", "experiment=number_words", *small, f"hydra.run.dir={folder}")
    assert "texts of up to 16 tokens" in said and "test exact match" in said
    assert " texts/s  " in said and "image" not in said.lower() and "class" not in said
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    kept = (tmp_path / "run" / "tokenizer.json").read_text()
    assert Tokenizer(kept).decode(Tokenizer(kept).encode(["ninety one"], 9)[0]) == ["ninety one"]
    assert load(folder).facts.tokenizer == kept
    again = evaluate(folder, None, None, "best", "cpu", ())  # test, since there is one
    assert set(again["metrics"]) == {f"test/{name}" for name in SequenceMetrics.names}
    assert again["metrics"].items() <= results["metrics"].items()
    assert again["unit"] == results["unit"] == "text"
    # Other data, read by the tokenizer that the run was trained with, which knows no Ω.
    (tmp_path / "other.tsv").write_text("Ω six\t6\n" * 40)
    table = {"train": str(tmp_path / "other.tsv"), "target": "text", "vocabulary": 40}
    part = {"_target_": "vit.data.text_table.TextTable", **table}
    assert evaluate(folder, part, None, "best", "cpu", ())["split"] == "val"
    other = evaluate(folder, part, "train", "best", "cpu", ())
    pairs = {tuple(row[:2]) for row in other["tables"]["samples"]}
    assert pairs == {(" six", "6")} and other["images"] == 36
    result = predict_texts(folder, ["forty two", "one"], "best", "cpu")["texts"]
    assert [row["input"] for row in result] == ["forty two", "one"]
    assert result[1] == predict_texts(folder, ["one"], "best", "cpu")["texts"][0]
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    with pytest.raises(Refused, match="reads texts and no images; wanted --text TEXT, or --file"):
        predict(folder, [str(tmp_path / "image.png")], "best", "cpu")
    with pytest.raises(Refused, match="number 2 is empty"):
        predict_texts(folder, ["one", " "], "best", "cpu")


@pytest.mark.slow
def test_number_words_are_learnt_in_two_minutes(tmp_path):
    started = time.monotonic()
    vit("train", "experiment=number_words", "tracking=none", f"hydra.run.dir={tmp_path / 'run'}")
    assert time.monotonic() - started < 120
    results = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert results["metrics"]["test/exact_match"] >= 0.99
