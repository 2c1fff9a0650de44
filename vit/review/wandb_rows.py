"""What W&B's files and its server have in common: rows of a history, settings, best values."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from vit.runs.counted import ways

STEP = "trainer/global_step"  # Lightning's count of optimizer steps, where it was logged
OF_WANDB = frozenset({"_step", "_runtime", "_timestamp", "_wandb", STEP})
GROUP = "config_without_seed"  # where vit's own tracker keeps the hash of a run's group
NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})  # as the server has them, in quotes


class Axes:
    """Which metric is drawn over which, as `define_metric` has said."""

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._globs: list[tuple[str, str]] = []
        self._known: dict[str, str] = {}

    def define(self, name: str, glob: str, step_metric: str) -> None:
        """Both names as W&B keeps them: one is empty. A later word on the same name counts."""
        if step_metric and name:
            self._exact[_plain_name(name)] = step_metric
        elif step_metric:
            self._globs.insert(0, (glob, step_metric))
        self._known = {}

    def of(self, metric: str) -> str:
        """The metric that counts its steps; empty where W&B's own step does.

        An epoch counts no steps: the page has an axis of epochs, and takes them from their metric.
        """
        known = self._known.get(metric)
        if known is None:
            matching = (axis for glob, axis in self._globs if fnmatchcase(metric, glob))
            known = self._exact.get(metric) or next(matching, "")
            self._known[metric] = known = "" if known.endswith("epoch") else known
        return known


def add_row(
    columns: dict[str, dict[int, float]], row: dict[str, Any], step_of_wandb: int, axes: Axes
) -> None:
    """Adds a row of the history to metric → step → value.

    Values are JSON as text or what it says; a picture, a table or a word is left out. The step is
    Lightning's where the row has it, else the metric's own `step_metric`, else `step_of_wandb`.
    """
    logged = _whole(row.get(STEP))
    for name, logged_value in row.items():
        if name in OF_WANDB:
            continue
        value = number(logged_value)
        if value is None:
            continue
        step = logged
        if step is None and (axis := axes.of(name)):
            step = _whole(row.get(axis))
        columns.setdefault(name, {})[step_of_wandb if step is None else step] = value


def number(logged: object) -> float | None:
    """A logged value as a number; None where it is none. NaN and infinity come as words."""
    if isinstance(logged, str):
        try:
            return float(logged)  # JSON's numbers are Python's
        except ValueError:
            word = logged.strip('"')
            return float(word) if word in NO_NUMBERS else None
    if isinstance(logged, bool) or not isinstance(logged, int | float):
        return None
    return float(logged)


def _whole(logged: object) -> int | None:
    if logged is None:
        return None
    value = number(logged)
    return int(value) if value is not None and value.is_integer() else None


def best(value: Any) -> Any:
    """Of a metric that was defined with a best value that value, else the last."""
    if isinstance(value, dict):
        value = value.get("max", value.get("min"))
    return float(value) if isinstance(value, str) and value in NO_NUMBERS else value


def as_ours(config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's settings as a config of `vit train` has them, and what `Run.trial` should say.

    Settings come nested, or flat as `optim.lr` and `optim/lr`: both become nested. Where vit has
    tracked the run, its group is the one that it has in its own folder.
    """
    nested: dict[str, Any] = {}
    for key, value in config.items():
        if key not in ("_wandb", GROUP):
            _put(nested, re.split(r"[./]", key) if _is_path(key) else [key], value)
    group, counted = config.get(GROUP), ways(nested.pop("counted", None))
    trial: dict[str, Any] = {"group": group} if isinstance(group, str) else {}
    return nested, {**trial, "counted": counted} if counted else trial


def _is_path(key: str) -> bool:
    return all(re.split(r"[./]", key))


def _put(nested: dict[str, Any], path: list[str], value: Any) -> None:
    at = nested
    for depth, part in enumerate(path[:-1]):
        below = at.setdefault(part, {})
        if not isinstance(below, dict):  # `optim` is a value and `optim.lr` another
            at[".".join(path[depth:])] = value
            return
        at = below
    if isinstance(value, dict) and isinstance(at.get(path[-1]), dict):
        for key, inner in value.items():
            _put(at[path[-1]], [key], inner)
    else:
        at[path[-1]] = value


def _plain_name(name: str) -> str:
    return name.replace("\\.", ".")  # W&B escapes dots in the names of metrics
