"""The classification task through Lightning's own loops, on a toy."""

import copy
import itertools

import pytest
import pytorch_lightning as lightning
import torch
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from sklearn.metrics import accuracy_score

from vit.callbacks.pictures import Pictures
from vit.callbacks.watch import Watch
from vit.losses.classification import binary_cross_entropy, cross_entropy
from vit.runs.mistake_gallery import read_album
from vit.runs.predictions import hash_of_names, read_predictions


def test_it_learns_and_tells_what_it_measured(toy, trainer, logged):
    task = toy.task()
    run = trainer(max_epochs=8)
    run.fit(task, toy.loader(), toy.loader())
    assert logged(task, toy) == set(run.callback_metrics)
    assert run.callback_metrics["val/accuracy"] > 0.9
    (tested,) = run.test(task, toy.loader(7), verbose=False)
    guesses = task.model(toy.images).argmax(-1)
    assert tested["test/accuracy"] == accuracy_score(toy.labels, guesses)
    assert tested["test/loss"] == pytest.approx(
        cross_entropy(task.model(toy.images), toy.labels).mean().item(), abs=1e-6
    )
    assert task.tables()["classes"] == list("abcdefgh")


def test_training_is_recorded_since_the_last_flush(toy, trainer):
    task = toy.task()
    trainer(max_steps=4, max_epochs=1).fit(task, toy.loader())
    peeked = task.running.peek()
    assert task.running.flush(task.device) == peeked and set(peeked) == {
        "train/loss",
        "train/accuracy",
    }
    assert task.running.first_bad(task.device) is None


def test_the_batch_of_a_loss_that_is_not_finite_is_named(toy, trainer):
    toy.images[50] = torch.nan
    task = toy.task()
    trainer(max_epochs=1).fit(task, toy.loader())
    assert task.running.first_bad(task.device)[:2] == (2, list(range(48, 72)))


def test_several_labels_are_measured_as_such(toy_of_several_labels, trainer, logged):
    toy = toy_of_several_labels
    task = toy.task(mixup=0.2, mix_probability=0.5)
    run = trainer(max_epochs=10)
    run.fit(task, toy.loader(), toy.loader())
    assert set(run.callback_metrics) == logged(task, toy)
    assert logged(task, toy) == {"val/accuracy", "val/map", "val/f1", "val/loss"}
    assert run.callback_metrics["val/map"] > 0.8
    (first, *_) = run.predict(task, toy.loader())
    torch.testing.assert_close(first, task.model(toy.images[:24]).sigmoid())


def test_each_test_sample_is_kept_and_the_surest_mistakes_are_drawn(toy, trainer, tmp_path):
    def picture(split, index):
        assert split == "test"
        return Image.new("L", (8, 4), index)

    task = toy.task(picture=picture, sample_name=lambda split, index: f"{split} {index}")
    callbacks = Watch(pictures=5).after_test(tmp_path)
    run = trainer(max_epochs=1, callbacks=callbacks)
    run.fit(task, toy.loader())
    run.test(task, toy.loader(7), verbose=False)
    found = read_predictions(tmp_path, "test")
    with torch.no_grad():
        surest, classes = task.model(toy.images).softmax(-1).max(-1)
    assert found.index.tolist() == list(range(96)) and found.target.tolist() == toy.labels.tolist()
    assert found.predicted.tolist() == classes.tolist()
    assert found.confidence == pytest.approx(surest.numpy(), abs=1e-6)
    assert found.samples == hash_of_names(f"test {index}" for index in range(96))
    wrong = (classes != toy.labels).nonzero().flatten()
    order = wrong[surest[wrong].argsort(descending=True, stable=True)][:5].tolist()
    album = read_album(tmp_path, "test")
    assert [row["sample"] for row in album["pictures"]] == [f"test {index}" for index in order]
    names = "abcdefgh"
    true, result = names[toy.labels[order[0]]], names[classes[order[0]]]
    words = f"{true} taken for {result}, {surest[order[0]].item():.1%} sure"
    assert album["pictures"][0]["words"] == words
    with Image.open(album["pictures"][0]["file"]) as image:
        assert image.size == (128, 64) and image.getpixel((0, 0)) == (order[0],) * 3


class Wall(CSVLogger):
    """Keeps what is hung on it."""

    hung: tuple = ()

    def log_image(self, key, images, step, caption):
        assert len(images) == len(caption) == 3 and images[0].size == (128, 64)
        self.hung += ((key, step),)


def test_mistakes_are_shown_from_the_eighth_validation_and_after_a_test(toy, trainer, tmp_path):
    task = toy.task(picture=lambda *_: Image.new("L", (8, 4)), sample_name=lambda *_: "x")
    wall = Wall(tmp_path)
    own = {"logger": wall, "callbacks": [Pictures(tmp_path, 3)], "log_every_n_steps": 1}
    run = trainer(max_epochs=18, **own)
    others = toy.loader()
    for batch in others.dataset:
        batch.targets = (batch.targets + 1) % 8  # so that all is a mistake
    run.fit(task, toy.loader(), others)
    assert wall.hung == (("val/mistakes", 32), ("val/mistakes", 64), ("val/mistakes", 72))
    assert read_album(tmp_path, "val")["step"] == 72
    run.test(task, others, verbose=False)
    assert wall.hung[3:] == (("test/mistakes", 72),)
    assert read_album(tmp_path, "test")["step"] is None


