"""An evaluation tells the same on any number of processes: real loaders, the task, Lightning."""

import json
import multiprocessing
import os
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as lightning
import torch
import torch.multiprocessing as processes
from PIL import Image
from torch import nn

from vit.data.digits import Digits
from vit.data.table import Table
from vit.tasks.classification import Classification

pytestmark = pytest.mark.slow
IMAGES = 37  # of several labels each; neither they nor the 401 digits can be shared evenly


class Unused:
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.0)

    def scale(self, step: int, total_steps: int, steps_per_epoch: int) -> float:
        return 1.0


def of_one_label(folder: Path) -> Digits:
    return Digits(seed=0, batch_size=120, eval_batch_size=23, val_fraction=0.1)


def of_several_labels(folder: Path) -> Table:
    shared = {"separator": "|", "split_column": "split", "image_size": 8}
    return Table(table=str(folder / "labels.csv"), batch_size=30, eval_batch_size=3, **shared)


def write_table(folder: Path) -> None:
    draw = np.random.default_rng(4)
    rows = ["path,label,split"]
    for number in range(2 * IMAGES):
        values = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
        labels = [name for name in "abcd" if draw.random() < 0.4] or ["d"]
        rows.append(f"{number}.png,{'|'.join(labels)},{('train', 'test')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def evaluated(make, rank: int, world_size: int, folder: Path) -> dict:
    data = make(folder)
    torch.manual_seed(0)
    pixels = data.facts.channels * 64
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, data.facts.num_classes))
    task = Classification(model, data.facts, Unused(), Unused(), 0)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=str(folder),
    )
    loader = data.loader("test", rank=rank, world_size=world_size)
    trainer.validate(task, loader, verbose=False)
    found = {name: value.item() for name, value in trainer.callback_metrics.items()}
    images = sum(map(len, loader))
    return {"metrics": found, "tables": task.tables(), "images": images}


def one_rank(rank: int, world_size: int, port: int, folder: str) -> None:
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
    kinds = {"one": of_one_label, "several": of_several_labels}
    result = {name: evaluated(make, rank, world_size, Path(folder)) for name, make in kinds.items()}
    (Path(folder) / f"{world_size}_{rank}.json").write_text(json.dumps(result))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Number of processes → what each of them answered."""
    folder = tmp_path_factory.mktemp("ranks")
    write_table(folder)
    # Imported once, not eleven times.
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["vit.tasks.classification", "vit.data.table", "vit.data.digits"])
    found = {}
    for world_size in (1, 2, 3, 5):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        arguments = (world_size, port, str(folder))
        processes.start_processes(one_rank, arguments, nprocs=world_size, start_method="forkserver")
        found[world_size] = [
            json.loads((folder / f"{world_size}_{rank}.json").read_text())
            for rank in range(world_size)
        ]
    return found


@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize(
    ("kind", "images", "names"),
    [
        ("one", 401, ["accuracy", "top5", "macro_f1", "loss", "ece", "overconfidence"]),
        ("several", IMAGES, ["accuracy", "map", "f1", "loss"]),
    ],
)
def test_every_metric_is_that_of_one_process(results, world_size, kind, images, names):
    (alone,) = (rank[kind] for rank in results[1])
    ranks = [rank[kind] for rank in results[world_size]]
    assert [sum(rank["images"] for rank in ranks), alone["images"]] == [images, images]
    assert len({rank["images"] for rank in ranks}) == 2  # the shares are not even
    assert sorted(alone["metrics"]) == sorted(f"val/{name}" for name in names)
    for rank in ranks:
        assert rank["metrics"] == pytest.approx(alone["metrics"], abs=1e-7)
        assert rank["metrics"]["val/accuracy"] == alone["metrics"]["val/accuracy"]
        assert rank["tables"].keys() == alone["tables"].keys()
        for name in ("images", "class_accuracy", "confusion", "most_confused"):
            assert rank["tables"].get(name) == alone["tables"].get(name)
    assert 0 < alone["metrics"]["val/accuracy"] < 1
