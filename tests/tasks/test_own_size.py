"""Maps are measured in the pixels of the pictures: numbers equal a count over `vit predict`'s own
files against the labels as they were published."""

import dataclasses
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml
from PIL import Image
from sklearn.metrics import jaccard_score

from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.data.core import bilinear
from vit.data.kinds.detection_transforms import DetectionTransform
from vit.jobs.evaluation import evaluate
from vit.jobs.prediction import predict
from vit.jobs.training import DONE, train
from vit.metrics.segmentation import SemanticMetrics
from vit.runs.directory import RunFolder
from vit.runs.mistake_gallery import read_album
from vit.structures import IGNORED, ClassMaps, Detections, Stage
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.pixel_classes import class_map, picture_classes

CPU = torch.device("cpu")
SIZES = [(30, 40), (52, 33), (7, 90), (24, 32), (61, 61)]  # height, width; one as the network's
CLASSES = ("soil", "leaf", "rot", "sky")
SMALL = ["backbone.dim=16", "backbone.depth=2", "backbone.heads=2", "backbone.patch_size=8"]
SMALL += ["backbone.registers=0", "schedule=constant", "tracking=none", "data.num_workers=0"]
HEADS = {
    "semantic": ["head=semantic", "head.heads=2"],
    "masks": ["head=masks", "head.num_queries=9", "head.joint_blocks=1", "task.num_points=64"],
}