def test_an_image_that_is_gone_ends_no_run(toy, trainer, tmp_path, caplog):
    def gone(split, index):
        raise FileNotFoundError(f"{index}.png")

    task = toy.task(picture=gone, sample_name=lambda split, index: f"{index}")
    (result,) = trainer(callbacks=Watch().after_test(tmp_path)).test(
        task, toy.loader(), verbose=False
    )
    assert result["test/accuracy"] < 1 and read_album(tmp_path, "test") is None
    assert "no pictures of what test got wrong" in caplog.text


def test_nothing_is_kept_where_it_is_not_wanted_or_labels_are_several(
    toy, toy_of_several_labels, trainer, tmp_path
):
    for own, watch in (
        (toy, Watch(predictions=False, pictures=0)),
        (toy_of_several_labels, Watch()),
    ):
        callbacks = watch.after_test(tmp_path)
        trainer(callbacks=callbacks).test(own.task(), own.loader(), verbose=False)
        assert not list(tmp_path.glob("p*"))
    with pytest.raises(ValueError, match=r"watch\.pictures=99; wanted 0 to 24"):
        Watch(pictures=99)


def test_prediction_gives_probabilities(toy, trainer):
    for loss, meaning in (("cross_entropy", torch.softmax), ("bce", lambda x, _: x.sigmoid())):
        task = toy.task(loss=loss)
        (first, *_) = trainer().predict(task, toy.loader())
        torch.testing.assert_close(first, meaning(task.model(toy.images[:24]), -1))


def test_the_binary_loss_trains_and_is_what_evaluation_reports(toy, trainer):
    task = toy.task(loss="bce", cutmix=1.0, mix_off_fraction=0.5)
    run = trainer(max_epochs=20)
    run.fit(task, toy.loader(), toy.loader())
    expected = binary_cross_entropy(task.model(toy.images), toy.labels).mean().item()
    assert run.callback_metrics["val/loss"].item() == pytest.approx(expected, abs=1e-6)
    assert run.callback_metrics["val/accuracy"] > 0.8


def test_smoothing_and_weights_change_training_alone(toy):
    logits, labels = torch.randn(24, 8), toy.labels[:24]
    weights = tuple(1.0 + c for c in range(8))
    task = toy.task(label_smoothing=0.1, class_weights=weights)
    expected = cross_entropy(
        logits, labels, label_smoothing=0.1, class_weights=torch.tensor(weights)
    )
    torch.testing.assert_close(task.training_loss(logits, labels), expected.mean())
    task = toy.task(loss="bce", label_smoothing=0.1, class_weights=weights)
    expected = binary_cross_entropy(
        logits, labels, label_smoothing=0.1, positive_weights=torch.tensor(weights)
    )
    torch.testing.assert_close(task.training_loss(logits, labels), expected.mean())
    assert not any("weights" in key for key in task.state_dict())


class Mixtures(lightning.Callback):
    """Keeps what each step was trained on."""

    def __init__(self, task):
        self.seen = []
        original = task.training_loss
        task.training_loss = lambda logits, targets: (
            self.seen.append(targets),
            original(logits, targets),
        )[1]


def test_mixing_depends_on_seed_epoch_and_position_alone(toy, trainer):
    runs = []
    for noise in range(2):
        task = toy.task(mixup=0.5, cutmix=0.5)
        torch.manual_seed(noise)
        mixtures = Mixtures(task)
        trainer(max_epochs=2, callbacks=[mixtures]).fit(task, toy.loader())
        runs.append(mixtures.seen)
    assert len(runs[0]) == 8
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)
    # 8 batches in 2 epochs, each mixed in its own way.
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(runs[0], 2))


def test_mixing_stops_for_the_last_part_of_training(toy, trainer):
    task = toy.task(mixup=0.5, mix_off_fraction=0.25)
    mixtures = Mixtures(task)
    trainer(max_epochs=2, callbacks=[mixtures]).fit(task, toy.loader())
    assert [targets.ndim for targets in mixtures.seen] == [2] * 6 + [1] * 2


def test_accuracy_of_a_mixture_counts_its_larger_part(toy, trainer):
    task = toy.task()
    logits = torch.eye(8)[[0, 1]]
    shares = torch.tensor([[0.6, 0.4], [0.6, 0.4]]) @ torch.eye(8)[:2]
    assert task._accuracy(logits, shares) == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "task.label_smoothing=1.0"),
        ({"mixup": -0.1}, "task.mixup=-0.1"),
        ({"cutmix": float("nan")}, "task.cutmix=nan"),
        ({"mix_probability": 1.5}, "task.mix_probability=1.5"),
        ({"mix_off_fraction": 2.0}, "task.mix_off_fraction=2.0"),
        ({"bce_threshold": 1.0}, "task.bce_threshold=1.0"),
    ],
)
def test_values_out_of_range_are_refused_by_name(toy, options, message):
    with pytest.raises(ValueError, match=message):
        toy.task(**options)


def test_softmax_over_several_labels_is_refused(toy_of_several_labels):
    with pytest.raises(ValueError, match=r"task\.loss=auto"):
        toy_of_several_labels.task(loss="cross_entropy")


def test_a_trained_task_can_be_copied(toy, trainer):
    task = toy.task(mixup=0.5, compile=True)
    task.model._compiled_call_impl = None  # trained as it is, for speed; copied as compiled
    trainer(max_epochs=1).fit(task, toy.loader(), toy.loader())
    twin = copy.deepcopy(task)
    torch.testing.assert_close(twin.model[1].weight, task.model[1].weight)
    assert twin.running.peek() == task.running.peek()
