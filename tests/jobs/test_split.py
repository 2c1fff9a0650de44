"""However a global batch is split, over processes or accumulated batches, the run is the same."""

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


def one_rank(
    rank: int, world_size: int, accumulate: int, eval_batch_size: int, folder: str
) -> None:
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
        accumulate_grad_batches=accumulate,
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )
    shared = {"rank": rank, "world_size": world_size}
    train = data.loader("train", **shared, accumulate=accumulate, mix_neighbours=True)
    trainer.fit(task, train, data.loader("val", **shared))
    validated = {name: value.item() for name, value in trainer.callback_metrics.items()}
    (tested,) = trainer.test(task, data.loader("test", **shared), verbose=False)
    assert task.mixes
    flushed, confusion = task.running.flush(task.device), task.tables()["confusion"]
    result = [model[1].weight.tolist(), flushed, validated, tested, confusion]
    (Path(folder) / f"{world_size}_{accumulate}_{rank}.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What each rank tells of a run with `world_size` and `accumulate`."""
    folder = tmp_path_factory.mktemp("split")

    def result(world_size: int, accumulate: int, eval_batch_size: int) -> list[list]:
        arguments = (world_size, accumulate, eval_batch_size, str(folder))
        processes.spawn(one_rank, args=arguments, nprocs=world_size)
        files = [folder / f"{world_size}_{accumulate}_{rank}.json" for rank in range(world_size)]
        return [json.loads(file.read_text()) for file in files]

    return result


@pytest.mark.slow
def test_two_ranks_and_two_accumulated_batches_give_the_same_run_bit_for_bit(trained):
    (one,) = trained(1, 2, 64)
    for weights, running, validated, tested, confusion in trained(2, 1, 23):
        assert weights == one[0]
        assert running == one[1]
        assert validated == pytest.approx(one[2], abs=1e-12)
        assert tested == pytest.approx(one[3], abs=1e-12)
        assert tested["test/accuracy"] == one[3]["test/accuracy"]
        assert confusion == one[4]


@pytest.mark.slow
def test_any_split_gives_the_same_run_up_to_rounding(trained):
    """24 steps at a rate of 0.5, with mixup and cutmix: float32 sums in another order."""
    (one,) = trained(1, 1, 64)
    for world_size, accumulate in [(1, 4), (2, 1), (2, 2), (4, 1)]:
        for weights, running, validated, tested, _ in trained(world_size, accumulate, 30):
            torch.testing.assert_close(
                torch.tensor(weights), torch.tensor(one[0]), rtol=0, atol=2e-6
            )
            assert running == pytest.approx(one[1], abs=1e-6)
            assert validated == pytest.approx(one[2], abs=1e-6)
            assert tested == pytest.approx(one[3], abs=1e-6)
