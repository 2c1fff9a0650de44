"""One run as the review reads it, whoever has recorded it: vit, or W&B alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vit.review.history import Series
from vit.runs.counted import mark, ways
from vit.runs.identity import group_id


@dataclass
class Run:
    """One run folder: its small files as they are, and every metric as a series.

    A run that only W&B has recorded is put into the same words.
    """

    path: Path
    config: dict[str, Any]
    state_json: dict[str, Any]
    results: dict[str, Any]  # metrics.json; empty unless the run is done
    stamp: dict[str, Any]  # without the text of uncommitted changes
    trial: dict[str, Any]  # trial.json; empty where the run belongs to no sweep
    history: dict[str, Series]
    log_tail: list[str] = field(default_factory=list)
    state: str = "planned"  # as in state.json, or `cut off`: its process is gone
    title: str = ""  # where its folder's name says little

    @property
    def name(self) -> str:
        return self.title or self.path.name

    @property
    def seed(self) -> int:
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else 0

    @property
    def group(self) -> str:
        """The same for all seeds of one configuration on the same data."""
        planned = self.trial.get("group") or self._group_of_config
        data = str(inside(self.stamp, "data", "fingerprint") or "")
        return "-".join(filter(None, (str(planned), data[:8], mark(self.counted))))

    @cached_property
    def _group_of_config(self) -> str:
        return group_id(self.config)

    @property
    def counted(self) -> dict[str, str]:
        """How its metrics were counted, where that has changed; see vit/runs/counted.py."""
        counting = self.results if self.state == "done" else self.stamp
        return ways(counting.get("counted")) or ways(self.trial.get("counted"))

    @property
    def metrics(self) -> dict[str, object]:
        """Of the selected checkpoint; of a run that is not done none."""
        metrics = self.results.get("metrics")
        return metrics if self.state == "done" and isinstance(metrics, dict) else {}

    @property
    def tables(self) -> dict[str, Any]:
        tables = self.results.get("tables")
        return tables if isinstance(tables, dict) else {}

    @property
    def monitor(self) -> tuple[str, str] | None:
        """The metric that selected its checkpoint, and `max` or `min`."""
        metric = inside(self.config, "checkpoint", "monitor")
        mode = inside(self.config, "checkpoint", "mode")
        return (metric, "max" if mode == "max" else "min") if isinstance(metric, str) else None


def inside(content: object, *keys: str) -> Any:
    """`content[key][key]…`, or None where there is no such thing: files come from anywhere."""
    for key in keys:
        if not isinstance(content, dict):
            return None
        content = content.get(key)
    return content


@dataclass
class Runs:
    """What was read, and what could not be."""

    runs: list[Run]
    notes: list[str] = field(default_factory=list)
