"""Runs gathered by configuration, and the settings in which configurations differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from vit.review.run import Run, inside
from vit.runs.identity import (
    ADDED,
    HOW_CHECKPOINTS_ARE_WRITTEN,
    NO_NUMBER_DEPENDS_ON,
    PATHS,
    without_neutral,
)

LONGEST_VALUE = 48  # characters of a value on the page
FINGERPRINT = "data fingerprint"
IGNORED = {
    *NO_NUMBER_DEPENDS_ON,
    *("seed", "schema_version"),
    *(f"checkpoint.{key}" for key in HOW_CHECKPOINTS_ARE_WRITTEN),
    *(f"data.{key}" for key in PATHS),
}
# By what machine a run is fed and computed: named as a cause only where nothing else differs.
OF_THE_MACHINE = ("data.num_workers", "threads", "trainer.devices", "trainer.num_nodes")


@dataclass(frozen=True)
class Factor:
    """A setting that is not the same in all configurations; `also` changes along with it."""

    key: str
    short: str  # the shortest end of the key that no other factor has
    also: tuple[str, ...] = ()


@dataclass
class Configuration:
    """All runs that differ in nothing but their seed."""

    id: str
    label: str
    runs: list[Run]
    settings: dict[str, object] = field(default_factory=dict)  # factor's key → value

    def values(self, metric: str) -> dict[int, float]:
        """Seed → finite value, of runs that are done; of one seed run twice the later."""
        values: dict[int, float] = {}
        for run in sorted(self.runs, key=ended):
            value = run_value(run, metric)
            if value is not None:
                values[run.seed] = value
        return values


def run_value(run: Run, metric: str) -> float | None:
    """What a finished run says of a metric: at its selected checkpoint, else at its end."""
    if run.state != "done":
        return None
    value = run.metrics.get(metric)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if value is not None or metric not in run.history:
        return None
    last = float(run.history[metric].values[-1])
    return last if math.isfinite(last) else None


def so_far(run: Run, metric: str, mode: str) -> float | None:
    """The best that a run which is not done has recorded of a metric."""
    series = run.history.get(metric)
    if run.state == "done" or series is None:
        return None
    finite = series.values[np.isfinite(series.values)]
    return float(finite.max() if mode == "max" else finite.min()) if len(finite) else None


def ended(run: Run) -> float:
    """When its state was last written, in seconds since 1970."""
    updated = run.state_json.get("updated")
    return float(updated) if isinstance(updated, int | float) else 0.0


def gather(runs: list[Run]) -> tuple[list[Configuration], list[Factor]]:
    """Configurations in the order of their first run, and the settings in which they differ."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    leaves = {group: _settings(members[0]) for group, members in groups.items()}
    overrides = [inside(run.trial, "overrides") for run in runs]
    swept = {key for words in overrides if isinstance(words, dict) for key in words}
    factors = _factors(list(leaves.values()), swept)
    configurations = []
    for group, members in groups.items():
        settings = {factor.key: leaves[group].get(factor.key) for factor in factors}
        words = [f"{factor.short}={format_value(settings[factor.key])}" for factor in factors]
        configurations.append(Configuration(group, " ".join(words), members, settings))
    _make_unique(configurations)
    return configurations, factors


def format_value(value: object) -> str:
    """A setting as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _settings(run: Run) -> dict[str, object]:
    neutral = (leaf for key, value in ADDED.items() for leaf in _leaves(value, f"{key}."))
    own = _leaves(without_neutral(run.config), "")
    settings: dict[str, object] = {**dict(neutral), **dict(own)}
    if fingerprint := inside(run.stamp, "data", "fingerprint"):
        settings[FINGERPRINT] = str(fingerprint)[:8]
    if run.counted:
        settings["counted"] = "; ".join(sorted(set(run.counted.values())))
    return settings


def _leaves(config: object, above: str) -> Iterator[tuple[str, object]]:
    if isinstance(config, dict) and config:
        for key, value in config.items():
            if f"{above}{key}" not in IGNORED:
                yield from _leaves(value, f"{above}{key}.")
        return
    key = above.rstrip(".")
    if key.endswith("_target_") and isinstance(config, str):
        config = config.rsplit(".", 1)[-1]
    yield key, config


def _factors(leaves: list[dict[str, object]], swept: set[str]) -> list[Factor]:
    """Settings that split the configurations alike are one factor, named as the sweep named it.

    So are a part and those of its settings that follow from which class it is: what only a rotary
    position has is no factor beside `position`.
    """
    keys = dict.fromkeys(key for settings in leaves for key in settings)
    splits = {key: _split([repr(settings.get(key)) for settings in leaves]) for key in keys}
    splits = {key: split for key, split in splits.items() if max(split) > 0}
    parts = [key for key in splits if key.endswith("._target_")]
    alike: dict[tuple[int, ...], list[str]] = {}
    for key, split in splits.items():
        for part in parts:
            pairs = set(zip(splits[part], split, strict=True))
            if (
                key.startswith(part.removesuffix("_target_"))
                and len(pairs) == max(splits[part]) + 1
            ):
                split = splits[part]
        alike.setdefault(split, []).append(key)
    named = []
    for together in alike.values():
        # Of parts the whole: a head that brings its neck is called by the head's name.
        key = min(
            together,
            key=lambda key: (
                key not in swept,
                key in OF_THE_MACHINE,
                key == FINGERPRINT,
                key not in parts,
                key.count("."),
            ),
        )
        named.append((key, tuple(other for other in together if other != key)))
    names = [key for key, _ in named]
    return [Factor(key, _short(key, names), also) for key, also in named]


def _split(values: list[str]) -> tuple[int, ...]:
    """Equal values have equal numbers, counted from 0 in the order they first come in."""
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(value, len(numbers)) for value in values)


def _short(key: str, others: list[str]) -> str:
    """A part is called by its place in the config: `pool`, not `pool._target_`."""
    ends = [other.removesuffix("._target_") for other in others]
    parts = key.removesuffix("._target_").split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if sum(f".{other}".endswith(f".{end}") for other in ends) == 1:
            return end
    return ".".join(parts)


def _make_unique(configurations: list[Configuration]) -> None:
    labels = [each.label for each in configurations]
    for each, label in zip(configurations, labels, strict=True):
        if not label:
            each.label = each.runs[0].name if len(each.runs) == 1 else "the only configuration"
        if labels.count(label) > 1:
            each.label = f"{label} ({each.id[:6]})".strip()
