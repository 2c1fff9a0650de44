"""A loaded run of every task: it predicts as the command does, gives features, shows, measures."""

import dataclasses
import functools
import json
from pathlib import PosixPath

import numpy as np
import pytest
import torch
from commands import command, true_command
from PIL import Image
from tiny_runs import KINDS

import vit
from vit.api import evaluation
from vit.api.command import Ended
from vit.api.run import Run
from vit.faults import Refused
from vit.models.heads.valid_patches import encode_padded
from vit.tasks.features import evaluating
from vit.tasks.inputs import images_of, padding_of, ready

POOLED = ("classes", "topics", "sounds")
OF_THE_COMMAND = ("picture", "classes_picture")


@pytest.fixture(scope="module")
def loaded(tiny_runs):
    return functools.cache(lambda kind: vit.load(tiny_runs(kind)))


@pytest.fixture
def warm(monkeypatch):
    """Commands that are started from Python, in the warm process of the tests."""
    asked = []

    def run(words, **_):
        asked.append(words)
        done = command(*words, code=None)
        return Ended(done.returncode, done.stdout, done.stderr)

    monkeypatch.setattr(evaluation, "run_command", run)
    return asked


@pytest.mark.parametrize("kind", KINDS)
def test_python_predicts_what_the_command_does(tiny_runs, loaded, tmp_path, kind):
    inputs = tiny_runs.inputs(kind)
    words = [*inputs, "--threshold=0", f"--out={tmp_path}"]
    if kind in ("texts", "topics"):
        words = [f"--text={text}" for text in inputs]
    said = json.loads(command("predict", tiny_runs(kind), *words, "--json").stdout)
    rows = said.get("images", said.get("texts"))
    told = [{k: v for k, v in row.items() if k not in OF_THE_COMMAND} for row in rows]
    assert loaded(kind).predict(inputs) == told and len(told) == len(inputs)


