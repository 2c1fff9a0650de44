"""Whose code may run: what the caller names, never what a folder says of itself."""

import argparse
import functools
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import vit
from vit.build import TargetError, locate
from vit.cli import attend, evaluate, export, predict, run
from vit.cli import sweep as sweep_command
from vit.cli.again import Again
from vit.cli.compose import compose
from vit.cli.reach import unconfirmed_reach
from vit.data.core.loading import worker_context
from vit.faults import Refused
from vit.jobs.evaluation import evaluate as evaluated
from vit.jobs.training import train
from vit.runs import launch, own_packages, process
from vit.runs.directory import RunFolder
from vit.runs.identity import config_hash
from vit.runs.stamp import stamp
from vit.runs.writing import write_json
from vit.sweeps import trial
from vit.sweeps.folders import watched_otherwise
from vit.sweeps.ledger import Ledger
from vit.sweeps.local import Local
from vit.sweeps.policy import Policy
from vit.sweeps.roles import Trial
from vit.sweeps.samplers import Grid
from vit.sweeps.search import Search
from vit.sweeps.slurm import Slurm
from vit.trained import load

SYSTEM = {"_target_": "os.system", "command": "touch marker"}


@pytest.fixture(autouse=True)
def nobody_is_trusted(monkeypatch, tmp_path):
    monkeypatch.delenv("VIT_ALLOW_TARGETS", raising=False)
    monkeypatch.chdir(tmp_path)


@functools.cache
def small():
    words = ["backbone.depth=1", "backbone.dim=16", "backbone.heads=2"]
    return compose(["experiment=digits", "tracking=none", *words])


def stranger(folder, **parts):
    """A run folder that somebody sent, with a checkpoint so that its parts would be built."""
    config = small()
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, **parts}))
    (folder / "checkpoints").mkdir()
    torch.save({"state_dict": {"w": torch.ones(1)}}, folder / "checkpoints" / "last.ckpt")
    return folder


@pytest.mark.parametrize("command", [evaluate, predict, attend, export, run])
def test_a_command_that_reads_a_run_asks_for_its_packages_first(tmp_path, command, monkeypatch):
    folder = stranger(tmp_path / "run", allow_targets=["os", "posix"], data=SYSTEM)
    monkeypatch.setattr(process, "warm_up", lambda: pytest.fail("went on"))
    words = {predict: ["x.png"], attend: ["x.png"]}.get(command, [])
    with pytest.raises(Refused, match="--allow-target os --allow-target posix") as told:
        command.main([str(folder), *words])
    assert "VIT_ALLOW_TARGETS=os,posix" in str(told.value)
    assert not (tmp_path / "marker").exists()


def test_load_says_what_to_give(tmp_path):
    folder = stranger(tmp_path / "run", allow_targets=["mypackage"])
    with pytest.raises(Refused, match=r"allow_targets=\['mypackage'\]"):
        vit.load(folder)


def inner(monkeypatch):
    """Stands for the function that trains a folder of the stranger's choice."""
    ran = []

    def run_trial(path, orders):
        ran.append(path)

    run_trial.__module__, run_trial.__qualname__ = "vit.sweeps.trial", "run_trial"
    monkeypatch.setattr(trial, "run_trial", run_trial)
    return ran


@pytest.mark.parametrize("part", ["data", "task", "backbone", "head"])
def test_a_run_whose_part_is_a_function_is_refused_when_it_is_loaded(tmp_path, monkeypatch, part):
    ran = inner(monkeypatch)
    evil = {"_target_": "vit.sweeps.trial.run_trial", "path": "x", "orders": None}
    folder = stranger(tmp_path / "run", **{part: evil})
    with pytest.raises(Refused, match=f"{part} takes"):
        load(folder)
    with pytest.raises(Refused, match=f"{part} takes"):
        evaluated(str(folder), None, None, "best", "cpu", ())
    assert ran == []


@pytest.mark.parametrize("part", ["tracking", "data", "optim"])
def test_a_run_whose_part_is_a_function_is_not_trained(tmp_path, monkeypatch, part):
    ran = inner(monkeypatch)
    evil = {"_target_": "vit.sweeps.trial.run_trial", "path": "x", "orders": None}
    folder = stranger(tmp_path / "run", **{part: evil, "threads": 1})
    (folder / "checkpoints" / "last.ckpt").unlink()
    assert train(folder) == 2
    assert RunFolder(folder).state().kind == "refused"
    assert ran == []


def test_a_launched_run_is_allowed_what_its_starter_trusts(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        process, "start", lambda *given: asked.append(given) or argparse.Namespace(pid=1)
    )
    folder = RunFolder(stranger(tmp_path / "run", allow_targets=["os"]))
    launch.launch(folder, folder.config(), {}, ("mypackage",))
    assert asked[0][1] == (folder.path, ("mypackage",))
    orders = Policy.orders(
        argparse.Namespace(retries=1, hang_minutes=1.0, halve_batch=False, grace_seconds=1.0), ["a"]
    )
    assert orders.allow_targets == ("a",)


# Files of configs.


