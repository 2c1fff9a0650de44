"""`vit.load` of a run of any task says what `vit predict --json` says, and of bad input what is."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.io import wavfile
from tiny_runs import WORDS

import vit
from vit.cli.compose import compose
from vit.cli.predict import _nothing_shown
from vit.faults import Refused
from vit.jobs.evaluation import evaluate
from vit.jobs.export import export
from vit.jobs.prediction import predict, predict_texts
from vit.runs.checkpoint import read_checkpoint, write_checkpoint
from vit.runs.directory import RunFolder
from vit.tasks.assembly import assemble_data, assemble_model


@pytest.fixture(scope="module")
def runs(tiny_runs):
    return tiny_runs


@pytest.fixture(scope="module")
def sounds(tiny_runs):
    return tiny_runs.sounds()


@pytest.fixture(scope="module")
def trained(runs):
    return functools.cache(lambda kind: vit.load(runs(kind)))


@pytest.fixture(scope="module")
def files(tiny_runs):
    return tiny_runs.pictures()


@pytest.mark.parametrize("kind", ["classes", "boxes", "masks", "maps", "captions"])
def test_files_images_and_arrays_are_told_as_the_command_tells_them(runs, trained, files, kind):
    told = predict(str(runs(kind)), files, "best", "cpu")["images"]
    run = trained(kind)
    assert run.predict(files) == told
    alone = [{key: value for key, value in row.items() if key != "path"} for row in told]
    opened = [Image.open(file) for file in files]
    assert run.predict(opened) == alone
    assert run.predict([np.asarray(image) for image in opened]) == alone
    assert next(iter(alone[0])) in ("class", "objects", "shares", "text")


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_where_nothing_scores_enough_the_highest_is_told(runs, trained, files, tmp_path, kind):
    told = predict(str(runs(kind)), files, "best", "cpu", out=str(tmp_path / "a"), threshold=1.0)
    scores = [found["score"] for row in trained(kind).predict(files) for found in row["objects"]]
    assert told["below_threshold"] == {"images": 3, "highest_score": max(scores)}
    assert "below_threshold" not in predict(
        str(runs(kind)), files, "best", "cpu", out=str(tmp_path / "b"), threshold=min(scores)
    )


@pytest.mark.parametrize(
    ("missed", "count", "highest", "told"),
    [
        (3, 4, 0.31, "in 3 of 4 images; the highest score there is 0.31: --threshold 0.3"),
        (2, 2, 0.3, "in 2 of 2 images; the highest score there is 0.3: --threshold 0.3"),
        (1, 1, 0.0987, "in the image; the highest score there is 0.099: --threshold 0.09"),
        (1, 2, 0.0, "in 1 of 2 images; the highest score there is 0: --threshold 0"),
        (1, 2, None, "in 1 of 2 images; the model gave no object there at all"),
    ],
)
def test_a_threshold_to_try_is_one_that_shows_something(missed, count, highest, told):
    below = {"images": missed, "highest_score": highest}
    result = {"images": [{}] * count, "below_threshold": below}
    assert _nothing_shown(result, 0.5) == f"nothing above 0.5 {told}"
    assert _nothing_shown({"images": []}, 0.5) is None


def test_sounds_are(runs, trained, sounds):
    files = [str(path) for path in sorted(sounds.rglob("*.wav"))][:4]
    told = predict(str(runs("sounds")), files, "best", "cpu")["images"]
    run = trained("sounds")
    assert run.predict(files) == told
    heard = [wavfile.read(file)[1] / 32768 for file in files]
    assert [row["class"] for row in run.predict(heard)] == [row["class"] for row in told]


def test_texts_are(runs, trained):
    texts = ["forty two", "seven"]
    told = predict_texts(str(runs("texts")), texts, "best", "cpu")["texts"]
    assert trained("texts").predict(texts) == told
    assert [row["input"] for row in told] == texts


def grey(*shape, dtype=np.uint8):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("classes", [], "got nothing; wanted one or a list of images"),
        ("classes", "a.png", "a.png: is no file"),
        ("classes", b"a.png", "got one bytes; wanted one or a list of images"),
        ("classes", ["seven"], "seven: is no file; the run reads images"),
        ("classes", [None], "input 0: is a NoneType"),
        ("classes", [grey(8, 8, dtype=np.float32)], r"an array \[8, 8\] of float32; wanted images"),
        ("classes", [grey(8, 8, 5)], r"an array \[8, 8, 5\] of uint8"),
        ("classes", [grey(0, 8)], r"an array \[0, 8\] of uint8"),
        ("classes", torch.zeros(2, 3, 8, 8), r"input 1: is an array \[3, 8, 8\] of float32"),
        ("classes", ["/"], "is a folder"),
        ("boxes", [__file__], "cannot identify image file"),
        ("maps", [b"bytes"], "input 0: is a bytes"),
        ("sounds", [__file__], "test_trained.py: "),
        ("sounds", [grey(9)], r"an array \[9\] of uint8; the run reads sounds"),
        ("sounds", [np.full(900, np.nan)], "no numbers"),
        ("texts", [Image.new("L", (8, 8))], "is a Image; the run reads texts"),
        ("texts", ["seven", " "], "input 1: is empty"),
        ("texts", " ", "input 0: is empty"),
    ],
)
def test_what_a_run_does_not_read_is_one_clear_error(trained, kind, given, told):
    with pytest.raises(Refused, match=told) as caught:
        trained(kind).predict(given)
    assert len(caught.value.faults) <= 6


@pytest.mark.parametrize("kind", ["boxes", "maps", "captions", "texts"])
def test_probabilities_of_another_task_name_the_method(trained, kind):
    given = ["seven"] if kind == "texts" else [Image.new("RGB", (32, 32))]
    with pytest.raises(Refused, match=r"are of image classification; .* use \.predict"):
        trained(kind).probabilities(given)


def test_probabilities_of_nothing_are_refused(trained):
    run = trained("classes")
    with pytest.raises(Refused, match="got no images"):
        run.probabilities([])
    assert run.probabilities([Image.new("L", (8, 8))]).shape == (1, 10)


def test_one_input_alone_is_a_list_of_itself(trained, files, sounds):
    run = trained("classes")
    for one in (files[0], Path(files[0]), grey(8, 8), grey(8, 9, 3), torch.zeros(8, 9).byte()):
        assert run.predict(one) == run.predict([one])  # rows of an array are no images
    image = Image.open(files[0])
    assert run.predict(image) == run.predict([image])
    assert torch.equal(run.probabilities(image), run.probabilities([image]))
    assert trained("texts").predict("seven") == trained("texts").predict(["seven"])
    heard = wavfile.read(next(sounds.rglob("*.wav")))[1] / 32768
    assert trained("sounds").predict(heard) == trained("sounds").predict([heard])


@pytest.mark.parametrize("method", ["predict", "probabilities"])
def test_what_is_neither_an_input_nor_several_is_told(trained, method):
    look = getattr(trained("classes"), method)
    for one in (None, np.array(1), (each for each in "ab"), grey(0, 8)):
        with pytest.raises(Refused, match=r"got (one|no).*wanted one or a list of"):
            look(one)


LOADS = """
import vit
from vit.faults import Refused
from vit.runs.trust import trusted

