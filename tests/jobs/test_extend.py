"""A finished run goes on for more epochs, as a run of its own, as if it had never ended."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch

from vit.callbacks.heartbeat import Heartbeat
from vit.cli.compose import compose_runs
from vit.cli.train import parsed
from vit.faults import Refused
from vit.jobs.cleaning import clean
from vit.jobs.training import train
from vit.optim.schedules import Constant, Cosine, Extended
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder
from vit.runs.extension import begin, require_parent, without_epochs_added
from vit.runs.identity import differences
from vit.runs.record import read_records

WORDS = [
    "experiment=digits",
    "backbone.dim=8",
    "backbone.heads=2",
    "backbone.depth=1",
    "backbone.drop_path=0.1",
    "task.mixup=0.4",
    "task.mix_off_fraction=0.25",
    "ema=standard",
    "schedule.warmup_epochs=0.5",
    "checkpoint.every_n_steps=1",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.log_every_n_steps=1",
    "tracking=none",
]
LONGER = ("extend=2", "extend_lr_scale=0.5")


def composed(home, *words):
    (run,) = compose_runs(parsed([*WORDS, f"hydra.run.dir={home}/short", *words]))
    return run


def trained(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(folder.path)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """With `short`, a finished run, and `whole`, the longer one trained without an end between."""
    home = tmp_path_factory.mktemp("runs")
    short = RunFolder(home / "short")
    short.freeze(composed(home).config)
    assert trained(short) == 0
    whole = RunFolder(home / "whole")
    whole.freeze(composed(home, *LONGER).config)
    assert trained(whole) == 0
    return home


def begun(home, name):
    run, folder, parent = composed(home, *LONGER), RunFolder(home / name), RunFolder(home / "short")
    require_parent(parent, folder, run.config)
    begin(folder, parent, run.config, {})
    return folder


def content(folder):
    """All that a number of the run is: weights, their average, optimizer, records, results."""
    saved = read_checkpoint(folder.last_checkpoint)
    kept = {key: saved[key] for key in ("state_dict", "trained_weights", "optimizer_states")}
    records = [(r.step, r.epoch, r.metrics) for r in read_records(folder.metrics_file)]
    best = read_checkpoint(folder.best_checkpoint)["state_dict"]
    results = folder.results()
    return kept, best, records, [results[key] for key in ("metrics", "best", "steps", "epochs")]


def require_same(a, b, where=""):
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            require_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for at, (one, other) in enumerate(zip(a, b, strict=True)):
            require_same(one, other, f"{where}[{at}]")
    else:
        assert a == b or (a != a and b != b), where


def every_file(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file): hashlib.sha1(file.read_bytes()).hexdigest() for file in files}


def test_a_longer_run_is_bit_for_bit_one_that_never_ended(home):
    before = every_file(home / "short")
    folder = begun(home, "longer")
    assert trained(folder) == 0
    assert every_file(home / "short") == before  # the finished run is left as it is
    require_same(content(folder), content(RunFolder(home / "whole")))
    assert folder.results()["epochs"] == 4 and folder.results()["steps"] == 12
    rates = [r.metrics["lr"] for r in read_records(folder.metrics_file) if r.step > 6]
    assert rates == pytest.approx([0.005, 0.004, 0.003, 0.002, 0.001, 0.0], abs=1e-9)
    assert json.loads(folder.stamp_file.read_text())["extends"]["run"] == str(home / "short")
    require_parent(RunFolder(home / "gone"), folder, composed(home, *LONGER).config)  # not asked


def test_cut_off_and_resumed_it_ends_alike(home, monkeypatch):
    folder = begun(home, "cut")
    on_batch_end = Heartbeat.on_train_batch_end

    def dies(self, trainer, *rest):
        if trainer.global_step == 8:  # in the middle of the first epoch that is added
            raise RuntimeError("cut off")
        on_batch_end(self, trainer, *rest)

    monkeypatch.setattr(Heartbeat, "on_train_batch_end", dies)
    assert trained(folder) == 1
    assert read_checkpoint(folder.last_checkpoint)["global_step"] == 7
    monkeypatch.undo()
    assert trained(folder) == 0
    require_same(content(folder), content(RunFolder(home / "whole")))


@pytest.mark.slow
def test_killed_and_resumed_it_ends_alike(home):
    folder = begun(home, "killed")
    command = [sys.executable, "-m", "vit", "run", str(folder.path)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while read_records(folder.metrics_file)[-1].step < 8:
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not folder.is_done()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    require_same(content(folder), content(RunFolder(home / "whole")))


def test_the_config_names_its_epochs_and_the_way_back(home):
    run, plain = composed(home, *LONGER), composed(home)
    assert run.run_dir == home / "short-extend2-lr0.5" and run.parent == home / "short"
    assert run.config["name"] == plain.config["name"] + "-extend2-lr0.5"
    assert run.config["trainer"]["max_epochs"] == 4
    assert differences(without_epochs_added(run.config), plain.config) == []
    (named,) = compose_runs(parsed([*WORDS, "name=mine", "extend=3"]))
    assert str(named.run_dir) == "runs/mine-extend3" and str(named.parent) == "runs/mine"


def _results(path, **changes):
    file = path / "metrics.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _state(path, state):
    file = path / "state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": state}))


@pytest.mark.parametrize(
    ("spoil", "words", "message"),
    [
        (shutil.rmtree, [], "the same words without extend name. Train it first"),
        (lambda path: _state(path, "stopped"), [], "is stopped; wanted a finished run"),
        (lambda path: (path / "trial.json").write_text("{}"), [], "is a trial of a sweep"),
        (lambda path: (path / "checkpoints/last.ckpt").unlink(), [], "last.ckpt is gone"),
        (lambda path: clean(str(path)), [], "short was cleaned (vit clean), which keeps weights"),
        (lambda path: (path / "metrics.json").unlink(), [], "metrics.json is not there"),
        (lambda path: _results(path, epochs=1), [], "ended after 1 of 2 epochs (patience)"),
        (lambda path: None, ["seed=3"], "another config; it differs in seed: 0, now 3"),
    ],
)
def test_what_cannot_be_extended_is_refused_in_words(home, tmp_path, spoil, words, message):
    shutil.copytree(home / "short", tmp_path / "short")
    spoil(tmp_path / "short")
    run = composed(tmp_path, *LONGER, *words)
    with pytest.raises(Refused) as refused:
        require_parent(RunFolder(run.parent), RunFolder(run.run_dir), run.config)
    assert message in str(refused.value) and refused.value.faults[0].where == "extend"
    assert not run.run_dir.exists()


def test_a_longer_run_that_lost_its_checkpoint_does_not_begin_from_nothing(home, tmp_path):
    run, folder = composed(home, *LONGER), RunFolder(tmp_path / "longer")
    begin(folder, RunFolder(home / "short"), run.config, {})
    assert [path.name for path in tmp_path.iterdir()] == ["longer"]  # and nothing half-made
    folder.last_checkpoint.unlink()
    with pytest.raises(Refused, match=r"lost its last\.ckpt"):
        require_parent(RunFolder(home / "short"), folder, run.config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trainer.max_steps=5"], "this training ends by trainer.max_steps=5"),
        (["trainer.max_epochs=-1"], "trainer.max_epochs is -1"),
    ],
)
def test_only_what_ends_by_epochs_gets_more_of_them(tmp_path, words, message):
    with pytest.raises(Refused, match=message):
        composed(tmp_path, *words, "extend=2")


@pytest.mark.parametrize("epochs", ["0", "-1", "1e9", "abc", "true", "1.5", "[1]"])
def test_what_is_no_number_of_epochs_is_refused_at_once(epochs):
    with pytest.raises(Refused, match="wanted a whole number of epochs from 1 on") as raised:
        compose_runs(parsed([*WORDS, f"extend={epochs}"]))
    assert [fault.where for fault in raised.value.faults] == ["extend"]
    assert raised.value.rest["extend"] is None  # no further fault comes of it


def test_a_sweep_is_not_extended(tmp_path):
    with pytest.raises(Refused, match="not for the trials of a sweep"):
        compose_runs(parsed([*WORDS, "-m", "seed=1,2", "extend=2"]))


def test_added_epochs_go_from_where_they_begin_to_where_the_schedule_ended():
    cosine = Cosine(final_lr_scale=0.2)
    rates = [Extended(cosine, 2).scale(at, 20, 5) for at in range(20)]
    assert rates[:10] == [cosine.scale(at, 10, 5) for at in range(10)]
    assert rates[10:] == pytest.approx([0.2] * 10)
    again = [Extended(cosine, 2, 0.65).scale(at, 20, 5) for at in (9, 10, 11, 19, 25)]
    assert again == pytest.approx([0.2, 0.65, 0.6, 0.2, 0.2])
    assert Extended(Constant(), 1).scale(10, 15, 5) == 1.0
    # Where it ended at 0 nothing would be learnt.
    assert [Extended(Cosine(), 1).scale(at, 15, 5) for at in (9, 10, 12, 14)] == pytest.approx(
        [0.0, 0.1, 0.05, 0.0]
    )
