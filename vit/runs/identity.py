"""What makes two runs the same run: everything in a config that can change a number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

REMARKS = ("note", "tags")  # what a person says of a run, see vit/runs/remarks.py
NO_NUMBER_DEPENDS_ON = ("name", *REMARKS, "tracking", "watch", "allow_targets")
# Of these what runs is of the command that is given, never of a folder that was there.
WHOSE_COMMAND_IT_IS = ("tracking", "watch", "allow_targets")
HOW_CHECKPOINTS_ARE_WRITTEN = (
    "keep_last",
    "keep_best",
    "keep_every_n_steps",
    "keep_every_n_epochs",
    "asynchronous",
    "sharded",
)
PATHS = ("root", "path", "image_root", "cache_dir")
# Keys that came after runs had been named by the hash of all others: dotted key → the value that
# changes nothing. A config that holds it is the same run as one from before the key, so that
# nobody's run is renamed by an upgrade. The class must take that very value where the key is left
# out, since old folders go on without it. See "Adding a key" in CONTRIBUTING.md.
ADDED: dict[str, Any] = {
    "data.class_sampling": 0.0,
    "data.on_unseen_class": "error",
    "data.group_column": None,
    "data.split_by_group": False,
    "data.split_files": None,
    "data.first_pixel": 1,
    "data.image_suffix": "",
    "data.mask_suffix": "",
    "data.class_values": None,
    "data.ignore_value": None,
    "data.values": None,
    "data.palette": None,
    "data.ignore_classes": [],
    "task.class_weights": None,
    "task.pixel_loss": {"_target_": "vit.losses.pixels.CrossEntropy"},
    "backbone.stages": None,
    "trainer.sync_batchnorm": False,
    "init": None,
    "extend": None,
    "extend_lr_scale": None,
    "backbone.input_norm": False,
    "backbone.output_norm": "tokens",
    "backbone.prefix_positions": 0,
    "backbone.partial_patches": False,
    "backbone.weights": None,
    "backbone.position.resize": "bicubic_antialias",
    "backbone.mlp.width": None,
    "tuning": None,
}


def config_hash(config: Mapping[str, Any]) -> str:
    """40 hex digits that change with seed, threads, devices, model, data and recipe."""
    kept = without_neutral(config)
    kept = {key: value for key, value in kept.items() if key not in NO_NUMBER_DEPENDS_ON}
    if isinstance(saving := kept.get("checkpoint"), dict):
        gone = HOW_CHECKPOINTS_ARE_WRITTEN
        kept["checkpoint"] = {key: value for key, value in saving.items() if key not in gone}
    try:
        text = json.dumps(kept, sort_keys=True, default=str)
    except TypeError:  # keys of mixed types, as in a map of classes: 1 and "person" have no order
        text = json.dumps(_by_text(kept), sort_keys=True, default=str)
    return hashlib.sha1(text.encode()).hexdigest()


def without_neutral(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The config without the keys of `ADDED` that hold the value that changes nothing.

    `above` is where the mapping stands in the whole config, such as `backbone.`.
    """
    kept = {}
    for key, value in config.items():
        name = f"{above}{key}"
        if name in ADDED and _as_written(value) == _as_written(ADDED[name]):
            continue
        inside = any(added.startswith(f"{name}.") for added in ADDED)
        kept[key] = (
            without_neutral(value, f"{name}.") if inside and isinstance(value, dict) else value
        )
    return kept


def _as_written(value: object) -> str:
    """As the hash sees it: 1, 1.0 and true are three values."""
    return json.dumps(value, sort_keys=True, default=str)


def _by_text(value: object) -> Any:
    """Keys as text that still tells 1 from "1"; only where JSON's own order fails."""
    if isinstance(value, dict):
        return {f"{type(key).__name__} {key}": _by_text(each) for key, each in value.items()}
    return [_by_text(each) for each in value] if isinstance(value, list | tuple) else value


def trial_id(config: Mapping[str, Any], data_fingerprint: str) -> str:
    """The same for the same numbers wherever the data lie: paths out, their content in."""
    kept = {**config, "data": {k: v for k, v in config["data"].items() if k not in PATHS}}
    both = f"{config_hash(kept)} {data_fingerprint}"
    return hashlib.sha1(both.encode()).hexdigest()[:12]


def group_id(config: Mapping[str, Any]) -> str:
    """The same for all seeds of one configuration."""
    return config_hash({key: value for key, value in config.items() if key != "seed"})[:12]


def differences(old: object, new: object, above: str = "") -> list[str]:
    """`backbone.depth: 4, now 6` for every leaf in which two configs differ, paths only for show.

    Tracking and the like are compared neither: they change no number. Nor does a key of an upgrade
    that holds the value that changes nothing.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        changes = []
        old, new = without_neutral(old, above), without_neutral(new, above)
        for key in sorted({*old, *new}, key=str):
            if not above and key in NO_NUMBER_DEPENDS_ON:
                continue
            if above == "checkpoint." and key in HOW_CHECKPOINTS_ARE_WRITTEN:
                continue
            missing = object()
            neutral = ADDED.get(f"{above}{key}", missing)
            before, after = old.get(key, neutral), new.get(key, neutral)
            if before is missing or after is missing:
                changes.append(f"{above}{key}: {'new' if before is missing else 'gone'}")
            else:
                changes += differences(before, after, f"{above}{key}.")
        return changes
    return [] if old == new else [f"{above.rstrip('.')}: {old!r}, now {new!r}"]
