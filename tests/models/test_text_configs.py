"""The files of texts under conf build models that answer, with every part that can be chosen."""

from pathlib import Path

import pytest
import torch

from vit.check.preflight import preflight
from vit.cli.compose import compose, config_folder
from vit.facts import TextFacts
from vit.tasks.assembly import assemble_model

TINY = ["backbone.dim=16", "backbone.depth=1", "backbone.heads=2"]
SMALL = ["data.samples=100", "data.test_samples=20", "tracking=none", *TINY]
FACTS = TextFacts(0, (), "", 30, 12, 9)


def names(group: str) -> list[str]:
    return sorted(path.stem for path in Path(config_folder(), group).glob("*.yaml"))


@pytest.mark.parametrize(
    "choice",
    [f"backbone/position=token/{name}" for name in names("backbone/position/token")]
    + [f"backbone/{part}={name}" for part in ("norm", "mlp") for name in names(f"backbone/{part}")]
    + ["backbone.pre_norm=false", "backbone.qk_norm=true", "head.tied=false"]
    + ["head.shared_table=false"],
)
def test_every_part_can_be_chosen_for_reader_and_writer_at_once(choice):
    config = compose(["experiment=number_words", *TINY, choice])
    model = assemble_model(config, FACTS)
    assert model(*FACTS.example(2)).shape == (2, 9, 30)
    kinds = [{type(part) for part in side.modules()} for side in (model.backbone, model.head)]
    missing = {kind.__name__ for kind in kinds[0]} - {kind.__name__ for kind in kinds[1]}
    assert missing <= ({"Embedding"} if config["head"]["shared_table"] else set())


def test_texts_can_be_written_from_images():
    words = ["backbone=vit", "head=text_decoder", "head.shared_table=false", "backbone.dim=16"]
    words += ["backbone.heads=2", "backbone.depth=1", "backbone.patch_size=4"]
    position = "vit.layers.sequence_position.RotaryPosition"
    config = compose([*words, "task=text_to_text"])
    config["head"]["blocks"]["position"] = {"_target_": position, "_partial_": True}
    from vit.build import build
    from vit.models.text_decoder import SequenceToSequence

    backbone = build(config["backbone"], image_size=(8, 8), channels=1)
    head = build(config["head"], dim=16, vocabulary=30, length=9)
    model = SequenceToSequence(backbone, head)
    target = torch.full((2, 5), 7)
    assert model(torch.rand(2, 1, 8, 8), target).shape == (2, 5, 30)


def test_the_check_tells_what_a_run_on_texts_will_be():
    report = preflight(compose(["experiment=number_words", *SMALL]))
    assert report.faults == [] and report.warnings == []
    run = report.sound
    assert run.cost.facts["max_tokens"] == 16 and run.cost.facts["vocabulary"] == 100
    assert run.metrics.monitors[-1] == "val/exact_match"
    assert run.memory.parameters == 4 * run.cost.parameters
    assert run.memory.activations > 0
    assert run.data.splits["test"].images == 20


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["data=digits"], "task", "Take task=classification"),
        (["head=linear"], "head", "head=text_decoder is"),
        (
            ["task=text_classification", "~task.text_metrics", "head=linear"],
            "task",
            "wants texts with classes",
        ),
        (["backbone=vit"], "backbone", "take backbone=text"),
        (["backbone.heads=3"], "backbone", "heads=3"),
        (["data.max_tokens=4", "checkpoint.monitor=val/bleu"], "checkpoint", "never logged"),
        (["backbone/position=rope"], "backbone", "grid"),
    ],
)
def test_what_does_not_fit_is_reported_before_training(words, where, said):
    sizes = [word for word in SMALL if words != ["data=digits"] or not word.startswith("data.")]
    report = preflight(compose(["experiment=number_words", *sizes, *words]))
    faults = [f"{fault.where}: {fault.message}" for fault in report.faults]
    assert any(fault.startswith(where) and said in fault for fault in faults), faults
