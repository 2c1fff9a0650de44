"""best.ckpt is the best validation, last.ckpt what can be gone on from; both load safely."""

import math
import signal

import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.checkpoints.policy import BestCheckpoint, LastCheckpoint
from vit.callbacks.checkpoints.saving import AtomicCheckpointIO

pytestmark = LIGHTNING_TALKS


class Scores(lightning.Callback):
    """Logs these at the end of each validation, one after the other."""

    def __init__(self, *scores: float):
        self.scores = scores

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/score", self.scores[trainer.current_epoch], logger=False)


def scored(folder, *scores, mode="max", **settings):
    settings.setdefault("epochs", len(scores))
    return Toy(folder, extra=(Scores(*scores),), monitor="val/score", mode=mode, **settings)


def best_epoch(folder):
    return torch.load(folder / "best.ckpt", weights_only=True)["epoch"]


@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        ("max", (0.1, 0.5, 0.4), 1),
        ("min", (0.3, 0.2, 0.4), 1),
        ("max", (0.5, 0.5, 0.5), 0),
        ("max", (0.1, math.nan, 0.05), 0),
        ("max", (math.nan, 0.2, 0.1), 1),
    ],
)
def test_best_is_the_best_validation_and_ties_keep_the_earlier(tmp_path, mode, scores, best):
    scored(tmp_path, *scores, mode=mode).fit()
    assert best_epoch(tmp_path) == best
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 18


def test_the_folder_holds_the_two_checkpoints_and_nothing_half_written(tmp_path):
    scored(tmp_path, 0.1, 0.2).fit()
    assert {path.name for path in tmp_path.glob("*.ckpt*")} == {"best.ckpt", "last.ckpt"}


def test_the_best_score_survives_a_resume_even_in_a_folder_that_was_moved(tmp_path):
    first = tmp_path / "first"
    scored(first, 0.1, 0.9, epochs=2).fit()
    second = first.rename(tmp_path / "second")
    scored(second, 0.1, 0.9, 0.5).fit()
    assert best_epoch(second) == 1


def test_patience_counts_validations_without_a_better_one(tmp_path):
    toy = scored(tmp_path, 0.5, 0.6, 0.6, 0.5, 0.9, patience=2).fit()
    assert toy.trainer.current_epoch == 4
    assert best_epoch(tmp_path) == 1


def test_patience_survives_a_resume(tmp_path):
    scored(tmp_path, 0.5, 0.4, 0.3, 0.9, patience=2, epochs=2).fit()
    assert scored(tmp_path, 0.5, 0.4, 0.3, 0.9, patience=2).fit().trainer.current_epoch == 3


def test_a_training_that_was_out_of_patience_does_not_go_on_when_resumed(tmp_path):
    scored(tmp_path, 0.5, 0.4, 0.9, patience=1).fit()
    again = scored(tmp_path, 0.5, 0.4, 0.9, patience=1).fit()
    assert again.trainer.global_step == 12
    assert best_epoch(tmp_path) == 0


def test_a_metric_that_validation_does_not_log_is_named_with_those_it_does(tmp_path):
    with pytest.raises(ValueError, match=r"'val/acuracy' is not .* val/accuracy, val/ece"):
        Toy(tmp_path, monitor="val/acuracy").fit()


def test_steps_are_saved_inside_an_epoch(tmp_path):
    class Looks(lightning.Callback):
        steps = ()

        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            self.steps += (checkpoint["global_step"],)

    looks = Looks()
    Toy(tmp_path, extra=(looks,), every_n_steps=4, limit_val_batches=0).fit()
    # 12 falls on the end of an epoch, where it is saved anyhow; no validation, so no best.
    assert looks.steps == (4, 6, 8, 12, 16, 18)


def test_a_second_ctrl_c_does_not_wait_for_the_step(tmp_path):
    class Impatient(lightning.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            if trainer.global_step == 3:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit):
        Toy(tmp_path, extra=(Impatient(),)).fit()
    assert not (tmp_path / "last.ckpt").exists()  # step 3 was not whole


def test_ctrl_c_is_python_s_own_again_after_training(tmp_path):
    Toy(tmp_path, epochs=1).fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path):
    class Unwritable:
        def __reduce__(self):
            raise OSError("disk full")

    path = tmp_path / "deep" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpointIO().save_checkpoint({"step": Unwritable()}, path)
    assert torch.load(path, weights_only=True)["step"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_pickled_code_is_not_loaded(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("owned",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match="holds more than tensors and plain values"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)


def test_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match="patience"):
        BestCheckpoint(tmp_path / "best.ckpt", "val/loss", patience=0)
    with pytest.raises(ValueError, match="every_n_steps"):
        LastCheckpoint(tmp_path / "last.ckpt", 0)