for given in ({"run_dir": 5}, {"run_dir": None}, {"run_dir": ""},
              {"run_dir": "x", "allow_targets": "mine"}, {"run_dir": "x", "allow_targets": None},
              {"run_dir": "x", "allow_targets": [5]}, {"run_dir": "x", "checkpoint": None},
              {"run_dir": "x", "device": 1.5}, {"run_dir": 5, "checkpoint": 5, "device": []}):
    try:
        vit.load(**given)
    except Refused as refused:
        print(*(fault.where for fault in refused.faults))
try:
    trusted("mine")
except Refused as refused:
    print(refused)
"""


def test_load_tells_all_arguments_of_another_kind_together():
    # In a process of its own: here beartype would look at them first.
    command = [sys.executable, "-c", LOADS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    *loads, packages = done.stdout.splitlines()
    names = ["run_dir"] * 3 + ["allow_targets"] * 3 + ["checkpoint", "device"]
    together = " ".join(f"vit.load: {name}" for name in ("run_dir", "checkpoint", "device"))
    assert loads == [*(f"vit.load: {name}" for name in names), together]
    assert "allow_targets=['mine']" in packages


def other(path: Path, *words: str) -> Path:
    """Another run beside, whose best checkpoint is given."""
    folder = RunFolder(path)
    folder.freeze(compose([*WORDS["classes"], *words]))
    facts = assemble_data(folder.config()).facts
    state = assemble_model(folder.config(), facts).state_dict()
    weights = {f"model.{key}": value for key, value in state.items()}
    write_checkpoint({"state_dict": weights}, folder.best_checkpoint)
    return folder.best_checkpoint


NET = {"net.weight": torch.ones(3)}
FOREIGN = {
    "weights": (NET, "no `state_dict`, but 1 tensors: net.weight. Weights alone are what backbone"),
    "lightning": (
        {"state_dict": NET, "epoch": 1},
        r"of 31 tensors missing.*Wanted a ch",
    ),
    "optimizer": ({"state": {0: {"m": torch.ones(2)}}, "param_groups": []}, "of an optimizer"),
    "nothing": ({"epoch": 3}, "no `state_dict` and no tensors at all"),
    "list": ([torch.ones(3)], "it holds a list"),
    "empty": ({"state_dict": {}}, "`state_dict` is empty"),
    "numbers": ({"state_dict": {1: torch.ones(2)}}, "no `state_dict` of tensors"),
    "form": ({"state_dict": NET, "vit": {"checkpoint": "x"}}, "in which form"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_checkpoint_of_something_else_is_told_for_what_it_is(runs, tmp_path, kind):
    content, told = FOREIGN[kind]
    run, file, out = str(runs("classes")), str(tmp_path / "x.ckpt"), tmp_path / "o.safetensors"
    torch.save(content, file)
    for act in (
        lambda: vit.load(run, checkpoint=file),
        lambda: export(run, str(out), file),
    ):
        with pytest.raises(Refused, match=told) as caught:
            act()
        assert "x.ckpt" in str(caught.value) and len(str(caught.value)) < 600
    assert not (tmp_path / "o.safetensors").exists()


def test_a_checkpoint_of_another_run_is_told_with_that_runs_name(runs, tmp_path):
    file = str(other(tmp_path / "another", "backbone.dim=32"))
    for act in (
        lambda: vit.load(runs("classes"), checkpoint=file),
        lambda: export(str(runs("classes")), str(tmp_path / "o.safetensors"), file),
    ):
        with pytest.raises(
            Refused, match=r"another architecture: .* of another size: .*\. It is of "
        ):
            act()
    with pytest.raises(Refused, match=r"It is of the run another \(vit.models.backbone.ViT and"):
        vit.load(runs("classes"), checkpoint=file)


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ("bst", "--checkpoint bst: is nothing that is there; wanted a file, or `best`, or `last`"),
        ("last", "holds no last.ckpt"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_told(runs, which, told):
    with pytest.raises(Refused, match=told):
        vit.load(runs("classes"), checkpoint=which)
    with pytest.raises(Refused, match="is a folder"):
        vit.load(runs("classes"), checkpoint=str(runs("classes")))


@pytest.mark.parametrize(("value", "told"), [("nan", "NaN"), ("inf", "infinite"), ("0", "zeros")])
def test_weights_that_are_no_numbers_are_told_by_all_that_use_them(runs, tmp_path, value, told):
    content = read_checkpoint(RunFolder(runs("classes")).best_checkpoint)
    for name, tensor in content["state_dict"].items():
        if value == "0" or name == "model.backbone.norm.weight":
            tensor.fill_(float(value))
    file = tmp_path / "spoilt.ckpt"
    write_checkpoint(content, file)
    run = str(runs("classes"))
    for act in (
        lambda: vit.load(run, checkpoint=str(file)),
        lambda: predict(run, [], str(file), "cpu"),
        lambda: evaluate(run, None, "val", str(file), "cpu", ()),
        lambda: export(run, str(tmp_path / "o.safetensors"), str(file)),
    ):
        with pytest.raises(Refused, match=told) as caught:
            act()
        assert "spoilt.ckpt" in str(caught.value)
        assert value == "0" or "backbone.norm.weight" in str(caught.value)


LOADED = """
import sys, numpy, vit
from PIL import Image
trained, values = vit.load(sys.argv[1]), numpy.zeros((8, 8), numpy.uint8)
assert trained.predict([values])[0]["classes"]
assert len(trained.probabilities([Image.fromarray(values)])) == 1
print(sorted({"lightning", "pytorch_lightning", "lightning_fabric"} & set(sys.modules)))
"""


def test_a_trained_run_says_what_it_sees_without_lightning(runs):
    words = [sys.executable, "-c", LOADED, str(runs("classes"))]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(("loss", "binary"), [("bce", True), ("auto", False), (None, False)])
def test_probabilities_are_sigmoids_where_the_runs_loss_was_of_single_classes(
    runs, tmp_path, loss, binary
):
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(runs("classes"), folder.path)
    config = yaml.safe_load(folder.config_file.read_text())
    config["task"] |= {"loss": loss}
    if loss is None:
        del config["task"]["loss"]  # as in a config from before there was one
    folder.config_file.write_text(yaml.safe_dump(config))
    trained = vit.load(folder.path)
    assert trained.binary is binary
    total = float(trained.probabilities([Image.new("L", (32, 32), 90)]).sum())
    assert (abs(total - 1) < 1e-5) is not binary
