"""A trial whose files cannot be read is named, and stops neither the others nor the sweep."""

import io
import json
import os
import shutil

import pytest
from rich.console import Console

from vit.cli.main import main
from vit.faults import Refused
from vit.runs.claim import claim, owner
from vit.runs.identity import trial_id
from vit.runs.writing import drop_cut_line, write_json
from vit.sweeps.board import Board
from vit.sweeps.clean import free
from vit.sweeps.driver import Driver
from vit.sweeps.folders import reuse_folders
from vit.sweeps.ledger import Ledger
from vit.sweeps.policy import Policy
from vit.sweeps.samplers import Grid, Planned
from vit.sweeps.trial import TrialOptions, run_trial
from vit.sweeps.trial_row import is_over


@pytest.fixture
def swept(tmp_path, make_trial, finish):
    """Three trials that are done, in a ledger."""
    ledger = Ledger(tmp_path / "sweep")
    ledger.path.mkdir()
    trials = []
    for name in "abc":
        trial = make_trial(name, depth="4")
        trial.run_dir = ledger.path / trial.label
        ledger.enter(trial)
        finish(trial, 0.5)
        trial.folder.checkpoints.mkdir()
        (trial.folder.checkpoints / "last.ckpt").write_bytes(b"x" * 1000)
        trials.append(trial)
    objective = {"metrics": ["val/accuracy"], "modes": ["max"]}
    record = {"schema_version": 1, "objective": objective, "trials": [t.id for t in trials]}
    write_json(ledger.sweep_file, {**record, "command": "vit train -m"})
    return ledger, trials


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "holds a run and no trial.json"),
        ("", "is empty"),
        ('{"id": "a", "lab', "cut short"),
        ('{"id": "a"}', "has no 'group'"),
        ('{"id": "a", "group": "g", "label": 5, "seed": 0, "overrides": {}}', "label=5"),
        ('{"schema_version": 2}', "schema_version is 2; this vit reads 1"),
    ],
)
def test_a_lost_or_odd_record_is_named_and_the_others_are_shown(swept, capsys, text, why):
    ledger, trials = swept
    file = trials[0].run_dir / "trial.json"
    file.unlink()
    if text is not None:
        file.write_text(text)
    rows, odd = ledger.read()
    assert [row.label for row in rows] == ["b-0", "c-0"]
    assert len(odd) == 1 and why in str(odd[0]) and "a-0" in odd[0].where
    assert main(["sweep", "status", str(ledger.path)]) == 0
    said = capsys.readouterr().out
    assert "cannot be read" in said and why in said and "b-0" in said
    assert main(["sweep", "list", str(ledger.path.parent)]) == 0
    assert "2 done, 1 that cannot be read" in capsys.readouterr().out
    assert main(["clean", str(ledger.path), "--keep", "0", "--dry-run"]) == 0
    assert "left alone" in capsys.readouterr().out
    assert main(["sweep", "status", str(ledger.path), "--json"]) == 0
    assert why in json.loads(capsys.readouterr().out)["unreadable"][0]["message"]


@pytest.mark.parametrize("text", ["", '{"schema_version": 1, "metr', '{"metrics": [1]}', None])
def test_a_done_trial_without_readable_results_goes_on(swept, capsys, text):
    ledger, trials = swept
    file = trials[0].folder.results_file
    file.unlink()
    if text is not None:
        file.write_text(text)
    found = {row.label: row for row in ledger.rows()}["a-0"]
    assert found.state == "cut off" and not is_over(found)
    assert "metrics.json" in found.error
    main(["sweep", "status", str(ledger.path)])
    assert "metrics.json" in capsys.readouterr().out.replace("\n", "")


def test_a_trial_whose_record_was_lost_keeps_its_folder(swept, make_trial):
    ledger, trials = swept
    config = {**trials[0].config, "data": {"root": "/x", "batch_size": 4}}
    folder = ledger.path / "another_label-0"
    trials[0].run_dir.rename(folder)
    trials[0].run_dir = folder
    (folder / "config.yaml").write_text(json.dumps(config))
    write_json(folder / "stamp.json", {"data": {"fingerprint": "f00"}})
    (folder / "trial.json").write_text('{"id": ')
    again = make_trial("a", depth="4")
    again.id = trial_id(config, "f00")
    rows, odd = ledger.read()
    (note,) = reuse_folders([again], {row.id: row for row in rows}, odd)
    assert again.run_dir == folder and again.label == "another_label-0"
    assert "its config tells which trial it is" in note
    assert again.folder.is_done()  # so nothing is trained anew


