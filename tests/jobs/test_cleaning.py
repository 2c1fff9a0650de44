"""vit clean of one run: weights stay to the bit, and the run is done whatever ends the process."""

import pytest
import torch

from vit.cli.main import main
from vit.faults import Refused
from vit.jobs import cleaning
from vit.runs import process
from vit.runs.checkpoint import read_checkpoint, write_checkpoint
from vit.runs.directory import RunFolder, content_of
from vit.runs.writing import write_json

WEIGHTS = {"model.a": torch.arange(1000.0)}
STATE = {
    "state_dict": WEIGHTS,
    "trained_weights": {"model.a": WEIGHTS["model.a"] + 1},
    "facts": {"num_classes": 2},
    "global_step": 7,
    "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(5000)}}, "param_groups": []}],
    "lr_schedulers": [],
    "loops": {},
    "callbacks": {},
    "exact_resume": {"processes": []},
}
STAYS = {"state_dict", "trained_weights", "facts", "global_step", "vit"}


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.freeze({"schema_version": 1, "name": "run", "seed": 0})
    write_checkpoint({**STATE, "global_step": 5}, folder.best_checkpoint, ["best-step-5.ckpt"])
    write_checkpoint(STATE, folder.last_checkpoint)
    write_json(folder.results_file, {"metrics": {"val/loss": 0.5}})
    last = content_of(folder.last_checkpoint)
    folder.set_state("done", last_checkpoint=last, train_seconds=3.0)
    return folder


def names(folder):
    return sorted(path.name for path in folder.checkpoints.iterdir())


def test_the_weights_stay_and_what_goes_is_as_much_as_was_told(run):
    rows = cleaning.plan(str(run.path))
    assert [(row["names"], row["after"] == 0) for row in rows] == [
        (["best.ckpt", "best-step-5.ckpt"], False),
        (["last.ckpt"], True),
    ]
    assert rows[0]["before"] - rows[0]["after"] > 20_000  # 5,000 floats of the optimizer
    freed = cleaning.clean(str(run.path))
    assert freed == pytest.approx(sum(row["before"] - row["after"] for row in rows), abs=64)
    assert names(run) == ["best-step-5.ckpt", "best.ckpt"]
    content = read_checkpoint(run.best_checkpoint)
    assert content.keys() == STAYS and content["global_step"] == 5
    assert torch.equal(content["state_dict"]["model.a"], WEIGHTS["model.a"])
    one, other = run.checkpoints.iterdir()
    assert one.samefile(other)
    assert run.is_done() and run.state().train_seconds == 3.0
    assert cleaning.plan(str(run.path)) == [] and cleaning.clean(str(run.path)) == 0
    assert run.state().cleaned


def test_where_the_last_is_the_selected_one_it_stays_and_the_run_is_done(run):
    for name in ("best.ckpt", "best-step-5.ckpt"):
        (run.checkpoints / name).unlink()
    cleaning.clean(str(run.path))
    assert names(run) == ["last.ckpt"] and run.is_done()
    assert run.state().last_checkpoint == content_of(run.last_checkpoint)
    write_checkpoint(STATE, run.last_checkpoint)
    assert not run.is_done()  # another was put in its place


@pytest.mark.parametrize("best", [True, False])
@pytest.mark.parametrize("moment", range(6))
def test_whatever_moment_it_is_killed_at_the_run_is_done_and_loads(run, monkeypatch, best, moment):
    """Each write, and each change of state.json, is the last thing that it does."""
    if not best:
        for name in ("best.ckpt", "best-step-5.ckpt"):
            (run.checkpoints / name).unlink()
    left = [moment]

    def until_killed(real, after):
        def acts(*arguments):
            if not after and not left[0]:
                raise KeyboardInterrupt
            real(*arguments)
            left[0] -= 1
            if after and left[0] < 0:
                raise KeyboardInterrupt

        return acts

    for name in ("write_checkpoint", "write_json", "drop_unused"):
        monkeypatch.setattr(cleaning, name, until_killed(getattr(cleaning, name), moment % 2))
    try:
        cleaning.clean(str(run.path))
    except KeyboardInterrupt:
        assert run.is_done()
        selected = run.best_checkpoint if best else run.last_checkpoint
        assert torch.equal(read_checkpoint(selected)["state_dict"]["model.a"], WEIGHTS["model.a"])
    monkeypatch.undo()
    cleaning.clean(str(run.path))
    assert run.is_done() and not cleaning.plan(str(run.path))


@pytest.mark.parametrize("state", ["running", "failed", "stopped", "pruned", "planned"])
def test_a_run_that_is_not_done_keeps_all(run, state):
    run.set_state(state)
    before = names(run)
    for act in (cleaning.plan, cleaning.clean):
        with pytest.raises(Refused, match=f"is {state} and not done"):
            act(str(run.path))
    assert names(run) == before


def test_nor_is_one_cleaned_whose_results_are_gone_or_that_goes_on_from_another(run):
    write_checkpoint({**STATE, "global_step": 1}, run.last_checkpoint)
    with pytest.raises(Refused, match="has another last"):
        cleaning.clean(str(run.path))
    run.results_file.unlink()
    run.last_checkpoint.unlink()
    with pytest.raises(Refused, match=r"metrics\.json is not there"):
        cleaning.clean(str(run.path))


def test_one_that_is_being_trained_is_left(run):
    with run.locked(), pytest.raises(Refused, match="is being trained now"):
        cleaning.clean(str(run.path))


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_nothing_is_written_or_removed_through_a_link(run, tmp_path, name):
    for inside in (True, False):
        kept = (run.path if inside else tmp_path) / "kept.ckpt"
        (run.checkpoints / name).replace(kept)
        before = kept.read_bytes()
        (run.checkpoints / name).symlink_to(kept)
        with pytest.raises(Refused, match="is a link"):
            cleaning.clean(str(run.path))
        assert kept.read_bytes() == before
        kept.replace(run.checkpoints / name)


def test_a_damaged_checkpoint_stops_it_before_anything_is_removed(run):
    with run.best_checkpoint.open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(Refused):
        cleaning.clean(str(run.path))
    assert run.last_checkpoint.exists()


def test_the_command_tells_what_goes_before_it_goes(run, monkeypatch, capsys):
    def called(function, *arguments):
        return getattr(cleaning, function.partition(":")[2])(*arguments)

    monkeypatch.setattr(process, "warm_up", lambda: None)
    monkeypatch.setattr(process, "call", called)
    assert main(["clean", str(run.path), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "best.ckpt = best-step-5.ckpt  " in told and "without the optimizer's state" in told
    assert "last.ckpt  " in told and told.splitlines()[-1].endswith("kB would be freed")
    assert "last.ckpt" in names(run)
    assert main(["clean", str(run.path)]) == 0
    assert capsys.readouterr().out == told.replace("would be", "were")
    assert "extend= (more epochs) is not possible; a new run can start from its weights: " in told
    assert main(["clean", str(run.path), "--keep", "1"]) == 2
    assert "is for a sweep" in capsys.readouterr().err
    assert main(["clean", str(run.path)]) == 0
    assert capsys.readouterr().out == "0B were freed\n"