def write_pictures(root, count=5):
    """Pictures of mixed sizes with maps in blocks, void among them; returns the files of val."""
    for kind, split in [(k, s) for k in ("images", "masks") for s in ("train", "val")]:
        (root / kind / split).mkdir(parents=True)
    for split in ("train", "val"):
        for n in range(count):
            height, width = SIZES[n % len(SIZES)]
            draw = np.random.default_rng([n, split == "val"])
            pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{n}.png")
            blocks = draw.integers(0, len(CLASSES), (height // 5 + 1, width // 7 + 1))
            values = np.kron(blocks, np.ones((5, 7)))[:height, :width].astype(np.uint8)
            values[draw.random(values.shape) < 0.1] = IGNORED
            Image.fromarray(values).save(root / "masks" / split / f"{n}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return [root / "images" / "val" / f"{n}.png" for n in range(count)]


def words(root, head, fit, batch=2):
    chosen = ["data=mask_folder", f"data.root={root}", "task=segmentation", *HEADS[head], *SMALL]
    chosen += ["data.image_size=[24,32]", f"data.fit={fit}", "checkpoint.monitor=val/miou"]
    return [*chosen, f"data.batch_size={batch}", f"data.eval_batch_size={batch}"]


def untrained_run(folder, chosen):
    """A run whose weights are drawn, and nothing learnt; its task too."""
    config = compose(chosen)
    config["trainer"]["devices"], config["threads"] = 1, 1
    torch.manual_seed(3)
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    run = RunFolder(folder)
    run.freeze(config)
    run.checkpoints.mkdir()
    content = {"state_dict": task.state_dict(), "facts": dataclasses.asdict(data.facts)}
    torch.save(content, run.last_checkpoint)
    return task, data


def counted_by_numpy(result, root):
    """mIoU, pixel accuracy and confusion over files of classes and published files."""
    matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for row in result["images"]:
        found = np.asarray(Image.open(row["classes_picture"]))
        name = Path(row["path"]).name
        truth = np.asarray(Image.open(root / "masks" / "val" / name))
        assert found.shape == truth.shape
        seen = truth != IGNORED
        np.add.at(matrix, (truth[seen], found[seen]), 1)
    either = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    ious = matrix.diagonal()[either > 0] / either[either > 0]
    return ious.mean(), matrix.trace() / matrix.sum(), matrix


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("head", HEADS)
def test_numbers_are_those_of_the_files_that_predict_writes(tmp_path, head, fit):
    files = write_pictures(tmp_path / "data")
    run = tmp_path / "run"
    task, data = untrained_run(run, words(tmp_path / "data", head, fit))
    result = predict(
        str(run), [str(file) for file in files], "last", "cpu", out=str(tmp_path / "o")
    )
    miou, accuracy, confusion = counted_by_numpy(result, tmp_path / "data")
    found = evaluate(str(run), None, "val", "last", "cpu", ())
    assert found["metrics"]["val/miou"] == pytest.approx(miou, abs=1e-6)
    assert found["metrics"]["val/pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert np.array_equal(found["tables"]["confusion"], confusion)
    assert confusion.sum() == sum(
        int((data.class_map("val", n) != IGNORED).sum()) for n in range(5)
    )
    truth = np.concatenate([data.class_map("val", n).ravel() for n in range(5)])
    guesses = [np.asarray(Image.open(row["classes_picture"])).ravel() for row in result["images"]]
    seen, guesses = truth != IGNORED, np.concatenate(guesses)
    present = sorted({*truth[seen].tolist(), *guesses[seen].tolist()})
    expected = jaccard_score(truth[seen], guesses[seen], average="macro", labels=present)
    assert found["metrics"]["val/miou"] == pytest.approx(expected, abs=1e-6)
    assert found["counted"] == dict.fromkeys(task.metrics.names, "at the pictures' own size")
    again = {size: measured(task, data, size) for size in (1, 5)}
    for numbers, matrix in again.values():
        assert np.array_equal(matrix, confusion) and numbers["miou"] == found["metrics"]["val/miou"]


def measured(task, data, size, rank=0, world_size=1):
    """The numbers of val and the confusion, in batches of a size."""
    data.eval_batch_size = size
    task.model.eval()
    task.reset_metrics()
    with torch.no_grad():
        for batch in data.loader("val", rank=rank, world_size=world_size):
            task.update_metrics(batch, "val")
    numbers = task.compute_metrics("val")
    return numbers, task.tables()["confusion"]


def one_of_several(rank, world_size, folder, chosen):
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet{world_size}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world_size)
    config = compose(chosen)
    torch.manual_seed(3)
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    numbers, matrix = measured(task, data, 1, rank, world_size)
    worst = [(share, index) for share, index, _ in task.worst.rows]
    if rank == 0:
        result = {"numbers": numbers, "matrix": matrix, "worst": worst}
        (Path(folder) / f"{world_size}.json").write_text(json.dumps(result))
    dist.destroy_process_group()


@pytest.mark.slow
def test_any_number_of_processes_counts_each_picture_once(tmp_path):
    write_pictures(tmp_path / "data", count=7)
    chosen = words(tmp_path / "data", "semantic", "letterbox", batch=6)
    spawn = multiprocessing.get_context("spawn")
    for world_size in (1, 2, 3):
        given = [(rank, world_size, str(tmp_path), chosen) for rank in range(world_size)]
        started = [spawn.Process(target=one_of_several, args=one) for one in given]
        for process in started:
            process.start()
        for process in started:
            process.join()
            assert process.exitcode == 0
    one, two, three = (json.loads((tmp_path / f"{n}.json").read_text()) for n in (1, 2, 3))
    assert one["matrix"] == two["matrix"] == three["matrix"]
    assert one["worst"] == two["worst"] == three["worst"] and len(one["worst"]) == 7
    assert one["numbers"]["miou"] == two["numbers"]["miou"] == three["numbers"]["miou"]


class Perfect(torch.nn.Module):
    """Says of each picture the labels as the network sees them, without a doubt."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels
        self.tilt = torch.rand(len(CLASSES), 1, 1)  # so that half-way between two is no tie

    def forward(self, images):
        known = self.labels.clone()
        known[known == IGNORED] = 0
        hot = torch.nn.functional.one_hot(known, len(CLASSES)).movedim(-1, 1) * 20.0
        return ClassMaps(hot + self.tilt)


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_a_model_that_is_perfect_at_the_networks_size_is_not_at_the_pictures(tmp_path, fit):
    write_pictures(tmp_path)
    config = compose(words(tmp_path, "semantic", fit, batch=5))
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    (batch,) = data.loader("val", rank=0, world_size=1)
    task.model = Perfect(batch.labels)
    numbers, matrix = measured(task, data, 5)
    expected = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for n, frame in enumerate(batch.frames):
        maps = task.model(batch.images).logits[n]
        (top, left), (tall, wide) = frame.offset, frame.scaled
        cut = maps[:, top : top + tall, left : left + wide]
        whole = torch.nn.functional.interpolate(cut[None], frame.original, mode="bilinear")[0]
        found, truth = whole.argmax(0).numpy(), data.class_map("val", n)
        np.add.at(expected, (truth[truth != IGNORED], found[truth != IGNORED]), 1)
    either = expected.sum(0) + expected.sum(1) - expected.diagonal()
    assert numbers["miou"] == pytest.approx((expected.diagonal() / either).mean(), abs=1e-6)
    assert np.array_equal(matrix, expected)
    assert 0.3 < numbers["miou"] < 0.9
    at_network = SemanticMetrics(CLASSES)
    at_network.update(task.model(batch.images).logits.argmax(1), batch.labels)
    assert at_network.compute(CPU)["miou"] == 1.0  # what was said before


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("picture", [(30, 41), (7, 90), (60, 5), (1, 1), (24, 32)])
def test_bands_change_no_bit_and_are_what_torch_interpolates(monkeypatch, picture, fit):
    frame = DetectionTransform((24, 32), 1, (0.5,), (0.5,), fit).frame(*picture)
    torch.manual_seed(0)
    maps = torch.randn(2, 6, 5, 7)
    outputs = [ClassMaps(maps), Detections([Stage(torch.randn(2, 6, 4), masks=8 * maps)])]
    (top, left), (tall, wide) = frame.offset, frame.scaled
    whole = torch.nn.functional.interpolate(maps[1:], (24, 32), mode="bilinear")
    cut = whole[..., top : top + tall, left : left + wide]
    expected = torch.nn.functional.interpolate(cut, picture, mode="bilinear")[0]
    torch.testing.assert_close(frame.maps_to_original(maps[1]), expected, atol=1e-4, rtol=0)
    assert torch.equal(picture_classes(outputs[0], 1, frame).long(), expected.argmax(0))
    for output in outputs:
        at_once = class_map(output, 1, frame.maps_to_original)
        for values in (1, 6 * picture[1], 13 * 6 * picture[1]):
            monkeypatch.setattr(bilinear, "BAND_VALUES", values)
            assert torch.equal(picture_classes(output, 1, frame).long(), at_once)
            steps = list(bilinear.bands(picture[0], 6 * picture[1]))
            rows = [frame.rows_to_original(maps[1], first, last) for first, last in steps]
            assert torch.equal(torch.cat(rows, dim=1), frame.maps_to_original(maps[1]))


def test_a_picture_as_large_as_the_networks_image_is_counted_as_ever(tmp_path):
    """As the scenes of digits are: no number of theirs has changed."""
    chosen = ["data=digit_scenes_semantic", "task=segmentation", "checkpoint.monitor=val/miou"]
    chosen += [*HEADS["semantic"], *SMALL, "data.image_size=32", "data.digit_size=[10,20]"]
    chosen += [f"data.{split}_scenes=6" for split in ("train", "val", "test")]
    config = compose(chosen)
    data = assemble_data(config)
    task = assemble_task(config, assemble_model(config, data.facts), data)
    numbers, matrix = measured(task, data, 4)
    before = SemanticMetrics(data.facts.class_names)
    with torch.no_grad():
        for batch in data.loader("val", rank=0, world_size=1):
            logits = task.model(batch.images).logits
            large = torch.nn.functional.interpolate(logits, (32, 32), mode="bilinear")
            before.update(large.argmax(1), batch.labels)
    assert before.compute(CPU)["miou"] == numbers["miou"]
    assert before.tables()["confusion"] == matrix


def test_a_run_says_how_it_counted_and_one_begun_otherwise_is_reported(tmp_path):
    write_pictures(tmp_path / "data")
    config = compose([*words(tmp_path / "data", "semantic", "squash"), "trainer.max_epochs=1"])
    config["trainer"]["devices"], config["threads"] = 1, 1
    way = "at the pictures' own size"
    counted = {"miou": way, "pixel_accuracy": way}
    assert preflight(config).sound.metrics.counted == counted
    folder = RunFolder(tmp_path / "run")
    folder.freeze(config)
    assert train(folder.path) == DONE
    results, files = folder.results(), folder.path / "pictures" / "val"
    assert results["counted"] == counted
    sheets = read_album(folder.path, "val")["pictures"]
    assert len(sheets) == 5 and json.loads((files / "pictures.json").read_text())["legend"]
    # As an earlier vit would have left it, on its way to a second epoch.
    content = torch.load(folder.last_checkpoint, weights_only=True)
    assert content.pop("counted") == counted
    torch.save(content, folder.last_checkpoint)
    folder.results_file.unlink()
    config["trainer"]["max_epochs"] = 2
    folder.config_file.write_text(yaml.safe_dump(config))
    assert train(folder.path) == DONE
    assert "counted at the network's size up to now" in folder.log_file.read_text()
    mixed = f"at the network's size, then {way}"
    assert folder.results()["counted"] == {"miou": mixed, "pixel_accuracy": mixed}
    assert torch.load(folder.last_checkpoint, weights_only=True)["counted"]["miou"] == mixed


def test_training_batches_carry_no_second_map(tmp_path):
    write_pictures(tmp_path)
    data = assemble_data(compose(words(tmp_path, "semantic", "letterbox")))
    batch = next(iter(data.loader("train", rank=0, world_size=1)))
    assert batch.frames == () and batch.published.numel() == 0
    whole = next(iter(data.loader("val", rank=0, world_size=1)))
    maps = [torch.from_numpy(data.class_map("val", n)) for n in range(2)]
    for moved in (whole, whole.to("cpu")):
        assert all(map(torch.equal, moved.published_maps(), maps))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="memory is read from Linux's /proc")
def test_a_picture_of_three_million_pixels_and_150_classes_takes_little_memory():
    frame = DetectionTransform((512, 512), 3, (0.5,) * 3, (0.5,) * 3).frame(1500, 2000)
    spawn = multiprocessing.get_context("spawn").Process(target=_large_picture, args=(frame,))
    spawn.start()
    spawn.join()
    assert spawn.exitcode == 0


def _large_picture(frame):
    import resource

    torch.set_num_threads(1)
    output = ClassMaps(torch.randn(1, 150, 32, 32))
    picture_classes(output, 0, dataclasses.replace(frame, original=(30, 40)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    chosen = picture_classes(output, 0, frame)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert chosen.shape == (1500, 2000)
    assert grown < 150e6, f"{grown / 1e6:.0f} MB; all logits at once would be 1,800"
