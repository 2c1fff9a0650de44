"""What a stranger's file cannot bring about: code from beside, words that leave this machine."""

import argparse
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import vit
from vit.cli import run
from vit.cli import sweep as sweep_command
from vit.cli.again import Again
from vit.cli.compose import compose
from vit.faults import Refused
from vit.jobs import fitting, training
from vit.jobs.training import train
from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.environment import GRANTED, FromEnvironment, granted_by
from vit.runs.tracking import Wandb, run_id
from vit.runs.writing import write_json
from vit.sweeps.ledger import Ledger
from vit.sweeps.sweep import Sweep

PLANTED = ["psutil", "yaml", "hydra", "apex", "rich"]


@pytest.fixture(autouse=True)
def nobody_is_trusted(monkeypatch, tmp_path):
    monkeypatch.delenv("VIT_ALLOW_TARGETS", raising=False)
    monkeypatch.chdir(tmp_path)


@functools.cache
def small():
    words = ["backbone.depth=1", "backbone.dim=16", "backbone.heads=2"]
    return compose(["experiment=digits", "tracking=none", *words])


def stranger(folder, **parts):
    """A run folder that somebody sent."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({**small(), **parts}))
    return folder


def begun(place, *words, folder=None):
    place.mkdir(parents=True)
    told = {"path": str(place), "folder": folder or str(Path.cwd()), "command": "vit train"}
    told["arguments"] = ["-m", "experiment=digits", "seed=0,1", *words]
    told["objective"] = {"metrics": ["val/accuracy"], "modes": ["max"]}
    write_json(place / "sweep.json", {"schema_version": 1, **told})
    return Ledger(place)


def given(*words):
    told = {"words": list(words), "config_dir": None, "config_name": None, "allow_target": []}
    return argparse.Namespace(**told, allow_changed=False)


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


@pytest.mark.parametrize("words", [["sweep", "list"], ["report", "nowhere"]])
def test_nor_by_the_script_that_is_installed(tmp_path, words):
    plant(tmp_path, "typing", "contextlib")
    path = f"{Path(vit.__file__).parents[1]}{os.pathsep}"
    code = f"import sys\nfrom vit.cli.main import main\nmain({words})"
    script = tmp_path / "bin" / "vit"
    script.parent.mkdir()
    script.write_text(code)
    told = child([str(script)], tmp_path, PYTHONPATH=path)
    assert "Traceback" not in told.stderr, told.stderr
    assert not (tmp_path / "marker").exists()


def test_a_module_of_the_users_that_imports_vit_keeps_its_folder(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "__init__.py").write_text("import vit\n")
    (tmp_path / "tools" / "run.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text("print('found')\n")
    assert child(["-m", "tools.run"], tmp_path).stdout == "found\n"


# What leaves this machine.


def sends(mode="online", **more):
    return {"_target_": "vit.runs.tracking.Wandb", "mode": mode, "entity": "stranger", **more}


def test_a_folder_that_would_be_sent_away_says_where_and_wants_the_users_word(
    tmp_path, monkeypatch
):
    folder = stranger(tmp_path / "run", tracking=sends(), threads=1)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(Refused, match=r"to stranger on W&B.*add --online"):
        run.main([str(folder)])
    sent = []
    monkeypatch.setattr("vit.jobs.training.train", lambda *given: sent.append(given) or 0)
    assert run.main([str(folder), "--online"]) == 0
    monkeypatch.setenv("WANDB_MODE", "online")
    assert run.main([str(folder)]) == 0 and len(sent) == 2
    monkeypatch.setenv("WANDB_MODE", "offline")
    (folder / "config.yaml").write_text(
        yaml.safe_dump({**small(), "tracking": sends("${oc.env:WANDB_MODE_OF_NOBODY,online}")})
    )
    with pytest.raises(Refused, match="to stranger"):
        run.main([str(folder)])


def test_a_tracker_gets_no_variable_that_only_a_file_asks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "a private word")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv(GRANTED, raising=False)
    notes = {"notes": "${oc.env:SECRET}", "tags": ["${oc.env:SECRET}"]}
    asked = sends("${oc.env:WANDB_MODE}", **notes)
    folder = stranger(tmp_path / "run", tracking=asked, threads=1, name="${oc.env:SECRET}")
    got = []

    def take(self, run_dir, config):
        got.append((self.mode, self.notes, self.tags, config["tracking"]["notes"]))
        raise FloatingPointError

    monkeypatch.setattr(Wandb, "logger", take)
    monkeypatch.setattr(fitting, "assemble_data", lambda *_: pytest.fail("too far"))
    logger = lambda job: job.tracking.logger(job.folder.path, job.config)  # noqa: E731
    monkeypatch.setattr(training, "fit", logger)
    train(folder)
    text = "${oc.env:SECRET}"
    assert got == [("disabled", text, [text], text)]
    mine = compose(["experiment=digits", "tracking=wandb", f"tracking.notes={text}"])["tracking"]
    assert granted_by(mine) == {GRANTED: "SECRET"}
    monkeypatch.setenv(GRANTED, "SECRET")
    train(folder)
    assert got[1][1:] == ("a private word", ["a private word"], "a private word")


def test_the_id_on_the_server_holds_no_value_of_a_variable(tmp_path, monkeypatch):
    named = FromEnvironment("private", "${oc.env:SECRET}")
    assert "private" not in run_id(tmp_path, {"name": named})


@pytest.mark.parametrize(
    "word",
    [
        "tracking.notes=${oc.env:SECRET}",
        "name=${oc.decode:${oc.env:SECRET}}",
        "experiment=../../../../tmp/x",
        "+backbone@head=../x",
        "'data=[../x]'",
        "+../x=y",
    ],
)
def test_words_of_a_file_that_read_elsewhere_want_to_be_given_again(tmp_path, word):
    word = word.strip("'")
    ledger = begun(tmp_path / "sweep", word)
    with pytest.raises(Refused, match="give them again"):
        Again(ledger, given())
    Again(ledger, given(word))


def test_where_the_data_lie_may_come_from_the_environment(tmp_path):
    words = ["data.root=${oc.env:PHOTOS}", "data.path=../photos", "optim.lr=0.1"]
    Again(begun(tmp_path / "sweep", *words, "tracking.mode=${oc.env:WANDB_MODE,offline}"), given())


def test_a_sweep_that_would_be_sent_away_wants_the_users_word(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    sweep = argparse.Namespace(
        base=argparse.Namespace(config={"tracking": {}}),
        trials=[argparse.Namespace(config={"tracking": sends()})],
    )
    with pytest.raises(Refused, match=r"to stranger on W&B.*add tracking\.mode=online"):
        Sweep.refuse_uploads(sweep)
    monkeypatch.setenv("WANDB_MODE", "online")
    Sweep.refuse_uploads(sweep)


def test_trusted_packages_are_not_those_of_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_ALLOW_TARGETS", "mypackage.parts")
    there = tmp_path / "there"
    there.mkdir()
    ledger = begun(tmp_path / "sweep", folder=str(there))
    Again(ledger, given())
    (there / "mypackage").mkdir()
    with pytest.raises(Refused, match=r"mypackage lies.*go there first"):
        Again(ledger, given())
    monkeypatch.chdir(there)
    Again(ledger, given())


def test_a_retry_that_is_refused_forgets_no_failure(tmp_path, monkeypatch):
    ledger = begun(tmp_path / "sweep", f"hydra.sweep.dir={tmp_path}/precious")
    trial = RunFolder(stranger(ledger.path / "a"))
    told = {"id": "a", "group": "a", "label": "a", "seed": 0, "overrides": {}}
    write_json(trial.path / "trial.json", {"schema_version": 1, **told})
    trial.set_state("failed", kind="diverged")
    monkeypatch.setattr(process, "warm_up", lambda many=False: None)
    with pytest.raises(Refused, match="for another folder"):
        sweep_command.main(["retry", str(ledger.path), "a"])
    assert trial.state().kind == "diverged"
    monkeypatch.setattr(Again, "run", lambda self, begin: begin() or 7)
    assert sweep_command.main(["retry", str(ledger.path)]) == 7
    assert trial.state().name == "planned" and trial.state().kind is None
