"""Sentences on scenes: the rule, the data, the task, prediction and evaluation."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vit.build import build_slot
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.data.core.sampling import Key
from vit.data.digit_captions import DigitCaptions, caption
from vit.data.digits import Digits
from vit.data.formats.tokenizing import Tokenizer
from vit.facts import CaptionFacts, facts_from, facts_from_summary
from vit.models.backbone import ViT
from vit.models.generation import greedy
from vit.models.sequence import TokenTransformer
from vit.models.text_decoder import TextDecoder
from vit.optim.schedules import Constant
from vit.tasks.captioning import Captioning
from vit.tasks.specs.captioning import CaptioningSpec
from vit.tasks.specs.sequence import TextToTextSpec
from vit.trained import Trained, facts_of

UNTIED = {"shared_table": False}
SCENES = {"image_size": 16, "digit_size": (6, 8), "min_digits": 1, "max_digits": 2}


class Adam:
    def build(self, model):
        return torch.optim.Adam(model.parameters(), lr=0.01)


@pytest.fixture
def data():
    return DigitCaptions(**SCENES, train_scenes=8, val_scenes=8, test_scenes=8, batch_size=8)


def task_of(data):
    facts = data.facts
    backbone = ViT(**facts.for_backbone(), dim=32, depth=1, heads=2, patch_size=4)
    blocks = partial(TokenTransformer, dim=32, depth=1, heads=2, embedding_scale=True)
    head = partial(TextDecoder, blocks=blocks, **UNTIED)
    spec = CaptioningSpec()
    model = spec.build_model(backbone, head, facts)
    return Captioning(model, facts, Adam(), Constant(cooldown=1.0), 0, **spec.from_data(data))


def box(x, y):
    return [x - 3, y - 2, x + 3, y + 2]


@pytest.mark.parametrize(
    ("labels", "middles", "message"),
    [
        ([7, 4, 3, 1], [(20, 30), (50, 61), (22, 9), (10, 60)], "3 above 7, 1 left of 4"),
        ([5, 8], [(40, 10), (10, 12)], "8 left of 5"),
        ([5, 8], [(10, 10), (20, 20)], "5 above 8"),  # as far down as across
        ([5, 8], [(30, 10), (20, 10)], "8 left of 5"),
        ([2, 2, 9], [(10, 50), (10, 10), (12, 30)], "2 above 9, 2"),
        ([6], [(5, 5)], "6"),
        ([], [], "nothing"),
    ],
)
def test_a_caption_tells_digits_from_top_to_bottom_in_pairs(labels, middles, message):
    boxes = np.array([box(*each) for each in middles], dtype=float).reshape(-1, 4)
    order = np.random.default_rng(0).permutation(len(labels))
    assert caption(np.array(labels, dtype=int), boxes) == message
    assert caption(np.array(labels, dtype=int)[order], boxes[order]) == message


def test_every_caption_fits_and_is_reported_back_from_its_tokens():
    data = DigitCaptions(
        image_size=64, digit_size=(6, 9), max_digits=5, train_scenes=4, test_scenes=4, val_scenes=60
    )
    split = data.dataset("val", training=False)
    batch = split.__getitems__([Key(0, i) for i in range(60)])
    result = Tokenizer(data.facts.tokenizer).decode(batch.targets.tolist())
    assert result == [split.source.captioned(i, 1)[1] for i in range(60)]
    assert batch.targets.shape[1] <= data.facts.max_target_tokens
    assert {text.count(",") for text in result} == {0, 1, 2} and "nothing" in result
    other = dataclasses.replace(data, split_seed=1)
    assert data.fingerprint() != other.fingerprint()


def test_facts_come_back_from_a_checkpoint_and_from_a_report(data):
    facts = data.facts
    kept = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(facts).items()}
    assert facts_of({"facts": kept}) == facts == facts_from(vars(facts))
    made = facts_from_summary(facts.summary())
    assert isinstance(made, CaptionFacts) and made.input_size() == facts.input_size()


def test_it_learns_what_scenes_show_and_writes_it_with_and_without_a_memory(data, trainer):
    task = task_of(data)
    run = trainer(max_epochs=120, limit_val_batches=0)
    run.fit(task, data.loader("train"), data.loader("val"))
    batch = data.dataset("train", training=False).__getitems__([Key(0, i) for i in range(8)])
    task.reset_metrics()
    task.eval().update_metrics(batch, "train")
    found = task.compute_metrics("train")
    assert found["exact_match"] >= 7 / 8 and found["token_accuracy"] > 0.95
    rows = task.tables()["samples"]
    assert sum(target == written for _, target, written in rows) == found["exact_match"] * 8
    most = data.facts.max_target_tokens
    uncached = greedy(task.model, batch.images, most, cached=False)
    assert torch.equal(greedy(task.model, batch.images, most), uncached)
    trained = Trained(task.model, data.eval_transform, data.facts, {"task": {}}, Path())
    pictures = [data.contents.sources["train"].read(i, 1) for i in range(8)]
    result = [row["text"] for row in CaptioningSpec().predict(trained, pictures)]
    assert result == [written for _, _, written in rows]
    assert task.model.flops(*batch.input_size()) > 0


def test_captioning_wants_images_with_texts():
    with pytest.raises(ValueError, match=r"task=captioning wants images with texts.*Digits"):
        CaptioningSpec().from_data(Digits())
    config = {"_target_": "vit.data.digit_captions.DigitCaptions", **SCENES}
    with pytest.raises(ValueError, match="task=text_to_text wants texts"):
        TextToTextSpec().from_data(build_slot("data", {"data": config}))


def test_the_shipped_experiment_is_checked_and_counted():
    small = ["data.train_scenes=64", "data.val_scenes=8", "data.test_scenes=8", "backbone.depth=1"]
    report = preflight(compose(["experiment=digit_captions", "tracking=none", *small]))
    assert report.faults == [] and report.sound.cost.tokens == 64
    assert report.sound.cost.facts["vocabulary"] > 15
    assert report.sound.cost.gflops_per_image > 0
    assert "val/exact_match" in report.sound.metrics.monitors


def test_a_run_that_was_stopped_and_goes_on_ends_as_one_that_was_not(stopped_and_whole):
    words = ["experiment=digit_captions", "backbone.depth=1", "backbone.dim=16"]
    words += ["head.blocks.depth=1", "head.blocks.dropout=0.1", "data.image_size=32"]
    words += ["data.max_digits=2", "data.train_scenes=32"]
    words += ["data.val_scenes=8", "data.test_scenes=8"]
    stopped, whole = stopped_and_whole(words)
    assert stopped == whole
    assert len(whole["seen"]) == 8 and len(whole["samples"]) == 8
