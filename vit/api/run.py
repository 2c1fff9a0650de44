"""Runs as Python objects, and many of them as a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from vit.api.evaluation import evaluated
from vit.data.core.file_names import expanded
from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.record import read_records
from vit.terminal import in_html, printable

MOST_ROWS = 500  # of a table in a notebook

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from vit.api.loaded import LoadedRun
    from vit.pictures.shown import Shown
    from vit.tasks.features import PatchFeatures


@dataclass(frozen=True)
class Run:
    """One run's folder: what it was, what came out, and the trained model.

    >>> run = vit.train("experiment=digits", seed=1)
    >>> run.metrics["test/accuracy"]
    >>> run.predict(["three.png"])
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> dict[str, Any]:
        """Everything that was configured, as it was frozen."""
        return RunFolder(self.path).config()

    @property
    def state(self) -> str:
        """planned, running, done, failed, stopped, preempted, pruned or paused."""
        return str(RunFolder(self.path).state().name or "planned")

    @property
    def metrics(self) -> dict[str, float]:
        """Of the selected checkpoint, named `val/…` and `test/…`; empty before the run is done."""
        return dict(RunFolder(self.path).results().get("metrics", {}))

    def curves(self) -> list[dict[str, Any]]:
        """Every record in order: `step`, `epoch`, and the metrics measured there."""
        records = read_records(RunFolder(self.path).metrics_file)
        return [{"step": r.step, "epoch": r.epoch, **r.metrics} for r in records]

    def __fspath__(self) -> str:
        return str(self.path)

    def load(
        self,
        *,
        checkpoint: str | os.PathLike[str] = "best",
        device: str | torch.device = "cpu",
        allow_targets: Iterable[str] = (),
    ) -> LoadedRun:
        """The trained model, for several calls; `vit.load` says what the options are."""
        from vit.api.loaded import load

        return load(self, checkpoint=checkpoint, device=device, allow_targets=allow_targets)

    def predict(self, inputs: Any, *, maps: bool = False) -> list[dict[str, Any]]:
        """What the trained model says of each input: `LoadedRun.predict`."""
        return self.load().predict(inputs, maps=maps)

    @overload
    def features(
        self, inputs: Any, *, patches: Literal[False] = False
    ) -> Float[Tensor, "inputs dim"]: ...
    @overload
    def features(self, inputs: Any, *, patches: Literal[True]) -> PatchFeatures: ...
    @overload
    def features(
        self, inputs: Any, *, patches: bool
    ) -> Float[Tensor, "inputs dim"] | PatchFeatures: ...
    def features(
        self, inputs: Any, *, patches: bool = False
    ) -> Float[Tensor, "inputs dim"] | PatchFeatures:
        """A vector an input, and with `patches=True` its map: `LoadedRun.features`."""
        return self.load().features(inputs, patches=patches)

    def show(self, inputs: Any, *, threshold: float = 0.3, most: int = 64) -> Shown:
        """Inputs with what the trained model says of them: `LoadedRun.show`."""
        return self.load().show(inputs, threshold=threshold, most=most)

    def evaluate(
        self, *words: str, split: str | None = None, device: str = "auto", **keys: Any
    ) -> dict[str, Any]:
        """`vit evaluate` of this run, on its own data or on others (`"data=folder"`, `data={…}`).

        Gives `metrics`, the `tables` by class, and the number of `images`. Raises Refused.

        >>> run.evaluate(split="val")["metrics"]
        """
        return evaluated(self.path, words, keys, split=split, device=device)

    def _repr_html_(self) -> str:
        rows = {"state": self.state, **{k: f"{v:.4f}" for k, v in _numbers(self.metrics).items()}}
        cells = "".join(
            f"<tr><th style='text-align:left'>{in_html(key)}</th><td>{in_html(value)}</td></tr>"
            for key, value in rows.items()
        )
        return f"<table><caption>{in_html(str(self.path))}</caption>{cells}</table>"


class Runs(Sequence[Run]):
    """Several runs, in order; in a notebook a table. `to_pandas()` gives a DataFrame."""

    def __init__(self, runs: Sequence[Run]):
        self._runs = list(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Runs: ...
    def __getitem__(self, at: int | slice) -> Run | Runs:
        return Runs(self._runs[at]) if isinstance(at, slice) else self._runs[at]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        lines = [f"{len(self)} runs", *(f"  {run.path}  {run.state}" for run in self)]
        return printable("\n".join(lines))

    def rows(self) -> list[dict[str, Any]]:
        """A plain row a run: its path, state, the keys in which the runs differ, its metrics."""
        configs = [_flat(run.config) for run in self]
        every = list(dict.fromkeys(key for config in configs for key in config))
        different = [
            key
            for key in every
            if key != "name" and len({repr(config.get(key)) for config in configs}) > 1
        ]
        return [
            {
                "run": str(run.path),
                "state": run.state,
                **{key: config.get(key) for key in different},
                **run.metrics,
            }
            for run, config in zip(self, configs, strict=True)
        ]

    def to_pandas(self) -> Any:
        """A DataFrame of `rows()`. Raises Refused where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise Refused([Fault("to_pandas", "needs pandas: pip install pandas")]) from None
        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        rows = self.rows()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        head = "".join(f"<th>{in_html(key)}</th>" for key in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{in_html(_shown(row.get(key)))}</td>' for key in columns)}</tr>"
            for row in rows[:MOST_ROWS]
        )
        more = f"<p>and {len(self) - MOST_ROWS:,} more</p>" if len(self) > MOST_ROWS else ""
        return f"<table><tr>{head}</tr>{body}</table>{more}"


def runs(*folders: str | Path) -> Runs:
    """All runs in these folders (`runs` if none is named), a sweep's trials in planned order.

    Raises Refused where there is no such folder, or no run in it.
    """
    from vit.review.reader import find_runs

    paths: dict[Path, None] = {}
    for folder in folders or ("runs",):
        paths.update(dict.fromkeys(find_runs(expanded(folder))))
    return Runs([Run(path) for path in paths])


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in metrics.items() if isinstance(value, int | float)}


def _flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
