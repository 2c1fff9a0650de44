"""No step waits for the device: on the meta device, whose tensors have no values, all steps run."""

import pytest
import torch

META = torch.device("meta")


def test_the_meta_device_does_notice_who_asks_for_a_value():
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones((), device=META).item()


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
def test_a_training_step_asks_for_no_value(toy, loss):
    task = toy.task(loss=loss, label_smoothing=0.1, class_weights=(2.0,) * 8, mixup=1.0, cutmix=1.0)
    task = task.to(META)
    for position, batch in enumerate(toy.batches(24)):
        batch = batch.to(META)
        images, targets = task.mixing(batch, 0, position)
        logits = task(images)
        loss_value = task.training_loss(logits, targets)
        loss_value.backward()
        metrics = {"train/loss": loss_value, "train/accuracy": task._accuracy(logits, targets)}
        task.record(metrics, len(batch), batch.index)


def test_an_evaluation_step_asks_for_no_value(toy, toy_of_several_labels):
    for data in (toy, toy_of_several_labels):
        task = data.task().to(META)
        for batch in data.batches(24):
            task.validation_step(batch.to(META), 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_never_waited_for_between_flushes(toy, trainer):
    class Strict:
        def training_step(self, *arguments):
            torch.cuda.set_sync_debug_mode("error")
            try:
                return original(*arguments)
            finally:
                torch.cuda.set_sync_debug_mode("default")

    task = toy.task(mixup=0.5, cutmix=0.5, label_smoothing=0.1)
    original = task.training_step
    task.training_step = Strict().training_step
    trainer(max_epochs=2, accelerator="gpu", devices=1).fit(task, toy.loader())
    assert task.running.flush(task.device)
