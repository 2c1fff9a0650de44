"""Numbers that were counted in different ways are never compared, and that is said."""

import json

import pytest
from folders import make_run, put

from vit.cli import diff, report
from vit.cli.train import summary
from vit.review.reader import read_run
from vit.review.wandb_rows import as_ours
from vit.runs.counted import BEFORE, PICTURES_OWN_SIZE, TASK, going_on
from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.sweeps.ledger import Ledger, changes

NOW = {"miou": PICTURES_OWN_SIZE, "pixel_accuracy": PICTURES_OWN_SIZE}


def segmenter(folder, counted=None, **shown):
    """A finished run of a segmenter; in the old way where `counted` says nothing."""
    task = {"task": {"_target_": TASK}}
    run = make_run(folder, monitor="val/miou", old=False, more=task, **shown)
    for name in ("metrics.json", "stamp.json"):
        if counted and (run / name).is_file():
            put(run / name, {**read_json(run / name), "counted": counted})
    return run


@pytest.fixture
def runs(tmp_path):
    segmenter(tmp_path / "old", accuracy=0.95)
    segmenter(tmp_path / "old2", seed=1, accuracy=0.96)
    segmenter(tmp_path / "new", NOW, accuracy=0.85)
    segmenter(tmp_path / "between", going_on({}, NOW), accuracy=0.99)
    return tmp_path


def reported(capsys, *words):
    capsys.readouterr()
    assert report.main([*map(str, words), "--json", "--no-cache"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_way_has_a_board_of_its_own(runs, capsys):
    shown = reported(capsys, runs)
    boards = {board["title"]: [run["name"] for run in board["runs"]] for board in shown["boards"]}
    assert sorted(map(sorted, boards.values())) == [["between"], ["new"], ["old", "old2"]]
    both = f"{BEFORE}, then {PICTURES_OWN_SIZE}"
    assert {title.split("counted ")[1] for title in boards} == {BEFORE, PICTURES_OWN_SIZE, both}
    assert "how it was counted" in shown["about_boards"]
    assert len({run["configuration"] for run in shown["runs"]}) == 3  # never seeds of one


def test_runs_of_one_way_are_on_one_board_without_a_word(tmp_path, capsys):
    for seed in range(2):
        segmenter(tmp_path / f"new{seed}", NOW, seed=seed)
    shown = reported(capsys, tmp_path)
    assert shown["boards"] == [] and len(shown["configurations"]) == 1
    assert not any("counted" in note for note in shown["notes"])
    assert shown["configurations"][0]["label"] == "the only configuration"


def test_asked_for_by_name_old_numbers_are_left_out_with_a_word(runs, capsys):
    shown = reported(capsys, runs, "--metric", "val/miou")
    assert [run["name"] for run in shown["runs"]] == ["new"]
    (word,) = [note for note in shown["notes"] if note.startswith("left out")]
    assert "3 runs" in word and BEFORE in word and word.endswith(f"not {PICTURES_OWN_SIZE}")
    shown = reported(capsys, runs, "--metric", "train/loss")  # counted as ever
    assert len(shown["runs"]) == 4 and len(shown["configurations"]) == 3


def test_old_numbers_are_marked_even_where_there_are_no_others(runs, tmp_path, capsys):
    shown = reported(capsys, runs / "old", runs / "old2")
    (word,) = [note for note in shown["notes"] if "counted" in note]
    assert word.startswith(f"val/miou of 2 (old, old2) was counted {BEFORE}")
    assert any("counted" in note for note in reported(capsys, runs / "between")["notes"])
    metrics = {"metrics": {"test/miou": 0.9}, "epochs": 1, "timing": {"train_seconds": 1.0}}
    put(runs / "old" / "metrics.json", metrics)
    summary(RunFolder(runs / "old"))
    assert f"90.00%, counted {BEFORE}" in capsys.readouterr().out
    put(runs / "old" / "metrics.json", {**metrics, "counted": NOW})
    summary(RunFolder(runs / "old"))
    assert "counted" not in capsys.readouterr().out


def test_diff_names_what_it_does_not_compare(runs, capsys):
    assert diff.main([str(runs / "old"), str(runs / "new")]) == 1
    said = capsys.readouterr().out
    assert "not compared, since each run counted them in its own way: val/miou" in said
    found = diff.compare(runs / "old", runs / "new").recorded
    assert found.counted_otherwise == ["val/miou"] and found.metrics == []
    assert diff.compare(runs / "old", runs / "old2").recorded.metrics


def test_a_run_that_is_not_done_is_judged_by_its_stamp(tmp_path):
    run = segmenter(tmp_path / "running", NOW, state="stopped")
    assert read_run(run).counted == NOW
    assert read_run(segmenter(tmp_path / "begun long ago", state="stopped")).counted == {}


def test_odd_words_in_files_are_no_ways(tmp_path):
    for number, odd in enumerate(([1], "miou", {"miou": 3}, None)):
        run = segmenter(tmp_path / f"odd{number}")
        put(run / "metrics.json", {**read_json(run / "metrics.json"), "counted": odd})
        assert read_run(run).counted == {}


def test_what_only_wandb_knows_says_it_too():
    config, trial = as_ours({"seed": 1, "counted": NOW, "config_without_seed": "abc"})
    assert config == {"seed": 1} and trial == {"group": "abc", "counted": NOW}
    assert as_ours({"seed": 1}) == ({"seed": 1}, {})


def test_a_sweep_ranks_no_outdated_trials_beside_others(tmp_path):
    for number, counted in enumerate((None, NOW, NOW)):
        run = segmenter(tmp_path / f"t{number}", counted, seed=number)
        shown = {"id": f"t{number}", "label": run.name, "group": "g", "seed": number}
        put(run / "trial.json", {**shown, "overrides": {}})
        metrics = read_json(run / "metrics.json")
        metrics["metrics"]["val/loss"] = 1.0
        put(run / "metrics.json", metrics)
    old, new, _ = Ledger(tmp_path).rows()
    assert old.outdated == ["val/miou"] and "val/miou" not in old.metrics
    assert old.metrics["val/loss"] == 1.0
    assert new.outdated == [] and "val/miou" in new.metrics
    for number in (1, 2):
        put(tmp_path / f"t{number}" / "state.json", {"state": "planned"})
    old = Ledger(tmp_path).rows()[0]  # alone it is shown as it was
    assert old.outdated == [] and "val/miou" in old.metrics


def test_a_sweep_that_was_begun_in_the_old_way_was_begun_with_something_else():
    now = {"code": {"vit": "b", "packages": {}}, "data": {}, "objective": {}, "counted": NOW}
    before = {"code": {"vit": "a", "packages": {}}, "data": {}, "objective": {}}
    (code, counted) = changes(before, now)
    assert code == "the code of vit"
    assert counted == f"miou, pixel_accuracy counted {BEFORE}, now {PICTURES_OWN_SIZE}"
    assert changes({**now}, now) == []
    plain = {**now, "counted": {}}
    assert changes({**before, "code": plain["code"]}, plain) == []


def test_going_on_twice_says_each_way_once():
    once = going_on({}, NOW)
    assert once["miou"] == f"{BEFORE}, then {PICTURES_OWN_SIZE}"
    assert going_on(once, NOW) == once and going_on(NOW, NOW) == NOW and going_on({}, {}) == {}
