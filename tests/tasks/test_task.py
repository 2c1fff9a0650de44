"""What every task shares: schedule per step, checkpoints that load safely, plain keys."""

import pytest
import pytorch_lightning as lightning
import torch

from vit.facts import Facts


def test_the_schedule_is_asked_at_every_optimizer_step(toy, trainer):
    task = toy.task()
    run = trainer(max_epochs=3, accumulate_grad_batches=3)  # 4 batches: steps of 3 and 1
    run.fit(task, toy.loader())
    asked = task.schedule.asked
    assert {tuple(rest) for _, *rest in asked} == {(6, 2)}  # total steps, steps of an epoch
    assert [step for step, *_ in asked] == list(range(7))
    assert run.optimizers[0].param_groups[0]["lr"] == 0.0


def test_a_training_without_an_end_is_refused(toy, trainer):
    with pytest.raises(ValueError, match=r"set trainer\.max_epochs"):
        trainer(max_epochs=-1).fit(toy.task(), toy.loader())


def test_the_checkpoint_holds_plain_keys_and_the_facts_and_loads_safely(toy, trainer, tmp_path):
    task = toy.task(mixup=0.2, class_weights=(1.0,) * 8)
    run = trainer(max_epochs=1)
    run.fit(task, toy.loader(), toy.loader())
    run.save_checkpoint(tmp_path / "one.ckpt")
    content = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert set(content["state_dict"]) == {"model.1.weight", "model.1.bias"}
    assert Facts(**content["facts"]) == toy.facts


def test_training_resumes_with_the_schedule_where_it_was(toy, trainer, tmp_path):
    options = {"mixup": 0.5, "cutmix": 0.5, "mix_off_fraction": 0.3}
    whole = toy.task(**options)
    start = whole.state_dict()["model.1.weight"].clone(), whole.model[1].bias.clone()
    trainer(max_epochs=4).fit(whole, toy.loader())

    def restarted():
        task = toy.task(**options)
        with torch.no_grad():
            task.model[1].weight.copy_(start[0])
            task.model[1].bias.copy_(start[1])
        return task

    class Stop(Exception):
        pass

    class AfterTwo(lightning.Callback):
        def on_train_epoch_end(self, trainer, task):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "half.ckpt")

        def on_train_epoch_start(self, trainer, task):
            if trainer.current_epoch == 2:
                raise Stop

    with pytest.raises(Stop):
        trainer(max_epochs=4, callbacks=[AfterTwo()]).fit(restarted(), toy.loader())
    again = toy.task(**options)
    trainer(max_epochs=4).fit(again, toy.loader(), ckpt_path=tmp_path / "half.ckpt")
    assert torch.equal(again.model[1].weight, whole.model[1].weight)


def test_compiling_renames_no_parameter_and_wraps_the_model_only(toy):
    plain, compiled = toy.task(), toy.task(compile=True)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert compiled.model._compiled_call_impl is not None
    assert compiled._compiled_call_impl is None


@pytest.mark.slow
def test_a_compiled_model_trains_as_the_plain_one(toy, trainer):
    weights = []
    for compile in (False, True):
        torch.manual_seed(0)
        task = toy.task(compile=compile)
        trainer(max_epochs=2).fit(task, toy.loader(), toy.loader(7))
        weights.append(task.model[1].weight)
    torch.testing.assert_close(*weights)


def test_batches_move_with_their_index(toy):
    (batch, *_) = toy.batches(24)
    moved = toy.task().transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert {moved.images.device.type, moved.targets.device.type, moved.index.device.type} == {
        "meta"
    }
