"""kNN and a linear classifier on the frozen backbone while it trains: val/knn_accuracy."""

import json
import multiprocessing
import os
import socket
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch
import torch.multiprocessing as processes
from toy import LIGHTNING_TALKS

from vit.callbacks.heartbeat import Heartbeat
from vit.callbacks.probing import Probing, encoded, probing_fault
from vit.callbacks.record import Record
from vit.callbacks.throughput import Throughput
from vit.callbacks.watch import Watch
from vit.check.preflight import preflight
from vit.cli.compose import compose
from vit.data.digits import Digits
from vit.faults import Refused
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.optim.optimizer import Optim
from vit.optim.schedules import Cosine
from vit.probes.neighbours import nearest_classes
from vit.runs.record import Recorder, read_records
from vit.tasks.classification import Classification

pytestmark = LIGHTNING_TALKS


def digits(**more):
    return Digits(seed=0, batch_size=60, train_limit=300, eval_batch_size=50, **more)


def task_of(data):
    torch.manual_seed(0)
    backbone = ViT((8, 8), 1, dim=16, depth=1, heads=2, patch_size=4)
    model = Classifier(backbone, Head(16, 10))
    return Classification(model, data.facts, Optim(lr=0.003), Cosine(), 0)


def trained(folder, data, epochs, callbacks, **more):
    task = task_of(data)
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    recorder = Recorder(Path(folder) / "metrics.jsonl")
    settings = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 1,
        "default_root_dir": str(folder),
    }
    Path(folder).mkdir(exist_ok=True)
    throughput = Throughput()
    trainer = lightning.Trainer(
        max_epochs=epochs,
        callbacks=[*callbacks, Record(recorder, throughput), throughput],
        **{**settings, **more},
    )
    ranks = {"rank": rank, "world_size": world_size}
    trainer.fit(task, data.loader("train", **ranks), data.loader("val", **ranks))
    return task


def logged(folder, name):
    """The epochs in whose validation it was logged, with the values."""
    records = read_records(Path(folder) / "metrics.jsonl")
    return {each.epoch: each.metrics[name] for each in records if name in each.metrics}


def test_it_is_logged_when_due_and_the_training_goes_on_as_without(tmp_path):
    data = digits()
    plain = trained(tmp_path / "plain", data, 5, [])
    watch = Watch(probe_every=2, probe_neighbours=5)
    probed = trained(tmp_path / "probed", data, 5, watch.probing(data))
    found = logged(tmp_path / "probed", "val/knn_accuracy")
    assert sorted(found) == [1, 3, 4]  # every second epoch, and the last
    assert all(0.2 < value <= 1 for value in found.values())
    assert logged(tmp_path / "plain", "val/knn_accuracy") == {}
    for one, other in zip(plain.parameters(), probed.parameters(), strict=True):
        assert torch.equal(one, other)
    losses = [logged(tmp_path / name, "val/loss") for name in ("plain", "probed")]
    assert losses[0] == losses[1] and len(losses[0]) == 5
    train, val = (vectors_of(probed, data, split) for split in ("train", "val"))
    guessed = nearest_classes(val[0], train[0], train[1], 10, (5,))[5]
    assert found[4] == pytest.approx((guessed == val[1]).float().mean().item(), abs=1e-6)


def vectors_of(task, data, split):
    task.eval()
    batches = list(data.still_loader(split))
    with torch.no_grad():
        seen = [encoded(task.model, each.images, ("mean@1",), None)["mean@1"] for each in batches]
    return torch.cat(seen), torch.cat([each.targets for each in batches])


def test_a_linear_classifier_is_trained_beside_it_where_that_is_asked(tmp_path):
    data = digits()
    watch = Watch(probe_every=1, probe_linear=True)
    trained(tmp_path, data, 1, watch.probing(data))
    assert 0.3 < logged(tmp_path, "val/linear_accuracy")[0] <= 1
    assert list(logged(tmp_path, "val/knn_accuracy")) == [0]


def test_several_validations_in_an_epoch_have_one_probe(tmp_path):
    data = digits()
    trained(tmp_path, data, 2, Watch(probe_every=1).probing(data), val_check_interval=2)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if "knn" in line]
    assert steps == [4, 9]  # 5 batches an epoch, a validation after the 2nd and 4th


def test_a_long_pass_over_train_is_no_hanging_training(tmp_path):
    """Each batch of it is a sign of life, of those that others wait for."""
    beats = []

    class Counted(Heartbeat):
        def on_validation_batch_end(self, trainer, pl_module, outputs, batch, *_):
            beats.append(len(batch))

    data = digits()
    more = {"num_sanity_val_steps": 0}
    trained(
        tmp_path, data, 1, [*Watch(probe_every=1).probing(data), Counted(tmp_path / "b")], **more
    )
    assert (
        sum(beats) == 300 + 2 * data.lengths["val"]
    )  # train and val for the probe, and val itself


def test_the_check_tells_of_data_that_cannot_be_probed():
    words = ["experiment=digit_scenes_small", "watch.probe_every=1", "data.train_scenes=4"]
    faults = preflight(compose([*words, "data.val_scenes=2", "data.test_scenes=2"])).faults
    assert [fault.where for fault in faults] == ["watch.probe_every"]


def test_it_is_off_unless_asked_for_and_refuses_what_it_cannot_do():
    assert Watch().probing(digits()) == []
    from vit.data.digit_scenes import DigitScenes

    scenes = DigitScenes(train_scenes=4, val_scenes=2, test_scenes=2, image_size=64)
    with pytest.raises(Refused, match=r"watch\.probe_every: is for images that have a class each"):
        Watch(probe_every=1).probing(scenes)
    assert "DigitScenes has other targets" in probing_fault(scenes).message
    for key in ("probe_every", "probe_neighbours"):
        with pytest.raises(ValueError, match=f"watch.{key}=-1"):
            Watch(**{key: -1})


def one_rank(rank, world_size, port, folder):
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",  # Lightning starts no processes of its own then
    }
    data = digits()
    several = {"devices": world_size, "strategy": "ddp"} if world_size > 1 else {"devices": 1}
    probing = Probing(data, 1, 10, True)
    own = Path(folder) / f"{world_size}_{rank}"
    task = trained(own, data, 2, [probing], **several)
    (own / "found.json").write_text(
        json.dumps({key: float(each) for key, each in task.trainer.callback_metrics.items()})
    )


@pytest.mark.slow
def test_figures_are_the_same_with_one_two_and_three_processes(tmp_path):
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["vit.tasks.classification", "vit.data.digits"])
    found = {}
    for world_size in (1, 2, 3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = (world_size, port, str(tmp_path))
        processes.start_processes(one_rank, arguments, nprocs=world_size, start_method="forkserver")
        ranks = [tmp_path / f"{world_size}_{rank}" for rank in range(world_size)]
        found[world_size] = [json.loads((own / "found.json").read_text()) for own in ranks]
    (alone,) = found[1]
    for ranks in (found[2], found[3]):
        for rank in ranks:
            for name in ("val/knn_accuracy", "val/linear_accuracy", "val/accuracy"):
                assert rank[name] == alone[name] and 0.2 < alone[name] <= 1
