"""What is watched while a run trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from vit.callbacks.fingerprints import Fingerprints
from vit.callbacks.hanging import Hanging
from vit.callbacks.pictures import Pictures
from vit.callbacks.predictions import StoredPredictions
from vit.callbacks.probing import Probing

MOST_PICTURES = 24


@dataclass(kw_only=True, frozen=True)
class Watch:
    """Switches that change no number.

    Args:
        fingerprints: write down what each step saw and gave; see vit/runs/fingerprints.
        weights_every: optimizer steps between two fingerprints of all weights.
        hang_seconds: with several processes, how long one may stand still before the run is
            ended; None: for ever.
        predictions: keep what is said of each test sample; see vit/runs/predictions.
        pictures: of the worst mistakes, at most so many; 0 draws none, nor `val/pictures`.
        attention: images of val of which the trained model's maps are drawn, once, at the end;
            see vit/explain/after_training.py.
        probe_every: epochs between two looks at the frozen backbone, by `val/knn_accuracy`: the
            nearest training images tell the class of each of val; 0: none.
        probe_neighbours: how many of them vote.
        probe_linear: also `val/linear_accuracy`, of a linear classifier on the frozen features.

    Raises ValueError for a value out of its range.
    """

    fingerprints: bool = False
    weights_every: int = 100
    hang_seconds: float | None = 600.0
    predictions: bool = True
    pictures: int = 12
    attention: int = 4
    probe_every: int = 0
    probe_neighbours: int = 20
    probe_linear: bool = False

    def __post_init__(self) -> None:
        if self.weights_every < 1:
            raise ValueError(f"watch.weights_every={self.weights_every}; wanted 1 or more.")
        if self.hang_seconds is not None and self.hang_seconds <= 0:
            raise ValueError(
                f"watch.hang_seconds={self.hang_seconds}; wanted more than 0, or null."
            )

        if self.probe_every < 0:
            raise ValueError(f"watch.probe_every={self.probe_every}; wanted 0 or more epochs.")
        if self.probe_neighbours < 1:
            raise ValueError(f"watch.probe_neighbours={self.probe_neighbours}; wanted 1 or more.")
        for key in ("pictures", "attention"):
            number = getattr(self, key)
            if not 0 <= number <= MOST_PICTURES:
                raise ValueError(f"watch.{key}={number}; wanted 0 to {MOST_PICTURES}.")

    def recording(self, run_dir: Path) -> list[Callback]:
        """To come before the callbacks that write checkpoints."""
        callbacks: list[Callback] = self.after_test(run_dir)
        if self.fingerprints:
            callbacks.append(Fingerprints(run_dir, self.weights_every))
        return callbacks

    def after_test(self, run_dir: Path) -> list[Callback]:
        """Those that have something to say of a test alone, too."""
        callbacks: list[Callback] = []
        if self.pictures:
            callbacks.append(Pictures(run_dir, self.pictures))
        if self.predictions:
            callbacks.append(StoredPredictions(run_dir))
        return callbacks

    def probing(self, data: Any) -> list[Callback]:
        """To come before the record, which writes down what they log; asks every process."""
        if not self.probe_every:
            return []
        return [Probing(data, self.probe_every, self.probe_neighbours, self.probe_linear)]

    def hanging(self, failed: Callable[[str], None]) -> list[Callback]:
        """To come last; `failed` is called with the reason, just before the process ends."""
        return [] if self.hang_seconds is None else [Hanging(self.hang_seconds, failed)]
