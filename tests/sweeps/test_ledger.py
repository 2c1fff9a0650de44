import csv
import json
import time

from vit.faults import Fault
from vit.runs.claim import claim
from vit.runs.writing import write_json
from vit.sweeps.clean import free
from vit.sweeps.follow import Follower
from vit.sweeps.ledger import Ledger, changes, counts
from vit.sweeps.outcomes import finite
from vit.sweeps.plan import merged, readable, summarize_faults
from vit.sweeps.results import write_results
from vit.sweeps.trial import note_attempt


def test_rows_hold_each_trial_in_the_order_of_the_plan(tmp_path, make_trial, finish):
    ledger = Ledger(tmp_path)
    b, a = make_trial("b", depth="4"), make_trial("a", depth="8")
    for trial in (a, b):
        ledger.enter(trial)
    write_json(ledger.sweep_file, {"trials": [b.id, a.id]})
    finish(b, 0.5)
    rows = ledger.rows()
    assert [row.label for row in rows] == ["b-0", "a-0"]
    assert [row.state for row in rows] == ["done", "planned"]
    assert rows[0].metrics == {"val/accuracy": 0.5}
    assert counts(rows) == {"planned": 1, "done": 1}


def test_a_running_trial_without_an_owner_was_cut_off(tmp_path, make_trial):
    ledger, trial = Ledger(tmp_path), make_trial()
    ledger.enter(trial)
    trial.folder.set_state("running")
    assert ledger.rows()[0].state == "cut off"
    held = claim(trial.run_dir)
    assert ledger.rows()[0].state == "running"
    held.release()


def test_a_ledger_of_a_thousand_trials_opens_within_a_second(
    tmp_path, make_trial, finish, slowness
):
    ledger = Ledger(tmp_path)
    for number in range(1000):
        trial = make_trial("t", seed=number, depth="4")
        ledger.enter(trial)
        finish(trial, 0.5)
    opened, read = [], []
    for _ in range(3):
        began = time.process_time()
        assert len(ledger.rows()) == 1000
        opened.append(time.process_time() - began)
        began = time.process_time()
        for file in tmp_path.glob("*/*.json"):
            json.loads(file.read_text())
        read.append(time.process_time() - began)
    print(f"opened in {min(opened):.2f} s, the same files read alone in {min(read):.2f} s")
    # Or, where everything is slow just now, in a few times what reading alone takes.
    assert min(opened) < max(1.0 * slowness, 6 * min(read))


def test_results_hold_a_row_a_trial_and_no_formula(tmp_path, make_trial, finish, objective):
    ledger, trial = Ledger(tmp_path), make_trial(**{"optim.name": "=1+1"})
    ledger.enter(trial)
    finish(trial, 0.5)
    write_results(ledger, ledger.rows(), objective)
    (row,) = csv.DictReader(ledger.results_file.read_text().splitlines())
    assert row["val/accuracy"] == "0.5"
    assert row["optim.name"] == "'=1+1"
    assert row["state"] == "done" and row["train_seconds"] == "6.0"


def test_other_code_data_or_packages_are_named():
    now = {
        "code": {"vit": "b", "packages": {"torch": "2"}},
        "data": {"k": "new"},
        "objective": {"metrics": ["m"]},
        "space": None,
    }
    assert changes(now, now) == []
    before = json.loads(json.dumps(now))
    before["code"] = {"vit": "a", "packages": {"torch": "1"}}
    before["data"] = {"k": "old"}
    said = " ".join(changes(before, now))
    assert "code of vit" in said and "torch 1 → 2" in said and "old → new" in said


def test_equal_trials_are_merged_and_said(make_trial):
    kept, notes = merged([make_trial(depth="4"), make_trial(depth="04")])
    assert len(kept) == 1
    assert notes == ["depth=04 is the same run as a-0"]


def test_a_fault_of_some_trials_names_them_and_one_of_all_does_not():
    every, some = Fault("data", "gone"), Fault("backbone.heads", "5 does not divide")
    lines = [str(fault) for fault in summarize_faults([("h=4", [every]), ("h=5", [every, some])])]
    assert lines == ["data: gone", "backbone.heads: 5 does not divide [h=5]"]


