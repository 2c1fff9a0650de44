"""`note`, `tags`, `init` and `extend` as commands take them."""

import json
import shlex

from commands import command
from tiny_runs import BRIEF

from vit.cli.train import _note_death
from vit.runs.directory import RunFolder


def test_a_run_that_another_command_trains_is_not_called_failed(tmp_path):
    folder = RunFolder(tmp_path)
    folder.set_state("running")
    with folder.locked():
        _note_death(folder, 2)
        assert folder.state().name == "running"
    _note_death(folder, 2)
    assert folder.state().name == "failed"


def test_a_finished_run_is_annotated_extended_and_started_from(tmp_path):
    def train(*words, code=0):
        return command("train", *BRIEF, *words, code=code, cwd=tmp_path)

    train("note=first, of all", "tags=[paper]")
    (run,) = (tmp_path / "runs").iterdir()
    name = f"runs/{run.name}"
    assert "its note and tags are these now" in train("note=second").stdout
    assert "note: second\ntags:\n- paper\n" in (run / "config.yaml").read_text()
    typed = shlex.join(["note=first, of all", "tags=[paper]"])
    assert json.loads((run / "stamp.json").read_text())["command"].endswith(typed)
    page = (run / "README.md").read_text()
    assert typed in page and "- **note**: second\n- **tags**: paper\n" in page

    told = train("extend=1")
    longer = f"{name}-extend1"
    assert f"extends     {name}, which stays as it is" in told.stdout
    assert "extended epoch 2; the schedule (cosine) is over, and lr" in " ".join(
        told.stdout.split()
    )
    assert "trained       2 epochs" in told.stdout
    assert f"{longer} is done already; nothing to do." in train("extend=1").stdout

    report = command("check", *BRIEF, f"init={name}", "--json", cwd=tmp_path).stdout
    init = json.loads(report)["init"]
    assert init["run"] == name and init["new"] == init["resized"] == init["left_out"] == 0
    faults = train("init=runs/none", "extend_lr_scale=0.5", code=2).stderr
    assert "there is no folder 'runs/none'" in faults
    assert "extend_lr_scale: is 0.5, and there is no extend" in faults
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {run.name, longer[5:]}
