"""vit probe and vit features: their words, refused before any work, and what they show."""

import importlib
import json

import pytest
from commands import command

from vit.cli import features, predict, probe
from vit.faults import Refused
from vit.runs import process

BAD = {
    "--probes knnn": "names 'knnn'; wanted some of knn, linear, logistic. Did you mean 'knn'?",
    "--neighbours 0": "holds '0'; wanted whole numbers from 1 on",
    "--neighbours 5,x": "holds 'x'; wanted whole numbers",
    "--rates 0.1,nan": "holds 'nan'; wanted numbers above 0",
    "--strengths -1": "holds '-1'; wanted numbers above 0",
    "--blocks 1.5": "holds '1.5'; wanted whole numbers",
    "--temperature 0": "is 0.0; wanted above 0",
    "--held-out 1": "is 1.0; wanted a share between 0 and 1",
    "--seed -1": "is -1; wanted 0 or more",
    "--cache x --no-cache": "contradict one another",
    "backbone.depth=3": "only the data can be chosen here",
    "data.imagesize=8": "no such key. Did you mean 'image_size'?",
}


def said_of(main, words):
    with pytest.raises(Refused) as refused:
        main(words)
    return " | ".join(map(str, refused.value.faults))


@pytest.mark.parametrize("words", BAD)
def test_bad_words_are_refused_before_any_work(words, tiny_runs):
    assert BAD[words] in said_of(probe.main, [str(tiny_runs("classes")), *words.split()])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no such folder; wanted a run's, or timm:NAME"),
        (["timm:"], "names no weights behind the colon"),
        (["timm:vit_tiny_patch16_224"], "weights have none of their own"),
        (["file:x.safetensors", "data=folder"], "data.root: must be given"),
    ],
)
def test_what_names_no_backbone_or_no_data_is_refused(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in said_of(probe.main, words)
    assert message in said_of(features.main, words)


def test_a_file_without_its_kind_and_an_ending_of_no_form_are_refused(tiny_runs, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    assert f"weights of a file are named file:{file}" in said_of(probe.main, [str(file)])
    run = str(tiny_runs("classes"))
    assert "ends in .safetensors or .npz" in said_of(features.main, [run, "--out", "a.csv"])
    assert "wanted one number here" in said_of(features.main, [run, "--blocks", "1,4"])


@pytest.fixture()
def here(monkeypatch, tmp_path, capsys):
    """A command's function in this process, which gives what it printed."""

    def call(function, *given):
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(module), name)(*given)

    monkeypatch.setattr(process, "call", call)
    monkeypatch.setattr(process, "warm_up", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def said(module, *words):
        assert module.main([*map(str, words), "--device", "cpu"]) == 0
        return capsys.readouterr().out

    return said


def test_figures_on_the_screen_and_as_json_are_those_in_the_file(tiny_runs, tmp_path, here):
    run, words = tiny_runs("classes"), ["--probes", "knn", "--neighbours", "5,20", "--split", "val"]
    shown = here(probe, run, *words)
    assert "features of 1,200 train images: " in shown and "held out" in shown
    told = json.loads(here(probe, run, *words, "--json"))
    written = json.loads((run / "probes" / told["file"].rpartition("/")[2]).read_text())
    assert {**written, "file": told["file"]} == told
    accuracy = told["probes"][0]["splits"]["val"]["accuracy"]
    assert f"{accuracy:.2%}" in shown and told["file"] in shown
    assert told["features"]["val"]["cached"]  # of the command before
    wrote = here(features, run, "--split", "val", "--out", tmp_path / "a.npz")
    assert (
        "196 images  from the cache" in wrote and "16 numbers an image (head of 1 block)" in wrote
    )
    picture = tiny_runs.pictures()[0]
    predicted = here(predict, run, picture, "--features", "--out", tmp_path / "p")
    assert f"features in {tmp_path}/p/features.safetensors" in predicted


@pytest.mark.slow
def test_the_commands_themselves_end_in_order(tiny_runs, tmp_path):
    run, caches = tiny_runs("classes"), ["--no-cache", "--out", tmp_path]
    told = json.loads(command("probe", run, "--probes", "knn", "--json", *caches).stdout)
    assert told["cache"] is None and told["file"].startswith(str(tmp_path))
    command("features", run, "--split", "val", "--no-cache", "--out", tmp_path / "f.npz")
    refused = command("probe", tiny_runs("boxes"), code=2)
    assert "has boxes" in refused.stderr and "Traceback" not in refused.stderr


def test_the_usual_cache_lies_where_the_system_s_caches_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(process, "warm_up", lambda: None)
    given = []
    monkeypatch.setattr(process, "call", lambda *words: given.append(words) or {})
    (tmp_path / "config.yaml").write_text("schema_version: 1\n")
    monkeypatch.setattr(features, "_show", lambda result: None)
    features.main([str(tmp_path)])
    assert given[0][1]["cache"] == str(tmp_path / "vit" / "features")
