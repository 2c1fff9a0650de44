"""The detection task through Lightning's loops and the program's commands, on digit scenes."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import command
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pytorch_lightning.loggers.logger import Logger

import vit
from vit.callbacks.pictures import Pictures
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.jobs.prediction import predict
from vit.models.detections import decode
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.postprocess import postprocess

SMALL = [
    "experiment=digit_scenes",
    "backbone.dim=16",
    "backbone.depth=1",
    "backbone.heads=2",
    "head.width=16",
    "head.hidden=16",
    "head.num_layers=1",
    "head.heads=2",
    "head.cross_heads=2",
    "head.neck.num_blocks=1",
    "head.num_queries=9",
    "data.image_size=32",
    "data.digit_size=[10,20]",
    "data.train_scenes=24",
    "data.val_scenes=10",
    "data.test_scenes=9",
    "data.batch_size=8",
]


def assembled(*words):
    config = compose([*SMALL, *words])
    data = assemble_data(config)
    model = assemble_model(config, data.facts)
    return assemble_task(config, model, data), data


def test_training_lowers_the_loss_and_tells_its_parts(trainer):
    task, data = assembled("schedule=constant", "optim.lr=0.01")
    seen = []
    task.record = lambda metrics, weight, index: seen.append(metrics)
    trainer(max_epochs=12, gradient_clip_val=1.0).fit(
        task, data.loader("train", rank=0, world_size=1)
    )
    assert set(seen[0]) == {
        "train/loss",
        "train/loss_class",
        "train/loss_box",
        "train/loss_giou",
        "train/nonfinite_costs",
    }
    first, last = (sum(m["train/loss"] for m in part) for part in (seen[:3], seen[-3:]))
    assert last < 0.8 * first


def test_evaluation_is_that_of_pycocotools_on_the_same_answers(trainer, capsys):
    task, data = assembled("schedule=constant", "optim.lr=0.01")
    loader = data.loader("test", rank=0, world_size=1)
    trainer(max_epochs=12).fit(task, data.loader("train", rank=0, world_size=1))
    (measured,) = trainer().test(task, loader, verbose=False)
    truth = COCO()
    truth.dataset = {"info": {}, **data.ground_truth("test")}
    truth.createIndex()
    rows = []
    task.model.eval()
    for batch in loader:
        with torch.no_grad():
            scores, labels, boxes = decode(task.model(batch.images).answer, False, 100)
        for at, image in enumerate(batch.index.tolist()):
            for score, label, box in zip(
                scores[at], labels[at], batch.frames[at].to_original(boxes[at]), strict=True
            ):
                x0, y0, x1, y1 = box.double().tolist()
                rows.append(
                    {
                        "image_id": image,
                        "category_id": data.facts.class_ids[label],
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "score": float(score),
                    }
                )
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    expected = dict(zip(task.metrics.names, evaluation.stats, strict=True))
    result = {key.removeprefix("test/"): value for key, value in measured.items()}
    assert 0 < result.pop("loss") < 100
    assert set(expected) - set(result) == {key for key, value in expected.items() if value == -1}
    for key, value in result.items():
        assert value == pytest.approx(expected[key], abs=1e-6)
    assert result["ar100"] > 0
    assert len(task.tables()["class_ap"]) == 10


def test_the_split_that_is_tested_may_be_any(trainer):
    task, data = assembled()
    task.tested = "val"
    trainer().test(task, data.loader("val", rank=0, world_size=1), verbose=False)
    assert len(task._known["val"]["images"]) == 10


def test_an_answer_that_is_no_number_is_left_out():
    task, data = assembled()
    batch = next(iter(data.loader("val", rank=0, world_size=1)))
    with torch.no_grad():
        detections = task.model.eval()(batch.images)
    images = batch.index.tolist()
    whole = postprocess(detections, task.model, images, batch.frames, 90)
    assert len(whole.image) == 90 * len(images)
    detections.answer.boxes_cxcywh[0, 3] = torch.nan
    part = postprocess(detections, task.model, images, batch.frames, 90)
    assert len(part.of(images[0]).image) == 80 and len(part.of(images[1]).image) == 90
    assert np.isfinite(part.boxes_xyxy).all()


def test_some_images_are_drawn_with_what_was_found_and_what_there_is(trainer):
    task, data = assembled()
    trainer().validate(task, data.loader("val", rank=0, world_size=1), verbose=False)
    entries = task.pictures()
    assert len(entries) == 8
    for image, entry in enumerate(entries):
        assert entry["image"].size == (32, 32)
        wanted = [n for n in data.ground_truth("val")["annotations"] if n["image_id"] == image]
        boxes = entry["boxes"].get("truth", {"box_data": []})["box_data"]
        assert len(boxes) == len(wanted)
        for box, note in zip(boxes, wanted, strict=True):
            x, y, width, height = note["bbox"]
            assert [*box["position"].values()] == [x, y, x + width, y + height]
            assert box["box_caption"] == str(note["category_id"])
    (album, result) = (task.mistakes("val", most) for most in (3, 100))
    assert len(album.mistakes) == 3 and album.legend[0][0] == "found"
    counts = [
        re.fullmatch(r"(\d+) missed and (\d+) false, \d+ found", m.words) for m in result.mistakes
    ]
    wrong = [int(count[1]) + int(count[2]) for count in counts]
    assert wrong == sorted(wrong, reverse=True) and wrong[0] > 0
    assert all(int(m.sample.split()[-1]) < 10 for m in result.mistakes)


class Album(Logger):
    """Keeps the images it is given."""

    name, version = "album", 0

    def __init__(self):
        super().__init__()
        self.pages = []

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_image(self, key, images, step, boxes):
        self.pages.append((key, step, len(images), len(boxes)))


def test_pictures_are_logged_after_the_first_validations_and_the_last(trainer):
    task, data = assembled()
    album = Album()
    options = {"limit_train_batches": 1, "log_every_n_steps": 1, "callbacks": [Pictures()]}
    run = trainer(max_epochs=7, logger=album, **options)
    loaders = (data.loader(split, rank=0, world_size=1) for split in ("train", "val"))
    run.fit(task, *loaders)
    assert album.pages == [("val/pictures", step, 8, 8) for step in (1, 2, 4, 7)]
    run.validate(task, data.loader("val", rank=0, world_size=1), verbose=False)
    assert len(album.pages) == 4


@pytest.mark.parametrize(
    ("words", "where", "message"),
    [
        (["head=linear"], "head", "no head that task=detection can build"),
        (["task=classification"], "task", "Take task=detection"),
        (["data=digits"], "task", "wants pictures with boxes"),
        (["task.max_detections=0"], "task.max_detections", "wanted at least 1"),
        (
            ["checkpoint.monitor=val/accuracy"],
            "checkpoint.monitor",
            "'val/accuracy' is never logged",
        ),
        (["data.train_sizes=[90]"], "data.train_sizes", "image is 90x90 px"),
        (["trainer.precision=bf16-true"], "trainer.precision", "wanted bf16-mixed"),
        (
            ["data/augment_boxes=flip", "data.augment_boxes.flip=2"],
            "data.augment_boxes.flip",
            "at most 1",
        ),
    ],
)
def test_what_does_not_fit_is_reported_before_training(words, where, message):
    chosen = ["data=digit_scenes", "task=detection", "head=deformable"]
    faults = preflight(compose([*chosen, *words])).faults
    assert any(fault.where == where and message in fault.message for fault in faults), faults


def test_more_objects_than_queries_is_a_warning():
    report = preflight(compose([*SMALL, "head.num_queries=3"]))
    assert not report.faults
    assert any("more than the 3 queries" in line for line in report.warnings)
    assert report.sound.memory.activations > 0
    warnings = preflight(compose([*SMALL, "data.mosaic=0.5"])).warnings
    assert any("train holds 20 objects, more than the 9 queries" in line for line in warnings)


def test_what_is_predicted_is_what_is_evaluated_where_padding_is_reported():
    task, data = assembled("data.padding=true")
    task.model.eval()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (10, 40), np.uint8))
    run = {"model": task.model, "transform": data.eval_transform, "facts": data.facts}
    result = [
        task.spec().predict(SimpleNamespace(**run, config={"data": {"padding": result}}), [image])
        for result in (True, False)
    ]
    frame = data.eval_transform.frame(10, 40)
    with torch.no_grad():
        answer = task.model(data.eval_transform(image)[None], frame.filled()[None])
    found = postprocess(answer, task.model, [0], [frame], most=100)
    wanted, other = ([one["score"] for one in each[0]["objects"]] for each in result)
    np.testing.assert_allclose(wanted, found.score, atol=1e-6)
    assert frame.filled().sum() == 24 * 32 and not np.allclose(wanted, other, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector") / "run"
    done = program("train", *SMALL, "trainer.max_epochs=2", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert "test AP" in done.stdout and "val AP50" in done.stdout
    return folder


def program(*words, cwd=None):
    return command(*words, code=None, cwd=cwd)


def test_a_trained_detector_is_evaluated_again_with_the_same_numbers(trained):
    known = json.loads((trained / "metrics.json").read_text())
    result = json.loads(program("evaluate", str(trained), "--json").stdout)
    tested = {key: value for key, value in known["metrics"].items() if key.startswith("test/")}
    assert result["metrics"] == tested and "test/ap" in tested
    assert result["tables"]["class_ap"] == known["tables"]["class_ap"]
    again = json.loads(program("evaluate", str(trained), "--split", "val", "--json").stdout)
    assert again["metrics"]["val/ap"] == known["metrics"]["val/ap"]
    assert known["timing"]["cpu_seconds"] > 0


@pytest.mark.slow
def test_the_small_experiment_learns_in_some_minutes(tmp_path):
    words = ["experiment=digit_scenes_small", "tracking=none", f"hydra.run.dir={tmp_path}/run"]
    done = program("train", *words)
    assert done.returncode == 0, done.stderr
    known = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert known["metrics"]["test/ap50"] >= 0.4


def test_a_photo_that_lies_on_its_side_is_looked_at_upright(trained, tmp_path):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 64), np.uint8))
    upright.save(tmp_path / "upright.png")
    note = Image.Exif()
    note[0x0112] = 6  # to be turned a quarter clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=note)
    paths = [str(tmp_path / name) for name in ("upright.png", "lying.png")]
    result = predict(str(trained), paths, "best", "cpu", out=str(tmp_path / "out"))["images"]
    for name in ("box_xyxy", "score"):
        wanted, found = ([best[name] for best in image["objects"][:10]] for image in result)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    with Image.open(result[1]["picture"]) as drawn:
        assert drawn.width * 40 == drawn.height * 64


def test_prediction_draws_pictures_and_writes_cocos_results(trained, tmp_path):
    for folder, size in (("a", (64, 40)), ("b", (32, 32))):
        (tmp_path / folder).mkdir()
        Image.new("L", size, 90).save(tmp_path / folder / "same.png")
    words = [str(tmp_path / "a"), str(tmp_path / "b"), "--threshold", "0.001"]
    shown = program("predict", str(trained), *words)
    assert shown.returncode == 0, shown.stderr
    out = trained / "predictions"
    assert f"drawn in {out}" in shown.stdout
    assert sorted(file.name for file in out.iterdir()) == [
        "results.json",
        "same-2.png",
        "same.png",
    ]
    results = json.loads((out / "results.json").read_text())
    assert {row["image_id"] for row in results} == {1, 2} and len(results) == 2 * 90
    for row in results:
        x, y, width, height = row["bbox"]
        most = (64, 40) if row["image_id"] == 1 else (32, 32)
        assert 0 <= x <= x + width <= most[0] + 1e-3 and 0 <= y <= y + height <= most[1] + 1e-3
    result = json.loads(program("predict", str(trained), *words, "--json").stdout)
    best = result["images"][0]["objects"][0]
    (row,) = [r for r in results if r["score"] == best["score"] and r["image_id"] == 1][:1]
    assert best["class"] == vit.load(trained).facts.class_names[best["label"]]
    assert row["category_id"] == vit.load(trained).facts.class_ids[best["label"]]
    refused = program("predict", str(trained), *words[:2], "--threshold", "2")
    assert refused.returncode == 2 and "wanted 0 to 1" in refused.stderr
