"""Where weights come from, as `backbone.weights` names it: a library, a file, or a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vit.faults import Refused, did_you_mean
from vit.models.foreign import Foreign
from vit.models.pretrained.assuming import assumed_timm_origin, assumed_torchvision_origin
from vit.models.pretrained.conversion import (
    TIMM,
    TORCHVISION,
    Converted,
    converted,
    hf_converted,
    torchvision_outline,
)
from vit.models.pretrained.origin import Origin, Unfit
from vit.models.pretrained.reading import WeightsFile, read_weights
from vit.models.pretrained.timm_names import BESIDE, timm_rules
from vit.models.pretrained.torchvision_names import BESIDE as TORCHVISION_BESIDE
from vit.models.pretrained.torchvision_names import torchvision_rules
from vit.models.timm_models import check_name, create, fetched
from vit.runs.tensor_file import bad_values
from vit.weights.of_run import source_of

# Keys of a backbone that its weights do not depend on.
OF_TRAINING = (
    *("drop_path", "drop_path_mode", "dropout", "attention_dropout", "patch_dropout"),
    *("gradient_checkpointing", "weights"),
)
FACTS = ("image_size", "channels", "mean", "std")
# Arguments of timm's that name other files than the one that was given.
LEADS_ELSEWHERE = frozenset(
    ("checkpoint_path", "cache_dir", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
)
# What is raised on the way through names, shapes and configs that are of no known model.
MISSHAPEN = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError)
MOST_SAID = 300  # letters
WANTED = "wanted timm:NAME, hf:NAME, torchvision:NAME, file:PATH or run:RUN_DIR"


def read_source(weights: str) -> Converted:
    """The weights that a config names, by our names. Raises ValueError that begins with them."""
    kind, _, name = weights.partition(":")
    if kind not in SOURCES or not name:
        meant = did_you_mean(kind, SOURCES) if kind not in SOURCES else ""
        raise Unfit(f"{weights!r} names no weights; {WANTED}.{meant}")
    try:
        found = SOURCES[kind](name)
    except Unfit:
        raise
    except MISSHAPEN as error:
        what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:MOST_SAID]
        raise Unfit(f"{weights} is not as such weights are made ({what}); take others") from error
    return replace(found, origin=replace(found.origin, source=weights))


def _of_timm(name: str) -> Converted:
    check_name(name)
    model, _ = create(name, {}, fetched(name))
    return TIMM.converted(model, name)


def _of_torchvision(name: str) -> Converted:
    torchvision_outline(name)  # refused by name before anything is fetched
    from torchvision.models import get_model

    return TORCHVISION.converted(get_model(name, weights="DEFAULT"), name)


def _of_hf(name: str) -> Converted:
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        message = " ".join(str(error).split())[:300]
        raise Unfit(
            f"hf:{name} is not in the cache of transformers and could not be fetched ({message}). "
            "Download its model.safetensors and config.json, and take file:FOLDER"
        ) from error
    return hf_converted(model, name=name)


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
        arguments = _sizes(file)
        model, _ = create(name, arguments, file=Foreign(str(file.path), file.state, file.state))
        return TIMM.converted(model, name)
    origin = assumed_timm_origin(file.state, source)
    return converted(file.state, timm_rules(origin), origin, BESIDE)


def _sizes(file: WeightsFile) -> dict[str, Any]:
    """The arguments of timm's that the config beside a file sets, which may be anybody's."""
    found = file.config.get("model_args") or {}
    if not isinstance(found, Mapping):
        raise Unfit(f"file:{file.path}: model_args in its config.json is no mapping")
    if named := sorted(LEADS_ELSEWHERE.intersection(found)):
        message = f"model_args in its config.json sets {', '.join(named)}; wanted sizes of a model"
        raise Unfit(f"file:{file.path}: {message}. Take that out of it")
    return dict(found)


def _torchvision_file(file: WeightsFile) -> Converted:
    origin = assumed_torchvision_origin(file.state, f"file:{file.path}")
    return converted(file.state, torchvision_rules(origin), origin, TORCHVISION_BESIDE)


def _hf_file(file: WeightsFile) -> Converted:
    if not file.config:
        raise Unfit(
            f"file:{file.path} has Hugging Face's names, which do not tell what model they are of; "
            "put the config.json that it was published with beside it"
        )
    return hf_converted(file.state, file.config)


def _exported(file: WeightsFile) -> Converted:
    """Of a file that `vit export` wrote, whose header has the run's config and facts."""
    try:
        header = {key: json.loads(file.header[key]) for key in ("config", *FACTS)}
        keys = header["config"]["backbone"]
    except (KeyError, ValueError, TypeError) as error:
        raise Unfit(
            f"file:{file.path} has our names and not the header that `vit export` writes; wanted "
            "such a file, or run:RUN_DIR"
        ) from error
    return _own(file.state, keys, header, f"file:{file.path}")


def _of_run(name: str) -> Converted:
    where = f"run:{name}"
    try:
        source = source_of(name, where)
        content = source.read()
        tensors = source.tensors(content)
    except Refused as refused:
        raise Unfit(str(refused)) from refused
    state = _inside(tensors, "backbone.")
    if fault := bad_values(state):
        raise Unfit(f"{source.checkpoint} holds {fault}. Take another run")
    return _own(state, source.config["backbone"], content["facts"], where)


def _own(
    state: dict[str, Tensor], keys: Mapping[str, Any], facts: Mapping[str, Any], source: str
) -> Converted:
    """Weights of a backbone of ours, which keep all that a config said of it but for training."""
    if keys.get("_target_") != "vit.models.backbone.ViT":
        raise Unfit(f"{source} has a backbone {keys.get('_target_')}; wanted one of backbone=vit")
    height, width = facts["image_size"]
    position = keys["position"]
    origin = Origin(
        source,
        heads=keys["heads"],
        patch_size=keys["patch_size"],
        channels=facts["channels"],
        image_size=(height, width),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        rotary=position.get("rotary"),
        resize=position.get("resize", "bicubic_antialias"),
    )
    kept = {key: value for key, value in keys.items() if key not in OF_TRAINING}
    return Converted(state, kept, origin)


def _inside(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


SOURCES: dict[str, Callable[[str], Converted]] = {
    "timm": _of_timm,
    "hf": _of_hf,
    "torchvision": _of_torchvision,
    "file": _of_file,
    "run": _of_run,
}
OF_LAYOUT: dict[str, Callable[[WeightsFile], Any]] = {
    "timm": _timm_file,
    "torchvision": _torchvision_file,
    "hf": _hf_file,
    "vit": _exported,
}
