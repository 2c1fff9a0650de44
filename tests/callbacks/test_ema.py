"""The average is what is evaluated and kept; the weights themselves go on being trained."""

import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.ema import Ema
from vit.optim.optimizer import Optim

pytestmark = LIGHTNING_TALKS


class Watches(lightning.Callback):
    """Averages by the formula, one step after the other, and looks at each validation."""

    def __init__(self, ema: Ema):
        self.ema = ema
        self.average = None
        self.validated = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.average is None:
            self.average = {n: p.detach().clone() for n, p in pl_module.named_parameters()}
            self.step = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        decay = min(self.ema.decay, self.step / (9 + self.step))
        for name, p in pl_module.named_parameters():
            self.average[name] = decay * self.average[name] + (1 - decay) * p.detach()

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.validated.append({n: p.detach().clone() for n, p in pl_module.named_parameters()})
        self.expected = {name: p.clone() for name, p in self.average.items()}
        for name, p in self.validated[-1].items():
            torch.testing.assert_close(p, self.average[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_validation_sees_the_average_by_the_formula(tmp_path, accumulate):
    ema = Ema(decay=0.6)
    watch = Watches(ema)
    toy = Toy(tmp_path, extra=(ema, watch), accumulate=accumulate).fit()
    assert ema.updates == toy.trainer.global_step == 18
    assert len(watch.validated) == 3 * 2


def test_a_checkpoint_holds_the_average_that_was_validated_and_the_weights_beside_it(tmp_path):
    watch = Watches(Ema(decay=0.6))
    toy = Toy(tmp_path, extra=(watch.ema, watch)).fit()
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, trained in toy.weights().items():
        torch.testing.assert_close(checkpoint["state_dict"][name], watch.validated[-1][name])
        assert torch.equal(checkpoint["trained_weights"][name], trained)
        assert not torch.equal(checkpoint["state_dict"][name], trained)


def test_a_test_from_a_checkpoint_after_the_fit_measures_the_average(tmp_path):
    toy = Toy(tmp_path, extra=(Ema(decay=0.6),)).fit()
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    toy.trainer.test(toy.task, toy.val_loader, ckpt_path=str(tmp_path / "best.ckpt"), verbose=False)
    for name, weight in toy.weights().items():
        assert torch.equal(weight, best[name])


def test_training_is_the_same_with_and_without_an_average(tmp_path):
    with_average = Toy(tmp_path / "with", extra=(Ema(decay=0.6),)).fit().weights()
    without = Toy(tmp_path / "without").fit().weights()
    for name, weight in without.items():
        assert torch.equal(with_average[name], weight)


def test_an_error_in_validation_leaves_the_trained_weights_in_the_model(tmp_path):
    class Fails(lightning.Callback):
        def on_validation_batch_end(self, trainer, pl_module, *_):
            raise RuntimeError("broken")

        def on_train_batch_end(self, trainer, pl_module, *_):
            self.weights = {n: p.detach().clone() for n, p in pl_module.named_parameters()}

    fails = Fails()
    toy = Toy(tmp_path, extra=(Ema(decay=0.6), fails))
    with pytest.raises(RuntimeError, match="broken"):
        toy.fit()
    for name, weight in toy.weights().items():
        assert torch.equal(weight, fails.weights[name])


def test_updates_can_be_rarer_than_steps(tmp_path):
    ema = Ema(every_n_steps=4)
    Toy(tmp_path, extra=(ema,)).fit()
    assert ema.updates == 18 // 4


def test_the_decay_warms_up():
    ema = Ema(decay=0.9)
    assert [ema.decay_of(n) for n in (1, 9, 81, 1000)] == [0.1, 0.5, 0.9, 0.9]
    assert Ema(decay=0.9, warmup=False).decay_of(1) == 0.9


def test_a_schedule_free_optimizer_refuses_a_second_average(tmp_path):
    with pytest.raises(ValueError, match="ema=none"):
        Toy(tmp_path, extra=(Ema(),), optim=Optim(name="schedulefree")).fit()


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"decay": -0.1}, {"every_n_steps": 0}])
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Ema(**wrong)