def backbone_says(run, inputs):
    """Of one input after the other, so that nothing is filled up."""
    unit = run.data.unit
    for each in ready(inputs, run.data, "test"):
        if unit == "text":
            (row,), _ = run.transform.encode([each], run.facts.max_tokens)
            yield run.model.backbone(torch.tensor([row]))
        else:
            yield run.model.backbone(run.transform(each)[None])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_features_are_what_the_backbone_says(tiny_runs, loaded, kind):
    run, inputs = loaded(kind), tiny_runs.inputs(kind)
    vectors, maps = run.features(inputs, patches=True)
    assert vectors.shape == (len(inputs), 16) and vectors.dtype == torch.float32
    assert torch.equal(vectors, run.features(inputs))
    own = list(backbone_says(run, inputs))
    for vector, patches, found in zip(vectors, maps, own, strict=True):
        assert patches.shape == (*found.grid, 16)
        torch.testing.assert_close(patches.flatten(0, 1), found.patches[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(vector, found.patches[0].mean(0), atol=1e-5, rtol=1e-5)
    if kind in POOLED:  # what the head sees, and nothing but its last layer is left
        logits = torch.cat([run.model.head(found) for found in own])
        torch.testing.assert_close(run.model.head.linear(vectors), logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_vector_is_pooled_as_the_head_pools(loaded, tiny_runs):
    run, files = loaded("classes"), tiny_runs.pictures()

    class Largest(torch.nn.Module):
        def forward(self, patches, prefix):
            return patches.amax(1)

    head = torch.nn.Module()
    head.pool = Largest()
    model = torch.nn.Module()
    model.backbone, model.head = run.model.backbone, head
    found = dataclasses.replace(run, model=model.eval()).features(files)
    largest = [each.patches[0].amax(0) for each in backbone_says(run, files)]
    torch.testing.assert_close(found, torch.stack(largest), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_what_fills_an_image_up_is_in_no_vector(loaded, tiny_runs):
    config = {**loaded("boxes").config}
    config["data"] = {**config["data"], "padding": True}
    run = dataclasses.replace(loaded("boxes"), config=config)
    wide = [np.full((8, 64, 3), 90, np.uint8)]
    images = ready(wide, run.data, "test")
    padding = padding_of(run, images)
    found, frame = encode_padded(run.model.backbone, images_of(run, images), padding)
    assert padding.any() and not frame.valid.all()
    vectors = run.features(wide)
    torch.testing.assert_close(vectors[0], found.patches[0][frame.valid[0]].mean(0))
    assert not torch.allclose(vectors, loaded("boxes").features(wide))


def test_features_are_of_evaluation_and_heads_can_learn_from_them(loaded, tiny_runs):
    run, files = loaded("classes"), tiny_runs.pictures()
    vectors = run.features(files)
    assert not vectors.requires_grad
    torch.nn.Linear(16, 2)(vectors).sum().backward()  # what inference mode gives would raise
    run.model.head.train()
    with evaluating(run.model):
        assert not run.model.head.training
    assert run.model.head.training and not run.model.backbone.training
    run.model.eval()


def test_many_files_are_not_held_in_memory(loaded, tiny_runs):
    run, files = loaded("classes"), tiny_runs.pictures()
    several = [*files * 30, np.zeros((8, 8), np.uint8)]  # more than pass through at once
    read = ready(several, run.data, "test")
    assert [type(each) is PosixPath for each in read.held] == [True] * 90 + [False]
    torch.testing.assert_close(
        run.features(several)[87:90], run.features(files), atol=1e-5, rtol=1e-5
    )
    assert [row["class"] for row in run.predict(several)[:3]] == [
        row["class"] for row in run.predict(files)
    ]


def test_what_has_no_features_is_told(loaded):
    with pytest.raises(Refused, match="features: got nothing; wanted one or a list of images"):
        loaded("classes").features([])
    other = dataclasses.replace(loaded("classes"), model=torch.nn.Linear(1, 1))
    with pytest.raises(Refused, match="features: are of a model's backbone, and a Linear has none"):
        other.features([np.zeros((8, 8), np.uint8)])


def test_a_run_is_loaded_by_itself_and_does_what_its_model_does(tiny_runs, loaded):
    run, files = Run(tiny_runs("classes")), tiny_runs.pictures()
    again = vit.load(run)
    assert isinstance(again, vit.LoadedRun) and again.class_names == loaded("classes").class_names
    assert repr(again) == f"LoadedRun({str(run.path)!r}, Classification, 10 classes)"
    assert torch.equal(run.features(files), loaded("classes").features(files))
    assert run.features(files, patches=True).patches[0].shape == (4, 4, 16)
    assert run.show(files).captions == loaded("classes").show(files).captions


@pytest.mark.parametrize("kind", ["classes", "maps"])
def test_python_measures_what_the_command_does(tiny_runs, loaded, warm, kind):
    told = json.loads(command("evaluate", tiny_runs(kind), "--json").stdout)
    assert loaded(kind).evaluate() == told
    assert set(told["metrics"]) >= {"test/loss"}


def test_words_split_and_checkpoint_reach_the_command(tiny_runs, warm, tmp_path):
    run = tiny_runs("classes")
    other = tmp_path / "other.ckpt"
    other.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    run = vit.load(run, checkpoint=other)
    found = run.evaluate("data.eval_batch_size=64", split="val", data={"num_workers": 0})
    assert found["split"] == "val" and f"--checkpoint={other}" in warm[-1]
    assert warm[-1][2:4] == ["data.eval_batch_size=64", "data.num_workers=0"]
    with pytest.raises(Refused, match="only data can differ"):
        run.evaluate(seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_python_measures_every_task_as_the_command_does(tiny_runs, loaded, kind):
    told = json.loads(true_command("evaluate", tiny_runs(kind), "--json").stdout)
    assert loaded(kind).evaluate() == told == Run(tiny_runs(kind)).evaluate()


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_shown_with_what_is_said_of_them(tiny_runs, loaded, tmp_path, kind):
    run, inputs = loaded(kind), tiny_runs.inputs(kind)
    shown = run.show(inputs, threshold=0.0)
    assert shown.names == tuple(inputs) and len(shown) == len(inputs)
    row = run.predict(inputs)[0]
    first = shown.captions[0]
    if "class" in row:
        assert first.startswith(f"{row['class']} {row['classes'][0]['probability']:.1%}")
    elif "objects" in row:
        assert first == f"{len(row['objects'])} objects"
    else:
        assert first == row.get("text", first) and next(iter(row.get("shares", [first]))) in first
    page = shown._repr_html_()
    assert page.count("<img") == len(shown.pictures) + (shown.legend is not None)
    assert (shown.legend is not None) is (kind == "maps")
    if kind in ("texts", "topics"):
        assert not shown.pictures and page.count("<tr>") == 2
        with pytest.raises(Refused, match="these are texts"):
            shown.sheet()
    else:
        assert [max(picture.size) for picture in shown.pictures] == [320] * len(inputs)
        with Image.open(shown.save(tmp_path / "shown.png")) as sheet:
            assert sheet.width > 480
    assert shown.save(tmp_path / "shown.html").read_text().count("<html") == 1


def test_boxes_masks_and_classes_change_the_picture(loaded):
    grey = [np.full((40, 30, 3), 128, np.uint8), np.full((900, 600, 3), 128, np.uint8)]
    plain = loaded("classes").show(grey).pictures
    assert [picture.size for picture in plain] == [(240, 320), (320, 480)]
    for kind in ("boxes", "masks", "maps"):
        marked = loaded(kind).show(grey, threshold=0.0).pictures
        assert [each.size for each in marked] == [each.size for each in plain]
        assert all(a.tobytes() != b.tobytes() for a, b in zip(plain, marked, strict=True))
    none = loaded("boxes").show(grey, threshold=1.0)
    assert none.captions == ("0 objects",) * 2
    scores = [found["score"] for row in loaded("boxes").predict(grey) for found in row["objects"]]
    assert none.hint.startswith("nothing above 1 in 2 of 2 images; the highest score there is ")
    assert none.hint in none._repr_html_() and none.hint in repr(none)
    lower = float(none.hint.rpartition("threshold=")[2])
    again = loaded("boxes").show(grey, threshold=lower)
    assert lower <= max(scores) and again.captions != none.captions
    assert none.pictures[0].tobytes() == plain[0].tobytes()


def test_boxes_lie_where_they_were_found_on_a_picture_made_smaller():
    from vit.pictures.shown import drawn

    found = {"class": "x", "label": 0, "score": 0.9, "box_xyxy": [100.0, 800.0, 500.0, 1600.0]}
    picture = drawn(Image.new("RGB", (960, 1920), "white"), {"objects": [found]})
    rows, cols = np.nonzero((np.asarray(picture) != 255).any(-1))
    assert picture.size == (240, 480) and abs(cols.min() - 25) <= 2 and abs(cols.max() - 125) <= 2
    assert abs(rows.max() - 400) <= 2


def test_wide_pictures_have_no_white_field_on_a_sheet(loaded):
    wide = [np.zeros((20, 80), np.uint8)] * 4
    sheet = loaded("classes").show(wide).sheet()
    rows = (np.asarray(sheet)[:, 10] == 0).all(-1).nonzero()[0]  # black ones of the first column
    gaps = np.diff(rows)[np.diff(rows) > 1]
    assert len(rows) >= 160 and gaps.max(initial=0) < 50  # two lines of words between two


def test_what_is_shown_is_escaped_and_the_rest_is_counted(loaded, tmp_path):
    texts = ["<script>one</script>", *["two"] * 4]
    shown = loaded("texts").show(texts, most=2)
    page = shown._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page and "and 3 more" in page
    assert repr(shown).splitlines()[-1] == "and 3 more" and len(shown) == 2
    file = tmp_path / "<b>.png"
    Image.new("L", (8, 8)).save(file)
    assert "<b>.png" not in loaded("classes").show([file])._repr_html_()


@pytest.mark.parametrize(
    ("given", "keys", "told"),
    [
        ([], {}, "show: got nothing; wanted one or a list of images"),
        ("a.png", {}, "a.png: is no file"),
        (["none.png"], {}, "none.png: is no file"),
        ([None], {"threshold": 2.0}, "threshold: is 2.0; wanted 0 to 1"),
        ([None], {"most": 0}, "most: is 0; wanted 1 or more"),
    ],
)
def test_nothing_to_show_is_refused_in_words(loaded, given, keys, told):
    with pytest.raises(Refused, match=told):
        loaded("classes").show(given, **keys)


def test_a_page_of_another_name_is_refused(loaded, tmp_path):
    shown = loaded("classes").show([np.zeros((8, 8), np.uint8)])
    with pytest.raises(Refused, match=r"wanted a name that ends in \.html, \.png"):
        shown.save(tmp_path / "shown.pdf")
    with pytest.raises(Refused, match="cannot be written"):
        shown.save(tmp_path / "none" / "shown.png")


def test_foreign_answers_are_said_by_their_own_names():
    from vit.pictures.shown import caption

    assert caption({"path": "a.png", "angle": 0.51234, "side": "left"}) == "angle 0.5123, side left"