def experiment(folder, text):
    folder.mkdir()
    (folder / "run.yaml").write_text(f"defaults: [train, _self_]\n{text}")
    return ["--config-dir", str(folder), "--config-name", "run"]


def test_packages_that_a_file_names_are_refused_unless_the_command_does(tmp_path, monkeypatch):
    words = experiment(tmp_path / "conf", "allow_targets: [mypackage]\nother: [mypackage]\n")
    with pytest.raises(Refused, match=r"add allow_targets=\[mypackage\]"):
        compose(words)
    with pytest.raises(Refused, match="mypackage"):  # a file's word by a roundabout way
        compose([*words, "allow_targets=${other}"])
    for word in ("allow_targets=[mypackage]", "++allow_targets=[mypackage,other]"):
        assert "mypackage" in compose([*words, word])["allow_targets"]
    monkeypatch.setenv("VIT_ALLOW_TARGETS", "mypackage, other")
    assert compose(words)["allow_targets"] == ["mypackage"]
    assert compose([])["allow_targets"] == []
    assert compose(["schedule._target_=other.Falling"])["allow_targets"] == ["other"]


def test_the_word_of_a_file_hides_no_other_fault(tmp_path):
    words = experiment(tmp_path / "conf", "allow_targets: [os]\nema:\n  _target_: os.system\n")
    with pytest.raises(Refused) as told:
        compose(words)
    assert told.value.rest is not None and told.value.rest["allow_targets"] == []


def test_trust_renames_no_run(tmp_path, monkeypatch):
    before = config_hash(compose([]))
    monkeypatch.setenv("VIT_ALLOW_TARGETS", "mypackage")
    assert config_hash(compose([])) == before
    assert config_hash(compose(["allow_targets=[mypackage]"])) == before


# Sweeps.


def begun(place, *words, **told):
    place.mkdir(parents=True)
    arguments = ["-m", "experiment=digits", "seed=0,1", *words]
    told = {"arguments": arguments, "folder": str(Path.cwd()), "command": "vit train", **told}
    objective = {"metrics": ["val/loss"], "modes": ["min"]}
    told |= {"schema_version": 1, "path": str(place), "objective": objective}
    write_json(place / "sweep.json", told)
    return Ledger(place)


def given(*words, **more):
    told = {"words": list(words), "config_dir": None, "config_name": None, "allow_target": []}
    told["allow_changed"] = False
    return argparse.Namespace(**{**told, **more})


@pytest.mark.parametrize(
    "words, confirmed",
    [
        (["allow_targets=[os,posix]"], given("allow_targets=[os,posix]")),
        (["++allow_targets=[os]"], given(allow_target=["os"])),
        (["allow_targets=${x}"], given("allow_targets=${x}")),
        (["hydra.searchpath=[file:///evil]"], given("hydra.searchpath=[file:///evil]")),
        (["--config-dir", "/evil"], given(config_dir="/evil")),
        (["-cd", "evil", "-cn", "sweep"], given(config_dir="evil")),
        (["--config-name", "../evil"], given(config_name="../evil")),
    ],
)
def test_words_that_widen_trust_want_to_be_given_again(tmp_path, words, confirmed):
    ledger = begun(tmp_path / "sweep", *words)
    with pytest.raises(Refused, match="give them again: vit sweep resume"):
        Again(ledger, given())
    Again(ledger, confirmed)


def test_a_sweep_is_resumed_as_what_it_is(tmp_path, monkeypatch):
    Again(begun(tmp_path / "plain"), given())
    for words in (["hydra.run.dir=x"], "ls", [1]):
        ledger = begun(tmp_path / str(len(str(words))), arguments=words)
        with pytest.raises(Refused):
            Again(ledger, given())
    (tmp_path / "there" / "conf").mkdir(parents=True)
    ledger = begun(tmp_path / "elsewhere", folder=str(tmp_path / "there"))
    with pytest.raises(Refused, match="go there first"):
        Again(ledger, given())
    ledger = begun(tmp_path / "other", f"hydra.sweep.dir={tmp_path}/precious")
    with pytest.raises(Refused, match="for another folder"):
        Again(ledger, given()).run()
    assert not (tmp_path / "precious").exists()


def test_the_command_hands_on_what_was_given_again(tmp_path, monkeypatch):
    ledger = begun(tmp_path / "sweep", "allow_targets=[mine]")
    with pytest.raises(Refused, match=r"allow_targets=\[mine\]"):
        sweep_command.main(["resume", str(ledger.path)])
    ran = []
    monkeypatch.setattr(Again, "run", lambda self: ran.append(self._allowed) or 0)
    sweep_command.main(["resume", str(ledger.path), "--allow-target", "mine"])
    sweep_command.main(["resume", str(ledger.path), "--config-name", "x", "allow_targets=[mine]"])
    assert ran == [("mine",), ("mine",)]