def test_labels_are_plain_file_names():
    assert readable({"backbone.depth": "4", "seed": "0"}) == "depth_4-seed_0"
    assert readable({"optim.lr": "0.00118052264500058"}) == "lr_0.001181"
    assert readable({"data.root": "/a b/$(c)'"}) == "root__a_b_c"
    assert readable({}) == "trial"
    assert len(readable({"a": "x" * 500})) <= 60


def test_only_the_best_trials_keep_their_checkpoints(tmp_path, make_trial, finish, objective):
    ledger = Ledger(tmp_path)
    for seed, accuracy in enumerate([0.1, 0.9, 0.5]):
        trial = make_trial(seed=seed)
        ledger.enter(trial)
        finish(trial, accuracy)
        trial.folder.checkpoints.mkdir()
        trial.folder.best_checkpoint.write_bytes(b"12345")
        (trial.folder.checkpoints / "best-step-000001-0.1.ckpt").hardlink_to(
            trial.folder.best_checkpoint
        )
        shard = trial.folder.checkpoints / "shards" / "step-000001-a" / "1.safetensors"
        shard.parent.mkdir(parents=True)
        shard.write_bytes(b"123")
    going = make_trial(seed=3)
    ledger.enter(going)
    going.folder.checkpoints.mkdir()
    going.folder.last_checkpoint.write_bytes(b"12345")
    assert free(ledger, objective, 1, dry_run=True) == 16  # links count once
    assert free(ledger, objective, 1) == 16
    left = {file.parent.parent.name for file in tmp_path.glob("*/checkpoints/*")}
    assert left == {"a-1", "a-3"}


def test_a_running_trials_validations_are_read_once_even_when_it_repeats_itself(make_trial):
    from vit.runs.record import Recorder

    trial = make_trial()
    trial.run_dir.mkdir()
    follower, recorder = Follower(trial, "val/accuracy"), Recorder(trial.folder.metrics_file)
    assert follower.look() == []
    recorder.write(2, 0, {"val/accuracy": 0.1}, {})
    recorder.write(3, 0, {"train/loss": 1.0}, {})
    assert follower.look() == [(1, 0.1)]
    recorder.write(2, 0, {"val/accuracy": 0.1}, {})
    with trial.folder.metrics_file.open("a") as file:
        file.write('{"step": 4, "cut o')
    assert follower.look() == []
    recorder.write(4, 1, {"val/accuracy": 0.2}, {})
    assert follower.look() == [(2, 0.2)]
    assert follower.part_done == 0.4


def test_numbers_that_are_none_are_passed_over(tmp_path, make_trial, finish, objective):
    ledger, trial = Ledger(tmp_path), make_trial()
    ledger.enter(trial)
    finish(trial, 0.5)
    results = trial.folder.results()
    write_json(trial.folder.results_file, {**results, "metrics": {"val/accuracy": "nan"}})
    assert finite(ledger.rows()[0].metrics, "val/accuracy") is None
    assert free(ledger, objective, 0) == 0


def test_folders_that_hold_something_else_are_no_trials(tmp_path):
    for name, text in (("a", "[]"), ("b", "{}"), ("c", "\x00 no json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trial.json").write_text(text)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "trial.json").write_bytes(b"\xff\xfe")
    assert Ledger(tmp_path).rows() == []


def test_one_wrong_value_of_a_trial_loses_none_of_the_others(tmp_path, make_trial):
    ledger, trial = Ledger(tmp_path), make_trial()
    ledger.enter(trial)
    file = trial.run_dir / "trial.json"
    whole = json.loads(file.read_text())
    write_json(file, {**whole, "cost": "1e400", "attempts": [{"started": 1.0}, 3]})
    note_attempt(trial.folder, started=2.0, pid=7)
    noted = json.loads(file.read_text())
    assert {**noted, "cost": whole["cost"], "attempts": None} == {**whole, "attempts": None}
    assert noted["attempts"] == [{"started": 1.0}, {"started": 2.0, "pid": 7}]
    ledger.enter(trial)
    assert json.loads(file.read_text()) == {**whole, "attempts": noted["attempts"]}
    assert ledger.rows()[0].label == whole["label"]
