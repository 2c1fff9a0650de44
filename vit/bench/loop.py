"""What the training loop costs a step, beyond a bare PyTorch loop on the same toy model."""

from __future__ import annotations

import logging
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from vit.bench.measure import clock
from vit.bench.side_by_side import plain
from vit.callbacks.checkpoints.policy import checkpoint_callbacks
from vit.callbacks.checkpoints.resume import ExactResume
from vit.callbacks.progress import Progress
from vit.callbacks.record import Record
from vit.callbacks.schedule_free import ScheduleFree
from vit.callbacks.throughput import Throughput
from vit.facts import Facts
from vit.optim.schedules import Cosine
from vit.runs.record import Recorder
from vit.structures import Batch
from vit.tasks.task import Task

BARE = "bare PyTorch"
STOCK = "Lightning, nothing logged"
LOGGING = "Lightning, five self.log"
OURS = "vit, five metrics recorded"
LOG_EVERY = 50  # steps, Lightning's default and ours
WARM_UP = 50  # steps of each training that are not counted
SIDE, CLASSES, BATCH = 8, 10, 32
FACTS = Facts(CLASSES, tuple("0123456789"), (SIDE, SIDE), 1, (0.5,), (0.5,))


class Difference(NamedTuple):
    """Milliseconds a step: the median over the rounds, and where the middle 80 % of them lie."""

    median: float
    low: float
    high: float


@dataclass
class Row:
    """One way to train the toy."""

    loop: str
    step_ms: float  # median over the rounds
    over_bare: Difference
    over_stock: Difference  # over Lightning without logging


@dataclass
class Result:
    rounds: int
    steps: int
    rows: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for programs."""
        return {"schema_version": 1, "bench": "loop", **plain(self)}


def compare(
    *, rounds: int = 15, steps: int = 300, tell: Callable[[str], None] = lambda line: None
) -> Result:
    """Trains the toy `rounds` times in each way, `steps` counted steps each, in turns.

    A step is forward, five scalar metrics, backward, AdamW and a learning-rate schedule in all of
    them; the loops differ in what else they do. Ours has the callbacks of `vit train`, draws its
    bar and writes metrics.jsonl; Lightning with logging writes its CSV. Runs on one CPU thread.
    """
    torch.set_num_threads(1)
    loops: dict[str, Callable[[Batches, Path], None]] = {
        BARE: train_bare,
        STOCK: train_stock,
        LOGGING: train_logging,
        OURS: train_ours,
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    with silence(), TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            tell(f"loop: round {number} of {rounds}" if number else "loop: warm-up")
            for place, (name, run) in enumerate(loops.items()):
                torch.manual_seed(0)
                batches = Batches(WARM_UP + steps)
                own = Path(folder, f"{number}-{place}")
                own.mkdir()
                run(batches, own)
                if number:
                    seconds[name].append(batches.step_seconds())
    rows = [
        Row(
            name,
            statistics.median(taken) * 1e3,
            _difference(taken, seconds[BARE]),
            _difference(taken, seconds[STOCK]),
        )
        for name, taken in seconds.items()
    ]
    return Result(rounds, steps, rows)


class Batches:
    """One fixed batch, again and again; notes the time whenever one is asked for."""

    def __init__(self, count: int):
        images = torch.randn(BATCH, 1, SIDE, SIDE)
        self._batch = Batch(images, torch.arange(BATCH) % CLASSES, torch.arange(BATCH))
        self._count = count
        self._now = clock("cpu", threads=1)
        self._times: list[float] = []

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self._count):
            self._times.append(self._now())
            yield self._batch

    def start(self, epoch: int, start_batch: int = 0) -> None:
        """As the samplers of real data, which start part-way; here all batches are alike."""

    def step_seconds(self) -> float:
        """The mean without the warm-up: what is done only every so many steps counts as well."""
        counted = self._times[WARM_UP:]
        return (counted[-1] - counted[0]) / (len(counted) - 1)


def _difference(taken: Sequence[float], reference: Sequence[float]) -> Difference:
    found = sorted((a - b) * 1e3 for a, b in zip(taken, reference, strict=True))
    margin = len(found) // 10
    return Difference(statistics.median(found), found[margin], found[-1 - margin])


def _toy() -> nn.Module:
    hidden = 64
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIDE**2, hidden), nn.GELU(), nn.Linear(hidden, CLASSES)
    )


def _metrics(model: nn.Module, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Five scalars, the loss first."""
    logits = model(images)
    seen = logits.detach()
    return {
        "train/loss": F.cross_entropy(logits, targets),
        "train/accuracy": (seen.argmax(1) == targets).float().mean(),
        "train/largest": seen.max(),
        "train/smallest": seen.min(),
        "train/mean": seen.mean(),
    }


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> LambdaLR:
    part = Cosine()
    return LambdaLR(optimizer, lambda step: part.scale(step, steps, steps))


def train_bare(batches: Batches, folder: Path) -> None:
    model = _toy()
    optimizer = _optimizer(model)
    schedule = _schedule(optimizer, len(batches))
    for batch in batches:
        metrics = _metrics(model, batch.images, batch.targets)
        metrics["train/loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


class StockModule(lightning.LightningModule):
    """The toy as Lightning's documentation would have it."""

    def __init__(self, steps: int, logs: bool):
        super().__init__()
        self.model = _toy()
        self.steps = steps
        self.logs = logs

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        metrics = _metrics(self.model, *batch)
        if self.logs:
            for name, value in metrics.items():
                self.log(name, value)
        return metrics["train/loss"]

    def configure_optimizers(self) -> Any:
        optimizer = _optimizer(self.model)
        schedule = _schedule(optimizer, self.steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class Pairs:
    """The batches as the tuples that plain Lightning modules take."""

    def __init__(self, batches: Batches):
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((batch.images, batch.targets) for batch in self._batches)


def train_stock(batches: Batches, folder: Path) -> None:
    _trainer(folder, logger=False).fit(StockModule(len(batches), logs=False), Pairs(batches))


def train_logging(batches: Batches, folder: Path) -> None:
    module = StockModule(len(batches), logs=True)
    _trainer(folder, logger=CSVLogger(folder)).fit(module, Pairs(batches))


class ToyTask(Task):
    """The toy as a task of ours."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        metrics = _metrics(self.model, batch.images, batch.targets)
        self.record(metrics, len(batch), batch.index)
        return metrics["train/loss"]

    def reset_metrics(self) -> None: ...

    def update_metrics(self, batch: Batch, split: str) -> None: ...

    def compute_metrics(self, split: str) -> dict[str, float]:
        return {}


def train_ours(batches: Batches, folder: Path) -> None:
    task = ToyTask(_toy(), FACTS, ToyOptim(), Cosine(), seed=0, compile=False)
    throughput = Throughput()
    callbacks = [  # those of vit/jobs/fitting.py, in its order
        ExactResume(batches),
        ScheduleFree(),
        Progress(throughput, Console(file=StringIO(), force_terminal=True)),
        Record(Recorder(folder / "metrics.jsonl"), throughput),
        throughput,
        *checkpoint_callbacks(folder, monitor="val/accuracy", mode="max"),
    ]
    _trainer(folder, logger=False, callbacks=callbacks).fit(task, batches)


class ToyOptim:
    """The optimizer of the other loops, as the part that a task asks for."""

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return _optimizer(model)


def _trainer(folder: Path, **settings: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        log_every_n_steps=LOG_EVERY,
        enable_checkpointing=bool(settings.get("callbacks")),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **settings,
    )


@contextmanager
def silence() -> Iterator[None]:
    """Without Lightning's remarks on every trainer that is made."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "vit")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
