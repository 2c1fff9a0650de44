"""Two processes end where one process that accumulates two batches ends, bit for bit."""

import json
import os
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch
import torch.multiprocessing as processes
from torch import nn

from vit.data.digits import Digits
from vit.tasks.classification import Classification


class Sgd:
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.5)


class Constant:
    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0


def one_rank(rank: int, world_size: int, eval_batch_size: int, folder: str) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    if world_size > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": "29613",
            "TORCHELASTIC_RUN_ID": "test",  # Lightning starts no processes of its own then
        }
    torch.manual_seed(0)
    data = Digits(seed=0, batch_size=128, eval_batch_size=eval_batch_size)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10))
    options = {"mixup": 0.4, "cutmix": 1.0, "mix_off_fraction": 0.3}
    task = Classification(model, data.facts, Sgd(), Constant(), 0, **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        accumulate_grad_batches=2 // world_size,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    shared = {"rank": rank, "world_size": world_size}
    train = data.loader("train", **shared, accumulate=2 // world_size)
    trainer.fit(task, train, data.loader("val", **shared))
    validated = {name: value.item() for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(task, data.loader("test", **shared), verbose=False)
    told = [model[1].weight.tolist(), task.flush(), validated, tested, task.tables()["confusion"]]
    (Path(folder) / f"{world_size}_{rank}.json").write_text(json.dumps(told))


@pytest.mark.slow
def test_two_ranks_and_two_accumulated_batches_give_the_same_run(tmp_path):
    processes.spawn(one_rank, args=(1, 64, str(tmp_path)), nprocs=1)
    processes.spawn(one_rank, args=(2, 23, str(tmp_path)), nprocs=2)
    one, *both = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("1_0", "2_0", "2_1"))
    for told in both:
        weights, trained, validated, tested, confusion = told
        assert weights == one[0]
        assert trained == one[1]
        assert validated == pytest.approx(one[2], abs=1e-12)
        assert tested == pytest.approx(one[3], abs=1e-12)
        assert tested["test/accuracy"] == one[3]["test/accuracy"]
        assert confusion == one[4]
