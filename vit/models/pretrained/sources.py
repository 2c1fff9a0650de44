"""Where weights come from, as `backbone.weights` names it: a library, a file, or a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vit.faults import did_you_mean
from vit.models.foreign import Foreign
from vit.models.pretrained.assuming import assumed_timm_origin
from vit.models.pretrained.conversion import (
    Converted,
    converted,
    timm_converted,
)
from vit.models.pretrained.origin import Origin, Unfit
from vit.models.pretrained.reading import WeightsFile, read_weights
from vit.models.pretrained.timm_names import BESIDE, timm_rules
from vit.models.timm_models import check_name, create, fetched
from vit.runs.checkpoint import read_checkpoint
from vit.runs.directory import RunFolder

# Keys of a backbone that its weights do not depend on.
OF_TRAINING = (
    *("drop_path", "drop_path_mode", "dropout", "attention_dropout", "patch_dropout"),
    *("gradient_checkpointing", "weights"),
)
WANTED = "wanted timm:NAME, hf:NAME, torchvision:NAME, file:PATH or run:RUN_DIR"


def read_source(weights: str) -> Converted:
    """The weights that a config names, by our names. Raises ValueError that begins with them."""
    kind, _, name = weights.partition(":")
    if kind not in SOURCES or not name:
        raise Unfit(f"{weights!r} names no weights{did_you_mean(kind, SOURCES)}; {WANTED}")
    found = SOURCES[kind](name)
    return replace(found, origin=replace(found.origin, source=weights))


def _of_timm(name: str) -> Converted:
    check_name(name)
    model, _ = create(name, {}, fetched(name))
    return timm_converted(model, name)


def _of_file(name: str) -> Converted:
    file = read_weights(Path(name).expanduser())
    found = OF_LAYOUT[file.layout](file)
    left_out = [*found.left_out, *file.beside]
    return replace(found, left_out=left_out, sha256=file.sha256)


def _timm_file(file: WeightsFile) -> Converted:
    name = file.config.get("architecture")
    source = f"file:{file.path}"
    if isinstance(name, str):
        check_name(name)
        arguments = dict(file.config.get("model_args") or {})
        model, _ = create(name, arguments, file=Foreign(str(file.path), file.state, file.state))
        return timm_converted(model, name)
    origin = assumed_timm_origin(file.state, source)
    return converted(file.state, timm_rules(origin), origin, BESIDE)


def _own_file(file: WeightsFile) -> Converted:
    raise Unfit(
        f"file:{file.path} has our own names and no config; wanted run:RUN_DIR, the run's folder"
    )


def _of_run(name: str) -> Converted:
    folder = RunFolder(Path(name).expanduser())
    keys = dict(folder.config()["backbone"])
    if keys["_target_"] != "vit.models.backbone.ViT":
        raise Unfit(f"run:{name} has a backbone {keys['_target_']}; wanted one of backbone=vit")
    path = folder.best_checkpoint
    path = path if path.exists() else folder.last_checkpoint
    content = read_checkpoint(path)
    state, facts = _inside(content["state_dict"], "model.backbone."), content["facts"]
    height, width = facts["image_size"]
    origin = Origin(
        f"run:{name}",
        heads=keys["heads"],
        patch_size=keys["patch_size"],
        channels=facts["channels"],
        image_size=(height, width),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        rotary=keys["position"].get("rotary"),
        resize=keys["position"].get("resize", "bicubic_antialias"),
    )
    keys = {key: value for key, value in keys.items() if key not in OF_TRAINING}
    return Converted(state, keys, origin)


def _inside(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


SOURCES: dict[str, Callable[[str], Converted]] = {
    "timm": _of_timm,
    "file": _of_file,
    "run": _of_run,
}
OF_LAYOUT: dict[str, Callable[[WeightsFile], Any]] = {"timm": _timm_file, "vit": _own_file}
