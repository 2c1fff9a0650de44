"""What there is for classes of few pixels: weights, losses, sampling, and what is said of them."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mask_files import MaskFiles
from rare_files import write_rare

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.cli.screen import report_rows
from vit.cli.train import summary
from vit.data.core.sampling import EpochSampler
from vit.data.kinds import class_pixels
from vit.data.kinds.class_pixels import count_class_pixels, draw_weights
from vit.jobs.training import DONE, train
from vit.review.statistics import difference
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash
from vit.runs.rare_classes import told_of_unfound, unfound_classes
from vit.structures import IGNORED, ClassMaps
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.class_weights import computed_weights, given_weights
from vit.tasks.segmentation import pixel_loss

NAMES = ("soil", "leaf", "rot")
SMALL = ["backbone.dim=16", "backbone.depth=1", "backbone.heads=2", "backbone.patch_size=8"]
SMALL += ["data.num_workers=0", "data.batch_size=2", "schedule=constant", "tracking=none"]
SMALL += ["checkpoint.monitor=val/miou", "trainer.max_epochs=1", "threads=1"]
LOSSES = ("cross_entropy", "focal", "dice", "lovasz", "sum")


@pytest.fixture()
def files(tmp_path):
    return MaskFiles(tmp_path / "set")


def words(root, *more, head="semantic"):
    chosen = ["data=mask_folder", f"data.root={root}", "task=segmentation", f"head={head}"]
    return [*chosen, "data.image_size=[32,40]", *SMALL, *more]


def assembled(root, *more):
    config = compose(words(root, *more))
    data = assemble_data(config)
    return assemble_task(config, assemble_model(config, data.facts), data), data


def faults_of(root, *more, head="semantic"):
    return preflight(compose(words(root, *more, head=head))).faults


def pixels_of(files, split, count):
    """By a loop over the files themselves: pixels, and pixels of the maps that show the class."""
    pixels, around = [0] * 3, [0] * 3
    for n in count:
        values = files.values(f"{split}/{n}")
        own = [int((values == c).sum()) for c in range(3)]
        for c in range(3):
            pixels[c] += own[c]
            around[c] += sum(own) if own[c] else 0
    return pixels, around


def test_pixels_are_counted_over_all_training_maps(files, monkeypatch):
    values = files.values("train/2")
    values[values == 2] = 0
    files.save("train/2", values)
    monkeypatch.setattr(class_pixels, "AT_ONCE", 2)
    data = assembled(files.write())[1]
    found = data.class_pixels
    pixels, around = pixels_of(files, "train", (1, 2, 3))
    assert found.pixels.tolist() == pixels and found.around.tolist() == around
    assert found.maps().tolist() == [3, 3, 2]


def test_counting_says_how_far_it_is_and_passes_over_what_cannot_be_read(
    files, monkeypatch, capsys
):
    monkeypatch.setattr(class_pixels, "AT_ONCE", 1)
    monkeypatch.setattr(class_pixels, "TOLD_EVERY", -1.0)
    root = files.write()
    data = assembled(root)[1]
    source, members = data._source_of("train")
    (files.root / "masks/train/2.png").write_bytes(b"none")
    found = count_class_pixels(source, members, 3)
    assert found.pixels.tolist() == pixels_of(files, "train", (1, 3))[0]
    assert found.maps().max() == 2
    assert "counting the pixels of classes: 2 of 3 maps" in capsys.readouterr().err


COUNTS, AROUND = np.array([900, 90, 10]), np.array([1000, 600, 50])


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("balanced", [1 / 900, 1 / 90, 1 / 10]),
        ("inverse_sqrt", [1 / 30, 1 / math.sqrt(90), 1 / math.sqrt(10)]),
        ("median_frequency", [0.2 / 0.9, 0.2 / (90 / 600), 0.2 / (10 / 50)]),
    ],
)
def test_computed_weights_are_their_formula_with_a_mean_of_one_over_pixels(kind, raw):
    found = computed_weights(kind, COUNTS, AROUND, NAMES)
    scale = 1000 / np.dot(raw, COUNTS)
    assert found == pytest.approx([scale * each for each in raw])
    assert np.dot(found, COUNTS) == pytest.approx(1000)


@pytest.mark.parametrize("kind", ["balanced", "inverse_sqrt", "median_frequency"])
def test_classes_without_pixels_have_no_computed_weight(kind):
    with pytest.raises(ValueError, match=r"no training map shows rot.*class_weights=\{leaf:10\}"):
        computed_weights(kind, np.array([900, 90, 0]), AROUND, NAMES)
    with pytest.raises(ValueError, match="no training map has a pixel of any class"):
        computed_weights(kind, np.zeros(3, dtype=np.int64), AROUND, NAMES)


def test_given_weights_are_of_the_classes_named():
    assert given_weights({"rot": 8, "soil": 0.5}, NAMES) == [0.5, 1.0, 8.0]
    assert given_weights({1: 3.0}, ("0", "1")) == [1.0, 3.0]  # YAML reads the name as a number


@pytest.mark.parametrize(
    ("more", "where", "message"),
    [
        (["task.class_weights={rut:2}"], "task", "names 'rut', which is no class. Did you mean"),
        (["task.class_weights={rot:-1}"], "task", "gives 'rot' the weight -1; wanted a number abo"),
        (["task.class_weights={rot:0}"], "task", "the weight 0; wanted a number above 0"),
        (["task.class_weights={rot:much}"], "task", "the weight 'much'; wanted a number above 0"),
        (["task.class_weights={rot:nan}"], "task.class_weights.rot", "is nan; wanted a number"),
        (["task.class_weights=balance"], "task.class_weights", "Did you mean 'balanced'?"),
        (["data.class_sampling=1.5"], "data.class_sampling", "is 1.5; wanted at least 0"),
        (["data.class_sampling=nan"], "data.class_sampling", "is nan; wanted"),
        (["task/pixel_loss=focal", "task.pixel_loss.gamma=-1"], "task.pixel_loss.gamma", "is -1"),
        (
            ["task/pixel_loss=sum", "task.pixel_loss.cross_entropy=0", "task.pixel_loss.dice=0"],
            "task",
            "are all 0; wanted one above",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_once_by_the_check(files, more, where, message):
    (fault,) = faults_of(files.write(), *more)
    assert fault.where == where and message in fault.message


@pytest.mark.parametrize("kind", ["balanced", "inverse_sqrt", "median_frequency"])
def test_weights_of_a_set_with_an_absent_class_are_refused_by_the_check(files, kind):
    files.classes += "pond\n"
    (fault,) = faults_of(files.write(), f"task.class_weights={kind}")
    assert "no training map shows pond, whose weight would have no end" in fault.message
    assert not faults_of(files.write(), "task.class_weights={rot:3}")


@pytest.mark.parametrize("more", [["task.class_weights=balanced"], ["task/pixel_loss=dice"]])
def test_heads_with_queries_say_that_such_words_are_not_for_them(files, more):
    small = ("head.num_queries=5", "head.joint_blocks=1")
    (fault,) = faults_of(files.write(), *more, *small, head="masks")
    assert fault.where == "head" and "does not apply" in fault.message
    assert more[0].split("=")[0] in fault.message
    assert not faults_of(files.write(), "data.class_sampling=0.5", *small, head="masks")


def test_maps_of_nothing_but_void_give_nothing_to_draw_by(files):
    for n in (1, 2, 3):
        files.save(f"train/{n}", np.full((30, 40), 255, dtype=np.uint8))
    data = assembled(files.write(), "data.class_sampling=0.5")[1]
    with pytest.raises(
        ValueError, match=r"class_sampling=0\.5: no training map has a pixel of any"
    ):
        draw_weights(data.class_pixels, 0.5)
    (fault,) = faults_of(files.root, "data.class_sampling=0.5")
    assert "no class is left" in fault.message


def test_images_are_drawn_by_class_in_proportion_to_the_share():
    shown = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=bool)
    found = class_pixels.ClassPixels(np.ones(3), np.ones(3), np.packbits(shown, axis=1))
    thirds = [1 / 3 / 3, 1 / 3 / 3 + 1 / 3 / 2, 1 / 3 / 3 + 1 / 3 / 2 + 1 / 3, 0]
    assert draw_weights(found, 1.0) == pytest.approx(thirds)
    half = draw_weights(found, 0.5)
    assert half == pytest.approx([0.5 * each + 0.5 / 4 for each in thirds])
    assert half.sum() == pytest.approx(1)
    drawn = EpochSampler(4, 4, 0, weights=half)
    counts = np.bincount(np.concatenate([drawn.order(e) for e in range(4000)]), minlength=4)
    assert counts / counts.sum() == pytest.approx(half, abs=0.02)


def test_the_order_by_class_is_of_seed_and_epoch_alone_and_starts_anywhere(files):
    data = assembled(files.write(), "data.class_sampling=0.7")[1]
    whole = data.loader("train").batch_sampler
    whole.start(3)
    batches = [[key.sample for key in batch] for batch in whole]
    parts = []
    for rank in (0, 1):
        own = data.loader("train", rank=rank, world_size=2).batch_sampler
        own.start(3)
        parts.append([[key.sample for key in batch] for batch in own])
    assert [a + b for a, b in zip(*parts, strict=True)] == batches
    whole.start(3, len(whole) - 1)
    assert [[key.sample for key in batch] for batch in whole] == batches[-1:]
    plain = assembled(files.write())[1].loader("train").batch_sampler
    assert plain.weights is None and sorted(plain.order(0)) == [0, 1, 2]


def test_the_defaults_are_the_run_and_the_loss_of_before(files):
    chosen = words(files.write())
    config = compose(chosen)
    before = compose(chosen)
    for part, keys in (("task", ("class_weights", "pixel_loss")), ("data", ("class_sampling",))):
        for key in keys:
            del before[part][key]
    assert config_hash(before) == config_hash(config)
    assert config_hash(config) != config_hash(compose([*chosen, "task.class_weights=balanced"]))
    assert config_hash(config) != config_hash(compose([*chosen, "task/pixel_loss=dice"]))
    (old,) = {repr(loss_of_a_step(each)) for each in (config, before)}
    batch = next(iter(assembled(files.root)[1].loader("train")))
    torch.manual_seed(7)
    output = ClassMaps(torch.randn(len(batch), 3, 4, 5))
    total, count = pixel_loss(output, batch.labels)
    assert old == repr(float(total * 1 / count.clamp(min=1)))


def loss_of_a_step(config):
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    batch = next(iter(data.loader("train")))
    torch.manual_seed(7)
    logits = torch.randn(len(batch), 3, 4, 5)
    return step_of(task, batch, logits)


def step_of(task, batch, logits):
    """The loss of a training step whose model answers with these logits."""
    task.model.forward = lambda images: ClassMaps(logits)
    task.setup("fit")
    task._trainer = type("Alone", (), {"world_size": 1, "global_step": 0})()
    task.record = lambda *told: None
    return float(task.training_step(batch, 0))


def test_a_step_weighs_the_pixels_of_each_class(files):
    task, data = assembled(files.write(), "task.class_weights={rot:8,soil:0.5}")
    batch = next(iter(data.loader("train")))
    logits = torch.randn(len(batch), 3, 4, 5)
    large = F.interpolate(logits, size=batch.labels.shape[1:], mode="bilinear")
    weights = torch.tensor([0.5, 1.0, 8.0])
    expected = (
        F.cross_entropy(large, batch.labels, weights, ignore_index=IGNORED, reduction="sum")
        / (batch.labels != IGNORED).sum()
    )
    assert step_of(task, batch, logits) == pytest.approx(float(expected))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_trains_and_reports_the_plain_loss_of_val(files, loss, trainer):
    more = (f"task/pixel_loss={loss}", "task.class_weights=inverse_sqrt", "data.class_sampling=0.5")
    task, data = assembled(files.write(), *more)
    told = []
    task.record = lambda metrics, weight, index: told.append(metrics)
    run = trainer(max_epochs=1)
    run.fit(task, data.loader("train"), data.loader("val"))
    assert all(math.isfinite(value) for step in told for value in step.values())
    names = {"train/loss"} | ({"train/loss_cross_entropy", "train/loss_dice"} & set(told[0]))
    assert set(told[0]) == names and len(names) == (3 if loss == "sum" else 1)
    task.eval()
    with torch.no_grad():
        sums = [pixel_loss(task.model(b.images), b.labels) for b in data.loader("val")]
    expected = sum(float(s) for s, _ in sums) / sum(int(n) for _, n in sums)
    assert float(run.callback_metrics["val/loss"]) == pytest.approx(expected, rel=1e-5)


def test_nothing_is_counted_where_nothing_is_trained(files, monkeypatch):
    task, _ = assembled(files.write(), "task.class_weights=balanced")
    monkeypatch.setattr("vit.data.kinds.segmentation.count_class_pixels", None)
    task.setup("test")
    assert task.class_weights is None
    monkeypatch.undo()
    task.setup("fit")
    pixels, around = map(np.array, pixels_of(files, "train", (1, 2, 3)))
    expected = computed_weights("balanced", pixels, around, NAMES)
    assert task.class_weights.tolist() == pytest.approx(expected)


def test_the_check_says_what_was_chosen_and_the_run_goes_by_its_counts(files, monkeypatch):
    chosen = ("task.class_weights=balanced", "task/pixel_loss=sum", "data.class_sampling=0.25")
    report = preflight(compose(words(files.write(), *chosen))).sound
    told = report.data.to_plain()
    rows = dict(report_rows(report))
    assert rows["pixel loss"].startswith("WeightedSum, cross_entropy 1, focal 0, dice 1")
    assert re.match(r"balanced: \w+ \d", rows["class weights"])
    assert rows["sampling"].startswith("25% of an epoch by class; images that show each: soil 3")
    pixels, _ = pixels_of(files, "train", (1, 2, 3))
    assert list(told["train"]["pixels"].values()) == pixels
    data = assembled(files.root, *chosen)[1]
    data.recall(told)
    monkeypatch.setattr("vit.data.kinds.segmentation.count_class_pixels", None)
    assert data.class_totals()[0].tolist() == pixels
    for spoilt in (
        {**told, "fingerprint": "another"},
        {**told, "train": {"pixels": {"soil": 1}, "pixels_around": {"soil": 1}}},
        {"fingerprint": 1},
        None,
    ):
        data.recall(spoilt)
        with pytest.raises(TypeError):  # it would count, and cannot here
            data.class_totals()


def test_the_check_names_rare_classes_until_something_is_chosen_for_them(tmp_path):
    root = write_rare(tmp_path / "rare", {"train": 24, "val": 3, "test": 3})
    (line,) = [w for w in preflight(compose(words(root))).warnings if "rare" in w]
    assert re.search(r"mite \(0\.\d+ % of the pixels\)", line) and "leaf" not in line
    for word in ("task.class_weights=inverse_sqrt", "task/pixel_loss=sum"):
        assert word in line
        warnings = preflight(compose(words(root, word))).warnings
        assert not [each for each in warnings if "rare" in each]


def test_a_weight_that_decides_alone_is_warned_of(tmp_path, files):
    for n in (1, 2, 3):
        values = np.zeros((30, 40), dtype=np.uint8)
        values[0, :20] = 1
        values[0, 20:21] = 2
        files.save(f"train/{n}", values)
    warnings = preflight(compose(words(files.write(), "task.class_weights=balanced"))).warnings
    (line,) = [each for each in warnings if "decide" in each]
    assert "1,179 times the smallest" in line and "inverse_sqrt is milder" in line


@pytest.mark.slow
def test_weights_raise_the_iou_of_a_rare_class_by_more_than_noise(tmp_path, trainer):
    """experiments/0019_rare_classes, shortened: three seeds, and the test of vit report."""
    root = write_rare(tmp_path / "rare", {"train": 160, "val": 4, "test": 40})
    small = ("backbone.dim=32", "backbone.depth=2", "backbone.patch_size=4", "data.batch_size=8")
    small += ("data.image_size=48", "data/augment_maps=flip", "optim.lr=0.002", "schedule=cosine")
    small += ("schedule.warmup_epochs=1",)
    found = {"null": {}, "inverse_sqrt": {}}
    for kind, ious in found.items():
        for seed in range(3):
            torch.manual_seed(seed)
            chosen = (*small, f"task.class_weights={kind}", f"seed={seed}")
            task, data = assembled(root, *chosen)
            run = trainer(max_epochs=8)
            run.fit(task, data.loader("train"))
            run.test(task, data.loader("test"), verbose=False)
            ious[seed] = task.tables()["class_iou"][2]
    gain = difference(found["inverse_sqrt"], found["null"])
    assert max(found["null"].values()) < 0.02 and gain.value > 0.1
    assert gain.p < 0.05, found


TABLES = {
    "classes": ["soil", "leaf", "rot", "pond"],
    "class_iou": [0.9, 0.0, 0.0, None],
    "pixels": [900, 0, 100, 0],
}


def test_classes_at_zero_are_those_that_have_pixels():
    assert unfound_classes(TABLES) == {"rot": 0.1}
    assert unfound_classes({}) == unfound_classes({"classes": ["a"], "class_accuracy": [0]}) == {}


def test_what_is_said_of_them_leaves_out_what_was_chosen(files):
    root = files.write()
    line = told_of_unfound({"rot": 0.1}, compose(words(root)))
    every = ["task.class_weights=inverse_sqrt", "task/pixel_loss=sum", "data.class_sampling=0.5"]
    assert "rot (10 % of the pixels)" in line and all(word in line for word in every)
    for word in every:
        line = told_of_unfound({"rot": 0.1}, compose(words(root, word)))
        assert word not in line and all(other in line for other in every if other != word)
    line = told_of_unfound({"rot": 0.1}, compose(words(root, *every)))
    assert "Try" not in line and "look at the labels" in line
    queries = told_of_unfound({"rot": 0.1}, compose(words(root, head="masks")))
    assert "data.class_sampling" in queries and "task" not in queries


def test_the_end_of_a_run_names_the_classes_at_zero_and_what_can_be_chosen(files, tmp_path, capsys):
    """In a set without test: what the last validation had."""
    for n in (4, 5):
        values = files.values(f"val/{n}")
        values[values == 2] = 0
        values[0, :4] = 2  # too few to be found
        files.save(f"val/{n}", values)
    for n in (1, 2, 3):
        files.save(f"train/{n}", np.zeros((30, 40), dtype=np.uint8))
    config = compose(words(files.write(), "head=semantic", "trainer=cpu", "optim.lr=0.01"))
    config["trainer"]["max_epochs"] = 2
    run = RunFolder(tmp_path / "run")
    run.freeze(config)
    assert train(run.path) == DONE
    assert "rot" in run.results()["unfound_classes"]
    summary(run)
    said = capsys.readouterr().out
    assert "at 0 % IoU" in said and "task.class_weights=inverse_sqrt" in said
    assert "at 0 % IoU: " in run.log_file.read_text()
