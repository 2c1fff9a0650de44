"""A trial's file and its row say the same as plain values, in the order that programs know."""

import json

from vit.sweeps.ledger import Ledger
from vit.sweeps.trial import note_attempt
from vit.sweeps.trial_row import TrialRecord


def test_a_record_is_what_its_file_says(tmp_path, make_trial):
    ledger, trial = Ledger(tmp_path), make_trial(depth="4")
    ledger.enter(trial)
    file = trial.run_dir / "trial.json"
    planned = json.loads(file.read_text())
    assert list(planned) == [
        *("schema_version", "id", "group", "label", "point", "seed", "overrides", "cost", "facts")
    ]
    assert TrialRecord.from_plain(planned).to_plain() == planned
    note_attempt(trial.folder, started=1.0, pid=7)
    begun = json.loads(file.read_text())
    assert TrialRecord.from_plain({**begun, "of_a_later_version": 1}).to_plain() == begun


def test_a_row_has_its_keys_in_the_order_that_programs_know(tmp_path, make_trial, finish):
    ledger, trial = Ledger(tmp_path), make_trial(depth="4")
    ledger.enter(trial)
    finish(trial, 0.5)
    (row,) = ledger.rows()
    plain = json.loads(json.dumps(row.to_plain()))
    assert list(plain) == [
        *("id", "label", "group", "point", "seed", "state", "overrides", "metrics", "counted"),
        *("epochs", "train_seconds", "attempts", "kind", "error", "log_tail", "adapted", "cost"),
        *("run_dir", "outdated"),
    ]
    assert (plain["run_dir"], plain["state"]) == (str(trial.run_dir), "done")
    assert plain["metrics"] == {"val/accuracy": 0.5} and plain["outdated"] == []
