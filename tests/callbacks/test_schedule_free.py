"""A schedule-free optimizer's averaged weights are evaluated and kept; training sees neither."""

import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.optim.optimizer import Optim

pytestmark = LIGHTNING_TALKS
OPTIM = Optim(name="schedulefree", lr=0.05)


def averaged(toy):
    """By the optimizer's own conversion, at the end of all."""
    optimizer = toy.trainer.optimizers[0]
    optimizer.eval()
    return toy.weights()


def test_a_checkpoint_holds_the_averaged_weights_and_the_trained_ones_beside_them(tmp_path):
    toy = Toy(tmp_path, optim=OPTIM).fit()
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    trained = toy.weights()
    for name, weight in averaged(toy).items():
        assert torch.equal(checkpoint["state_dict"][name], weight)
        assert torch.equal(checkpoint["trained_weights"][name], trained[name])
        assert not torch.equal(weight, trained[name])


def test_validation_sees_the_averaged_weights(tmp_path):
    class Watches(lightning.Callback):
        def on_validation_batch_start(self, trainer, pl_module, *_):
            self.modes = {group["train_mode"] for group in trainer.optimizers[0].param_groups}
            self.weights = {n: p.detach().clone() for n, p in pl_module.named_parameters()}

    watch = Watches()
    toy = Toy(tmp_path, optim=OPTIM, extra=(watch,)).fit()
    assert watch.modes == {False}
    for name, weight in averaged(toy).items():
        assert torch.equal(weight, watch.weights[name])


def test_looking_often_does_not_change_where_the_training_ends(tmp_path):
    seldom = Toy(tmp_path / "seldom", optim=OPTIM).fit().weights()
    often = Toy(tmp_path / "often", optim=OPTIM, val_check_interval=1, every_n_steps=1).fit()
    for name, weight in often.weights().items():
        assert torch.equal(weight, seldom[name])
