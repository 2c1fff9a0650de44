"""What must not move while the house is rebuilt: ids of runs, names in checkpoints, weights.

python tests/guards/pins.py            write tests/guards/*.json anew (which renames runs: see
                                       "Adding a key" in CONTRIBUTING.md before you do)
python tests/guards/pins.py weights FOLDER   train the small experiments for a few steps each, and
                                       print a hash of their weights: the same before and after a
                                       change, on one machine (two CPUs may round differently)
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from vit.cli.compose import compose, config_folder
from vit.facts import Facts
from vit.runs.identity import (
    HOW_CHECKPOINTS_ARE_WRITTEN,
    NO_NUMBER_DEPENDS_ON,
    config_hash,
    trial_id,
    without_neutral,
)
from vit.tasks.assembly import assemble_data, assemble_model

HERE = Path(__file__).parent
# What an experiment on data of one's own wants to be told before it composes.
MUST_BE_GIVEN = {
    **{f"{name}_small": ["data.root=mine"] for name in ("classify", "detect", "segment")},
    **{
        f"{name}_gpu": ["data.root=mine", "backbone.pretrained=false"]
        for name in ("classify", "detect", "segment")
    },
    "detection": ["data.root=mine", "backbone.pretrained=false"],
    "imagenet_deit": ["data.root=mine"],
    "spoken_digits": ["data.root=mine", "data.test_groups=[theo]"],
    **{name: ["data.train=mine.tsv"] for name in ("package_sections", "synopses", "translation")},
}
SHIPS_ITS_DATA = (
    "digits",
    "digit_scenes",
    "digit_scenes_small",
    "digit_masks",
    "digit_segments",
    "digit_captions",
    "number_words",
)
OTHER_MODELS = (
    *(f"task=detection data=digit_scenes head={head}" for head in ("boxrpb", "detr", "tokens")),
    "task=detection data=digit_scenes head=deformable head/denoising=contrastive",
    "task=segmentation data=digit_scenes_semantic head=semantic",
    "task=segmentation data=digit_scenes_semantic head=masks",
)
OTHER_IMAGES = {  # height, width, channels of data that are not here
    "cifar10": (32, 32, 3),
    "cifar100": (32, 32, 3),
    "fashion_mnist": (28, 28, 1),
    "imagenet_deit": (224, 224, 3),
    "spoken_digits": (40, 48, 1),
}
FEW_STEPS = (
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "threads=1",
    "schedule=constant",
    "schedule.warmup_epochs=0",
    "data.batch_size=4",
    "tracking=none",
)


def words_of(experiment: str) -> list[str]:
    given = MUST_BE_GIVEN.get(experiment, [])
    return [f"experiment={experiment}", "threads=1", "name=x", *given]


def experiments() -> list[str]:
    return sorted(path.stem for path in (config_folder() / "experiment").glob("*.yaml"))


def ids() -> dict[str, list[str]]:
    """Of each shipped experiment: the hash of its config, its trial's id for data called "data"."""
    configs = {name: compose(words_of(name)) for name in experiments()}
    return {name: [config_hash(each), trial_id(each, "data")] for name, each in configs.items()}


def keys() -> dict[str, dict[str, Any]]:
    """Of each shipped config file but experiments: the keys that a run's id hangs on."""
    folder = config_folder()
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name.startswith("experiment/"):
            continue  # each is pinned as a whole in `ids`
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text) or {}
        everywhere = "@package _global_" in text or "/" not in name
        place = "" if everywhere else name.rpartition("/")[0].replace("/", ".")
        content.pop("defaults", None)  # what they choose stands in `ids`
        whole: Any = content
        for part in reversed(place.split(".") if place else []):
            whole = {part: whole}
        leaves = dict(_leaves(without_neutral(whole)))
        found[name] = {key: value for key, value in leaves.items() if key and not _is_free(key)}
    return found


def _is_free(key: str) -> bool:
    """Whether no run's id hangs on it."""
    first, _, second = key.partition(".")
    saving = first == "checkpoint" and second in HOW_CHECKPOINTS_ARE_WRITTEN
    return saving or first in (*NO_NUMBER_DEPENDS_ON, "sweep", "hydra")


def _leaves(config: Any, above: str = "") -> Any:
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from _leaves(value, f"{above}{key}.")
    else:
        yield above.rstrip("."), config


def states() -> dict[str, list[Any]]:
    """Of models: how many tensors their state dict has, how many numbers, and a hash of all names,
    shapes and types in their order."""
    found = {}
    for name in SHIPS_ITS_DATA:
        found[name] = _state(words_of(name))
    for words in OTHER_MODELS:
        found[words] = _state([*words.split(), "threads=1"])
    for name, (height, width, channels) in OTHER_IMAGES.items():
        names = tuple(f"class {i}" for i in range(10))
        facts = Facts(10, names, (height, width), channels, (0.5,) * channels, (0.5,) * channels)
        found[name] = _state(words_of(name), facts)
    return found


def _state(words: list[str], facts: Any = None) -> list[Any]:
    config = compose(words)
    facts = facts or assemble_data(config).facts
    with torch.device("meta"):
        model = assemble_model(config, facts)
    state = model.state_dict()
    lines = [f"{name} {tuple(each.shape)} {each.dtype}" for name, each in state.items()]
    digest = hashlib.sha1("\n".join(lines).encode()).hexdigest()
    return [len(lines), sum(each.numel() for each in state.values()), digest]


def weights(folder: Path) -> dict[str, str]:
    """Of each experiment that ships its data: a hash of all weights after three steps."""
    found = {}
    for name in SHIPS_ITS_DATA:
        run = folder / name
        words = [f"experiment={name}", *FEW_STEPS, f"hydra.run.dir={run}"]
        result = subprocess.run(
            [sys.executable, "-m", "vit", "train", *words], capture_output=True, text=True
        )
        if result.returncode:
            found[name] = f"exit {result.returncode}: {result.stderr.strip()[-300:]}"
            continue
        saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        digest = hashlib.sha1()
        for key, value in saved.items():
            digest.update(key.encode() + value.contiguous().numpy().tobytes())
        found[name] = digest.hexdigest()
        print(name, found[name], flush=True)
    return found


def write() -> None:
    for name, pinned in (("ids", ids()), ("keys", keys()), ("states", states())):
        text = json.dumps(pinned, indent=1, ensure_ascii=False)
        (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["weights"]:
        print(json.dumps(weights(Path(sys.argv[2])), indent=1))
    elif sys.argv[1:] == ["states"]:
        print(json.dumps(states()))
    else:
        write()