def test_a_folder_that_cannot_be_read_fails_its_trial_and_not_the_sweep(
    swept, make_trial, finish, objective
):
    from test_driver import Pretended

    ledger, trials = swept
    (trials[0].run_dir / "config.yaml").write_text("[" * 100_000)
    trials[1].folder.log_file.symlink_to("/dev/zero")
    (trials[2].run_dir / "trial.json").unlink()
    said = io.StringIO()
    board = Board("sweep", Console(file=said, width=300))
    own = claim(ledger.path)
    executor = Pretended({}, finish)
    policy = Policy(sampler=Grid(), executor=executor)
    code = Driver(ledger, policy, Planned(trials), objective, board, own).run([])
    own.release()
    assert code == 1 and executor.started == ["c-0"]
    assert "nested deeper than 100" in said.getvalue()
    assert "leads out of" in said.getvalue().replace("\n", "")


def test_nothing_is_trained_where_a_link_leads_out(swept, tmp_path):
    _, trials = swept
    outside = tmp_path / "precious"
    outside.mkdir()
    shutil.rmtree(trials[0].folder.checkpoints)
    trials[0].folder.checkpoints.symlink_to(outside)
    with pytest.raises(Refused, match="leads out of"):
        run_trial(trials[0].run_dir, TrialOptions())
    assert not list(outside.iterdir())


def test_checkpoints_behind_a_link_are_named_and_left(swept, objective, tmp_path, capsys):
    ledger, trials = swept
    scratch = tmp_path / "scratch"
    trials[0].folder.checkpoints.rename(scratch)
    trials[0].folder.checkpoints.symlink_to(scratch)
    shards = tmp_path / "elsewhere"
    (shards / "step-1").mkdir(parents=True)
    (shards / "step-1" / "precious").write_text("mine")
    (trials[1].folder.checkpoints / "shards").symlink_to(shards)
    words = ["clean", str(ledger.path), "--keep", "0"]
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert f"is a link, to {scratch}" in said and f"is a link, to {shards}" in said
    assert "1kB would be freed" in said
    assert main(words) == 0
    assert (scratch / "last.ckpt").exists() and (shards / "step-1" / "precious").exists()
    assert not (trials[2].folder.checkpoints / "last.ckpt").exists()
    assert free(ledger, objective, 0) == 0


def test_a_trial_that_lies_elsewhere_is_named_and_nothing_of_it_removed(swept, tmp_path):
    ledger, trials = swept
    elsewhere = tmp_path / "other_sweep_trial"
    trials[0].run_dir.rename(elsewhere)
    trials[0].run_dir.symlink_to(elsewhere)
    rows, odd = ledger.read()
    assert len(rows) == 2 and "leads out of" in str(odd[0])
    main(["clean", str(ledger.path), "--keep", "0"])
    assert (elsewhere / "checkpoints" / "last.ckpt").exists()


def test_claims_behind_a_link_or_of_no_shape_are_nobodys(tmp_path):
    sweep, outside = tmp_path / "sweep", tmp_path / "outside"
    sweep.mkdir()
    outside.mkdir()
    (sweep / ".claims").symlink_to(outside)
    assert owner(sweep) is None
    with pytest.raises(Refused, match="leads out of"):
        claim(sweep)
    assert not list(outside.iterdir())
    (sweep / ".claims").unlink()
    (sweep / ".claims").mkdir()
    for name in ("x.json", "000001.json", "9.json"):
        (sweep / ".claims" / name).write_text('{"pid": "x"}')
    os.utime(sweep / ".claims" / "000001.json", (0, 0))
    assert owner(sweep) is None
    assert claim(sweep).file.name == "000002.json"


def test_a_journal_whose_last_line_was_cut_goes_on(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / "study.journal"

    def study():
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        storage = optuna.storages.JournalStorage(backend)
        return optuna.create_study(storage=storage, study_name="s", load_if_exists=True)

    for value in (1.0, 2.0):
        first = study()
        first.tell(first.ask().number, value)
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    drop_cut_line(file)
    assert whole.startswith(file.read_bytes()) and file.read_bytes().endswith(b"\n")
    again = study()
    again.tell(again.ask().number, 3.0)
    assert [trial.value for trial in study().get_trials()] == [1.0, None, 3.0]


def test_only_what_was_cut_is_dropped(tmp_path):
    file = tmp_path / "lines"
    drop_cut_line(file)
    assert not file.exists()
    for text, left in ((b"", b""), (b"a\n", b"a\n"), (b"a\nb", b"a\n"), (b"x" * 200_000, b"")):
        file.write_bytes(text)
        drop_cut_line(file)
        assert file.read_bytes() == left
    file.write_bytes(b"a\n" + b"x" * 200_000)
    drop_cut_line(file)
    assert file.read_bytes() == b"a\n"
