"""The segmentation task, with maps of classes and with queries, and masks through the commands."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commands import command
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from sklearn.metrics import jaccard_score

from vit.callbacks.pictures import Pictures
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.metrics.worst import Worst
from vit.pictures.drawing import colour
from vit.runs.mistake_gallery import LARGEST_MAP, Album, Mistake, read_album
from vit.structures import IGNORED, ClassMaps, Detections, Stage
from vit.tasks.assembly import assemble_data, assemble_model, assemble_task
from vit.tasks.mistakes import beside, keep_worst, of_pixels
from vit.tasks.pixel_classes import class_map
from vit.tasks.segmentation import objects_of, pixel_loss

SIZES = [
    "backbone.dim=16",
    "backbone.depth=2",
    "backbone.heads=2",
    "data.image_size=32",
    "data.digit_size=[10,20]",
    "data.train_scenes=24",
    "data.val_scenes=10",
    "data.test_scenes=9",
    "data.batch_size=8",
]
QUERIES = ["head.num_queries=14", "head.joint_blocks=1", "task.num_points=128"]
SEGMENTS = ["experiment=digit_segments", *SIZES, *QUERIES]
PLAIN = [
    "data=digit_scenes_semantic",
    "task=segmentation",
    "head=semantic",
    "head.heads=2",
    "checkpoint.monitor=val/miou",
    "backbone.patch_size=4",
    *SIZES,
]
KINDS = {
    "queries": SEGMENTS,
    "linear": PLAIN,
    "several blocks": [*PLAIN, "head.blocks=[0,-1]"],
    "segmenter": [*PLAIN, "head.decoder=segmenter", "head.num_layers=1"],
}


def assembled(words):
    config = compose([*words, "schedule=constant", "optim.lr=0.005"])
    data = assemble_data(config)
    return assemble_task(config, assemble_model(config, data.facts), data), data


def enlarged(maps, size=32):
    return F.interpolate(maps[None], size=(size, size), mode="bilinear")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_tells_the_iou_of_sklearn(kind, trainer, logged):
    task, data = assembled(KINDS[kind])
    seen = []
    task.record = lambda metrics, weight, index: seen.append(float(metrics["train/loss"]))
    run = trainer(max_epochs=12, gradient_clip_val=1.0)
    loader = data.loader("test", rank=0, world_size=1)
    run.fit(task, data.loader("train", rank=0, world_size=1), loader)
    assert sum(seen[-3:]) < 0.8 * sum(seen[:3])
    assert set(run.callback_metrics) == logged(task, data)
    (tested,) = run.test(task, loader, verbose=False)
    task.model.eval()
    found, truth = [], []
    for batch in loader:
        with torch.no_grad():
            output = task.model(batch.images)
        found += [class_map(output, image, enlarged).flatten() for image in range(len(batch))]
        truth.append(batch.labels.flatten())
    found, truth = torch.cat(found).numpy(), torch.cat(truth).numpy()
    labels = sorted({*found.tolist(), *truth.tolist()})
    expected = jaccard_score(truth, found, average="macro", labels=labels)
    assert tested["test/miou"] == pytest.approx(expected, abs=1e-7)
    assert tested["test/pixel_accuracy"] == pytest.approx((found == truth).mean(), abs=1e-7)
    assert len(task.tables()["class_iou"]) == 11


def test_the_pictures_with_the_most_wrong_pixels_are_drawn_first_at_their_own_size():
    sizes = [(8, 8), (4, 10), (8, 8), (1200, 40), (8, 8)]
    labels, predicted = [], []
    for (height, width), wrong in zip(sizes, (2, 0, 5, 150, 5), strict=True):
        labels.append(torch.zeros(height, width, dtype=torch.uint8))
        labels[-1][0] = IGNORED
        predicted.append(torch.zeros(height, width, dtype=torch.uint8))
        predicted[-1][1 : 1 + wrong] = 1
    predicted[1][0] = 1  # ignored: no mistake

    def picture(split, index):
        height, width = sizes[index]
        return Image.new("RGB", (width, height), (10 * index,) * 3)

    worst = Worst(4)
    for part in (slice(0, 2), slice(2, 5)):
        keep_worst(worst, predicted[part], labels[part], list(range(5))[part])
    worst.compute()
    album = of_pixels(
        worst,
        ("sky", "sea"),
        "val",
        picture,
        lambda split, index: labels[index].numpy(),
        lambda split, index: f"{split} {index}",
        9,
    )
    assert [mistake.sample for mistake in album.mistakes] == ["val 2", "val 4", "val 0", "val 3"]
    assert album.mistakes[0].words.startswith("71.4% of the pixels wrong")
    assert [words for words, _ in album.legend] == ["sky", "sea"]
    sheet = album.mistakes[0].image
    assert sheet.size == (28, 8)
    image, truth, result = (sheet.getpixel((left + 3, 2)) for left in (0, 10, 20))
    assert image == (20, 20, 20) and len({image, truth, result}) == 3
    assert sheet.getpixel((13, 0)) == sheet.getpixel((23, 0)) == image  # ignored
    assert album.mistakes[3].image.size == (3 * 34 + 4, 1024)  # a large one as large as albums are


class Wall(CSVLogger):
    """Keeps what is hung on it."""

    def log_image(self, key, images, step, caption):
        self.hung = images


def test_mistakes_are_stored_and_logged_at_the_size_of_their_pictures(tmp_path, trainer):
    """Three pictures side by side, each as large as it is and not all together."""
    sheet = beside([Image.new("RGB", (900, 700), (n, 0, 0)) for n in range(3)])
    mistake = Mistake(sheet, "words", "a.png", across=3, largest=LARGEST_MAP)
    task, data = assembled(PLAIN)
    task.mistakes = lambda split, most: Album([mistake])
    wall = Wall(tmp_path)
    run = trainer(logger=wall, callbacks=[Pictures(tmp_path, 1)], limit_test_batches=1)
    run.test(task, data.loader("test", rank=0, world_size=1), verbose=False)
    (row,) = read_album(tmp_path, "test")["pictures"]
    with Image.open(row["file"]) as stored:
        assert stored.size == wall.hung[0].size == sheet.size == (2704, 700)


def test_ignored_pixels_count_nowhere():
    labels = torch.randint(0, 3, (2, 8, 8))
    labels[:, :3] = IGNORED
    logits = torch.randn(2, 3, 4, 4)
    total, count = pixel_loss(ClassMaps(logits), labels)
    assert count == 2 * 5 * 8
    large = F.interpolate(logits, size=(8, 8), mode="bilinear")
    kept = labels != IGNORED
    chosen = large.permute(0, 2, 3, 1)[kept]
    expected = F.cross_entropy(chosen, labels[kept], reduction="sum")
    torch.testing.assert_close(total, expected)
    objects = objects_of(labels)
    assert IGNORED not in objects.labels.tolist() and not objects.masks[:, :3].any()


def test_each_class_that_an_image_shows_is_one_object():
    labels = torch.zeros(3, 4, 4, dtype=torch.long)
    labels[0, :2] = 5
    labels[1] = IGNORED
    objects = objects_of(labels)
    assert objects.labels.tolist() == [0, 5, 0] and objects.counts == (2, 0, 1)
    assert torch.equal(objects.masks[1], labels[0] == 5)
    assert objects.masks[2].all()


def test_queries_add_up_to_maps_of_classes():
    logits = torch.tensor([[[0.0, 20.0, 0.0], [20.0, 0.0, 0.0], [0.0, 0.0, 20.0]]])
    masks = torch.full((1, 3, 1, 2), -20.0)
    masks[0, 0, 0, 0] = masks[0, 1, 0, 1] = 20.0  # class 1 on the left, class 0 on the right
    masks[0, 2] = 20.0  # no object, everywhere
    chosen = class_map(Detections([Stage(logits, masks=masks)]), 0, lambda maps: maps)
    assert chosen.tolist() == [[1, 0]]


def test_masks_become_shares_only_at_the_pixels_asked_for():
    """A thin stroke, sure of itself, is as wide as its logits say, between cells that are not."""
    sure = torch.tensor([[[-1.0, 9.0, -1.0]], [[1.0, -9.0, 1.0]]])[None]
    logits = torch.tensor([[[0.0, 20.0, 0.0], [20.0, 0.0, 0.0]]])
    chosen = class_map(Detections([Stage(logits, masks=sure)]), 0, lambda maps: wide(maps, 30))
    assert chosen.count_nonzero() == 18  # of 30: where 10 |x| < 9, x in cells of 10 pixels


def wide(maps, columns):
    return F.interpolate(maps[None], size=(1, columns), mode="bilinear")[0]


def test_training_sets_masks_free_by_the_part_that_is_done(trainer):
    task, data = assembled(SEGMENTS)
    rows = []
    task.model.head.set_progress = rows.append
    trainer(max_epochs=2).fit(task, data.loader("train", rank=0, world_size=1))
    assert rows == [step / 6 for step in range(6)]


@pytest.mark.parametrize(
    ("words", "where", "message"),
    [
        (["data=digit_scenes"], "task", "wants images with a class for each pixel"),
        (["head=deformable"], "head", "gives no classes of pixels"),
        (["head=linear"], "head", "no head that task=segmentation can build"),
        (["head=semantic", "head.decoder=segmenter", "head.blocks=[1]"], "head", "last block"),
        (["task=detection", "head=masks", "data=digit_scenes"], "head", "set data.masks=true"),
    ],
)
def test_what_does_not_fit_is_reported_before_training(words, where, message):
    chosen = ["data=digit_scenes_semantic", "task=segmentation", "head=semantic"]
    kept = [
        word for word in chosen if not any(w.split("=")[0] == word.split("=")[0] for w in words)
    ]
    faults = preflight(compose([*kept, *words])).faults
    assert any(fault.where == where and message in fault.message for fault in faults), faults


def program(*words):
    return command(*words, code=None)


def test_a_trained_segmenter_colours_a_picture(tmp_path):
    folder = tmp_path / "run"
    once = ("trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1")
    done = program("train", *SEGMENTS, *once, f"hydra.run.dir={folder}")
    assert done.returncode == 0 and "test mIoU" in done.stdout, done.stderr
    Image.new("L", (40, 24), 90).save(tmp_path / "grey.png")
    result = json.loads(
        program("predict", str(folder), str(tmp_path / "grey.png"), "--json").stdout
    )
    (row,) = result["images"]
    assert sum(row["shares"].values()) == pytest.approx(1.0)
    with Image.open(row["classes_picture"]) as opened:
        classes = np.asarray(opened)
    assert classes.shape == (24, 40) and classes.max() <= 10
    with Image.open(row["picture"]) as opened:
        assert opened.size == (40, 24)
    with Image.open(folder / "predictions" / "legend.png") as opened:
        shown = {colour for _, colour in opened.getcolors(1 << 20)}
    assert shown >= {colour(number) for number in range(11)}
    again = program("evaluate", str(folder))
    assert "test/miou" in again.stdout and "IoU" in again.stdout


@pytest.mark.slow
def test_a_trained_mask_head_outlines_objects(tmp_path):
    folder = tmp_path / "run"
    words = ["experiment=digit_masks", *SIZES, *QUERIES, "trainer.max_epochs=1"]
    done = program("train", *words, f"hydra.run.dir={folder}")
    assert done.returncode == 0 and "test mask AP50" in done.stdout, done.stderr
    known = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert {"val/mask_ap", "val/loss", "test/mask_ap50"} <= set(known)
    Image.new("L", (40, 24), 90).save(tmp_path / "grey.png")
    words = [str(tmp_path / "grey.png"), "--threshold", "0", "--json"]
    result = json.loads(program("predict", str(folder), *words).stdout)
    objects = result["images"][0]["objects"]
    assert all(found["segmentation"]["size"] == [24, 40] for found in objects)
    results = json.loads((folder / "predictions" / "results.json").read_text())
    assert len(results) == len(objects)
