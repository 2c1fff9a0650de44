"""What stands in a run's own config is checked before anything is built, and fetches nothing."""

import subprocess

import pytest
import yaml

import vit
from vit.cli import leet, sync
from vit.cli.compose import compose
from vit.faults import Refused
from vit.jobs.export import export
from vit.jobs.split_prediction import predict_split
from vit.runs.directory import RunFolder
from vit.runs.trust import without_fetching
from vit.tasks.stored import stored_config

SMALL = ["data=digits", "threads=1", "tracking=none"]
GONE = object()


def folder_of(path, words, changes):
    folder = RunFolder(path / "run")
    folder.freeze(compose(words))
    config = yaml.safe_load(folder.config_file.read_text())
    for key, value in changes.items():
        *above, last = key.split(".")
        node = config
        for name in above:
            node = node[name]
        if value is GONE:
            del node[last]
        else:
            node[last] = value
    folder.config_file.write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", 1_000_000_000),
        ("backbone.depth", 10_000_000),
        ("data.num_workers", 5_000),
        ("backbone", GONE),
        ("backbone.patch_size", None),
        ("backbone._target_", 5),
        ("backbone.dim", "x"),
        ("backbone._target_", "os.system"),
    ],
)
def test_odd_values_are_refused_with_the_file_and_the_key(tmp_path, key, value):
    folder = folder_of(tmp_path, SMALL, {key: value})
    for use in (vit.load, lambda run: export(run, str(tmp_path / "out.safetensors"))):
        with pytest.raises(Refused) as refused:
            use(str(folder.path))
        messages = str(refused.value)
        assert str(folder.config_file) in messages and key in messages, messages


def test_settings_that_answers_depend_on_are_checked_without_the_tasks_module(tmp_path):
    words = ["task=text_to_text", "head=text_decoder", "backbone=text", "data=number_words"]
    folder = folder_of(tmp_path, [*words, *SMALL[1:]], {"task.beams": "many"})
    with pytest.raises(Refused, match=r"task\.beams: is 'many'; wanted a whole number"):
        vit.load(str(folder.path))


def test_configs_from_before_there_were_newer_keys_are_taken(tmp_path):
    newer = ["watch", "checkpoint.keep_last", "checkpoint.keep_best"]
    words = [*SMALL]
    present = compose(words)
    gone = {
        key: GONE for key in newer if key.split(".")[-1] in {**present, **present["checkpoint"]}
    }
    folder = folder_of(tmp_path, words, gone)
    assert stored_config(folder) == without_fetching(folder.config())


def test_a_files_word_starts_no_download(tmp_path):
    root = tmp_path / "nowhere"
    words = ["data=fashion_mnist", *SMALL[1:], f"data.root={root}", "data.download=true"]
    folder = folder_of(tmp_path, words, {})
    assert folder.config()["data"]["download"] is True
    assert stored_config(folder)["data"]["download"] is False
    with pytest.raises(Refused, match="is not in"):
        predict_split(str(folder.path), "test", "best", "cpu")
    assert not root.exists()


def test_downloads_within_parts_are_left_out_too():
    config = {"data": {"of": [{"download": True, "name": "a"}]}, "name": "b"}
    left = {"data": {"of": [{"download": False, "name": "a"}]}, "name": "b"}
    assert without_fetching(config) == left


def test_wandb_is_never_that_of_the_current_folder(tmp_path, monkeypatch):
    started = []

    def note(words, **_):
        started.append(words)
        return subprocess.CompletedProcess(words, 1, "", "")

    monkeypatch.setattr(subprocess, "run", note)
    monkeypatch.setattr(leet, "link_wandb", lambda folder: tmp_path)
    monkeypatch.setattr(leet.sys.stdout, "isatty", lambda: True, raising=False)
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "run-1.wandb").touch()
    leet.main([str(tmp_path)])
    sync._upload(tmp_path, [tmp_path], again=False)
    assert len(started) == 2
    assert all(words[1:4] == ["-P", "-m", "wandb"] for words in started)


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "metrics.jsonl"])
def test_what_is_left_of_a_run_without_its_config_is_gone_on_with_by_no_command(tmp_path, name):
    config = compose(SMALL)
    folder = RunFolder(tmp_path)
    folder.refuse_conflicts(config)
    left = tmp_path / name
    left.parent.mkdir(exist_ok=True)
    left.touch()
    with pytest.raises(Refused, match=r"config\.yaml is gone"):
        folder.refuse_conflicts(config)
