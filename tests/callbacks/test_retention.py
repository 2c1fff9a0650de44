"""Beside last.ckpt and best.ckpt: how many are kept, which, and the same ones after a resume."""

from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from test_checkpoint import Scores
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.checkpoints.retention import BestKept, RecentKept, forget_orphans, number_kept
from vit.callbacks.checkpoints.saving import Keep

pytestmark = LIGHTNING_TALKS


def names(folder):
    return {path.name for path in folder.glob("*.ckpt*")}


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


def test_the_last_three_and_every_second_epoch_are_kept_each_by_its_step(tmp_path):
    keep = {"keep_last": 3, "keep_every_n_epochs": 2}
    Toy(tmp_path, epochs=5, limit_val_batches=0, keep=keep).fit()
    wanted = {"step-000018.ckpt": 18, "step-000024.ckpt": 24, "step-000030.ckpt": 30}
    wanted |= {"milestone-epoch-0002.ckpt": 12, "milestone-epoch-0004.ckpt": 24, "last.ckpt": 30}
    assert {path.name: step_of(path) for path in tmp_path.glob("*.ckpt*")} == wanted


def test_a_milestone_between_saves_is_written_at_its_step(tmp_path):
    Toy(tmp_path, epochs=2, limit_val_batches=0, keep={"keep_every_n_steps": 5}).fit()
    milestones = {path.name: step_of(path) for path in tmp_path.glob("milestone*")}
    assert milestones == {"milestone-step-000005.ckpt": 5, "milestone-step-000010.ckpt": 10}


def test_names_of_one_state_take_its_room_once(tmp_path):
    Toy(tmp_path, epochs=1, limit_val_batches=0, keep={"keep_last": 2}).fit()
    assert (tmp_path / "last.ckpt").samefile(tmp_path / "step-000006.ckpt")


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("max", {(12, "0.9000"), (24, "0.5000")}), ("min", {(6, "0.1000"), (18, "0.4000")})],
)
def test_the_two_best_are_kept_by_step_and_score(tmp_path, mode, kept):
    scores = Scores(0.1, 0.9, 0.4, 0.5, 0.5)
    toy = {"extra": (scores,), "monitor": "val/score", "mode": mode, "keep": {"keep_best": 2}}
    Toy(tmp_path, epochs=5, **toy).fit()
    wanted = {f"best-step-{step:06d}-{score}.ckpt" for step, score in kept}
    assert names(tmp_path) == wanted | {"best.ckpt", "last.ckpt"}
    first = 12 if mode == "max" else 6
    assert step_of(tmp_path / "best.ckpt") == first
    assert all(step_of(tmp_path / name) == int(name[10:16]) for name in wanted)


def test_a_run_that_was_cut_off_keeps_what_one_at_peace_keeps(tmp_path):
    class Dies(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 21:
                raise RuntimeError("died")

    keep = {"keep_last": 2, "keep_best": 2, "keep_every_n_steps": 7, "keep_every_n_epochs": 3}
    settings = {"epochs": 6, "keep": keep, "monitor": "val/score", "mode": "max"}
    scores = (0.1, 0.9, 0.4, 0.5, 0.95, 0.6)
    Toy(tmp_path / "peace", extra=(Scores(*scores),), **settings).fit()
    cut = tmp_path / "cut"
    with pytest.raises(RuntimeError, match="died"):
        Toy(cut, extra=(Scores(*scores), Dies()), **settings).fit()
    (cut / "step-000003.ckpt").write_bytes(b"what a kill before a removal leaves")
    Toy(cut, extra=(Scores(*scores),), **settings).fit()
    assert names(cut) == names(tmp_path / "peace")
    assert all(step_of(cut / name) == step_of(tmp_path / "peace" / name) for name in names(cut))


@pytest.mark.parametrize("start", ["best-step-000012", "milestone-step-000008", "step-000018"])
def test_a_run_goes_on_from_any_kept_checkpoint_to_the_same_weights(tmp_path, start):
    keep = {"keep_best": 4, "keep_last": 3, "keep_every_n_steps": 4}
    whole = Toy(tmp_path / "whole", epochs=4, keep=keep).fit().weights()
    (kept,) = (tmp_path / "whole").glob(f"{start}*")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "last.ckpt").write_bytes(kept.read_bytes())
    again = Toy(tmp_path / "again", epochs=4, keep=keep).fit().weights()
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_older_ones_go_only_after_the_newer_one_is_there(tmp_path, monkeypatch):
    keep = {"keep_last": 2}
    toy = Toy(tmp_path, epochs=3, limit_val_batches=0, keep=keep)
    counts = []

    def watched(self, missing_ok=False):
        if self.name.startswith("step-") and not self.name.endswith(".part"):
            counts.append(len(list(self.parent.glob("step-*.ckpt"))))
        original(self, missing_ok)

    original = Path.unlink
    monkeypatch.setattr(Path, "unlink", watched)
    toy.fit()
    assert counts == [3]  # of the one removal, of the first of three


def test_a_policy_made_smaller_lets_the_others_go():
    recent = RecentKept(keep_last=1)
    recent.kept = ["step-000001.ckpt", "step-000002.ckpt"]
    assert recent.entry(3, None) == Keep((), ("step-000001.ckpt", "step-000002.ckpt"))
    assert recent.entry(4, None) is None


def test_nan_is_the_worst_of_the_best():
    best = BestKept(2)
    assert best.entry(1, float("nan"), True)[0] == "best.ckpt"
    best.entry(2, 0.1, True)
    name, keep = best.entry(3, 0.05, False)
    assert name == "best-step-000003-0.0500.ckpt" and keep.drop == ("best-step-000001-nan.ckpt",)


def test_later_steps_of_another_branch_stay(tmp_path):
    for step in (1, 2, 9):
        (tmp_path / f"step-{step:06d}.ckpt").touch()
    forget_orphans(tmp_path, "step-*.ckpt", ["step-000002.ckpt"], 5)
    assert names(tmp_path) == {"step-000002.ckpt", "step-000009.ckpt"}


def test_the_number_kept_is_known_before():
    policy = {"keep_last": 3, "keep_best": 2, "keep_every_n_epochs": 10}
    assert number_kept(policy, 1000, 25) == 7
    assert number_kept({}, 1000, 25) == 2


@pytest.mark.parametrize("key", ["keep_last", "keep_every_n_steps", "keep_every_n_epochs"])
def test_settings_out_of_range_are_refused(key):
    with pytest.raises(ValueError, match=rf"checkpoint.{key}=0; wanted 1 or more"):
        RecentKept(**{key: 0})