def test_settings_that_reach_out_of_a_sweep_want_to_be_given_again():
    evil = Slurm(cluster="local", parameters={"local_setup": ["touch x"]})
    policy = Policy(sampler=Grid(), executor=evil)
    assert [fault.where for fault in unconfirmed_reach(policy, [])] == ["sweep.executor.parameters"]
    word = "sweep.executor.parameters={local_setup:['touch x']}"
    assert unconfirmed_reach(policy, [word]) == []
    assert unconfirmed_reach(policy, ["sweep.executor.parameters={a:1}"])
    searching = Policy(sampler=Search(storage="mysql://evil"), executor=Local())
    assert unconfirmed_reach(searching, [])[0].where == "sweep.sampler.storage"
    assert unconfirmed_reach(Policy(sampler=Grid(), executor=Local()), []) == []


def test_a_trial_that_was_there_runs_with_the_tracking_of_the_command(tmp_path):
    config = small()
    evil = {"_target_": "os.system", "command": "touch marker"}
    folder = tmp_path / "sweep" / "trial"
    stranger(folder, **{**config, "tracking": evil, "allow_targets": ["os"]})
    row = Trial("id", "group", "trial", folder, config, {}, {})
    told = watched_otherwise(row)
    assert any("tracking._target_: 'os.system', now" in line for line in told)
    assert any("allow_targets: ['os'], now []" in line for line in told)
    row.folder.freeze(config)
    frozen = row.folder.config()
    assert frozen["tracking"] == config["tracking"] and frozen["allow_targets"] == []
    assert watched_otherwise(row) == []


def test_a_watch_from_before_a_key_was_added_is_no_change(tmp_path):
    config = small()
    watch = {key: value for key, value in config["watch"].items() if key != "attention"}
    folder = stranger(tmp_path / "trial", **{**config, "watch": watch})
    assert watched_otherwise(Trial("id", "group", "trial", folder, config, {}, {})) == []


def test_the_git_folder_of_a_stranger_starts_nothing(tmp_path):
    def git(*words):
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *own, *words], check=True, capture_output=True)

    git("init")
    Path("a.txt").write_text("one")
    git("add", "a.txt")
    git("commit", "-m", "one")
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/marker\ncat\n")
    script.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "filter.x.clean"):
        git("config", name, str(script))
    git("config", "filter.x.required", "true")
    Path(".gitattributes").write_text("*.txt filter=x diff=x")
    Path("a.txt").write_text("two")
    (tmp_path / "marker").unlink(missing_ok=True)
    told = stamp([], {}, [])["git"]
    assert "+two" in told["diff"] and "evil.sh" in told["untracked"]
    assert not (tmp_path / "marker").exists()


# Imports.

PLANTED = ["psutil", "yaml", "hydra", "apex", "rich"]


def plant(folder, *more):
    for name in (*PLANTED, *more):
        (folder / f"{name}.py").write_text(
            f"open({str(folder / 'marker')!r}, 'a').write('{name} ')"
        )


def child(words, folder, **more):
    home = str(Path(vit.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": home, **more}
    environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_nothing_beside_the_command_is_imported(tmp_path):
    plant(tmp_path, "typing", "pathlib")  # a module of Python's own, too
    told = child(["-m", "vit", "run", "nowhere"], tmp_path)
    assert told.returncode == 2 and "no run folder" in told.stderr, told.stderr
    assert not (tmp_path / "marker").exists()


IMPORTS = """
from vit.runs import process
process.PRELOAD = []
process.warm_up()
try:
    process.call("importlib:import_module", "apex")
except RuntimeError as error:
    print(error)
"""


def test_a_relative_part_of_the_path_leads_no_child_here(tmp_path):
    plant(tmp_path)
    path = os.pathsep.join([str(Path(vit.__file__).parents[1]), ".", ""])
    told = child(["-m", "vit", "run", "nowhere"], tmp_path, PYTHONPATH=path)
    assert told.returncode == 2 and "no run folder" in told.stderr, told.stderr
    told = child(["-c", IMPORTS], tmp_path, PYTHONPATH=path)
    assert "No module named 'apex'" in told.stdout, told.stderr
    assert not (tmp_path / "marker").exists()


def test_only_the_packages_that_are_named_are_found_here(tmp_path, monkeypatch):
    plant(tmp_path)
    (tmp_path / "mine_alone.py").write_text("import apex\nclass Part: ...\n")
    (tmp_path / "mine_too.py").write_text("class Part: ...\n")
    with pytest.raises(TargetError, match="outside"):
        locate("mine_too.Part")
    with pytest.raises(TargetError, match="apex"):  # named by nobody, and so not found
        locate("mine_alone.Part", ["mine_alone"])
    assert locate("mine_too.Part", ["mine_too"])
    assert not (tmp_path / "marker").exists()
    assert str(tmp_path) not in sys.path and "" not in sys.path[1:]


@pytest.mark.slow
def test_a_worker_of_the_loader_finds_what_the_training_does(tmp_path):
    (tmp_path / "mine_in_workers.py").write_text(
        "from pathlib import Path\nclass Sample:\n    def __call__(self): Path('came').touch()\n"
    )
    part = locate("mine_in_workers.Sample", ["mine_in_workers"])()
    worker = worker_context().Process(target=part)
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0 and (tmp_path / "came").exists()
    assert own_packages.installed()
    assert multiprocessing.get_context("forkserver").Process is not type(worker)
