"""Files of weights as they lie about: their wrappers taken off, and the config beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vit.models.pretrained.origin import Unfit
from vit.runs.tensor_file import BadTensorFile, bad_values, read_tensors, some, tensors_in

# Where training scripts keep weights, the ones to be taken first: averages before others.
WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema", "teacher", "params_ema"),
    *("state_dict", "model", "module", "backbone", "encoder", "target_encoder"),
)
# By the patch embedding a layout is known; what stands before it is before all names.
LAYOUTS = {
    "patch_embed.proj.weight": "timm",
    "conv_proj.weight": "torchvision",
    "embeddings.patch_embeddings.projection.weight": "hf",
    "embeddings.patch_embeddings.weight": "hf",
    "embeddings.patch_embedding.weight": "hf",
    "patch.proj.weight": "vit",
}
IN_A_FOLDER = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin")


@dataclass
class WeightsFile:
    """The tensors of one model in a file, by their names there, and what tells of them."""

    path: Path
    layout: str
    state: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)  # config.json beside it
    beside: list[str] = field(default_factory=list)  # tensors of the file that are none of these
    sha256: str = ""
    header: dict[str, str] = field(default_factory=dict)  # of safetensors


def read_weights(path: Path) -> WeightsFile:
    """The weights of a plain vision transformer in a file, or in a folder with a known file name.

    Raises Unfit for what is no such file, or cannot be read safely.
    """
    path = _in_folder(path) if path.is_dir() else path
    try:
        content = read_tensors(path)
    except BadTensorFile as error:
        raise Unfit(f"file:{path} {error}") from error
    every = dict(tensors_in(unwrapped(content)))
    if not every:
        raise Unfit(f"file:{path} holds no tensors; wanted the weights of a vision transformer")
    found = _layouts(every)
    if not found:
        raise Unfit(
            f"file:{path} holds {len(every):,} tensors ({some(list(every))}) and none of them is "
            f"a patch embedding; wanted one of {', '.join(LAYOUTS)}"
        )
    if len(found) > 1:
        places = ", ".join(repr(prefix or "no prefix") for prefix, _ in found)
        raise Unfit(f"file:{path} holds several vision transformers, behind {places}; wanted one")
    ((prefix, layout),) = found
    state = {n.removeprefix(prefix): t for n, t in every.items() if n.startswith(prefix)}
    if fault := bad_values(state):
        raise Unfit(f"file:{path} holds {fault}")
    beside = [name for name in every if not name.startswith(prefix)]
    config, header = config_beside(path), header_of(path)
    return WeightsFile(path, layout, state, config, beside, sha256(path), header)


def unwrapped(content: Any) -> Any:
    """What a training script wrapped, the averaged weights first; without DDP's and compile's."""
    for _ in range(3):
        inner = next(
            (
                content[key]
                for key in WRAPPERS
                if isinstance(content, Mapping)
                and isinstance(content.get(key), Mapping)
                and any(True for _ in tensors_in(content[key]))
            ),
            None,
        )
        if inner is None:
            break
        content = inner
    return content


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def header_of(path: Path) -> dict[str, str]:
    """What the header of a safetensors file says besides names; {} for other files."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def config_beside(path: Path) -> dict[str, Any]:
    """config.json in the folder of a file, as timm's and Hugging Face's have it; {} without."""
    place = path.with_name("config.json")
    if not place.is_file():
        return {}
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unfit(f"{place} cannot be read ({error}); mend it, or take it away") from error
    return content if isinstance(content, dict) else {}


def _layouts(every: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Every prefix behind which a patch embedding is found, with the layout of its name."""
    found = {}
    for name in every:
        for ending, layout in LAYOUTS.items():
            if name == ending or name.endswith(f".{ending}"):
                found[name.removesuffix(ending)] = layout
    return list(found.items())


def _in_folder(folder: Path) -> Path:
    for name in IN_A_FOLDER:
        if (folder / name).is_file():
            return folder / name
    raise Unfit(f"file:{folder} is a folder with none of {', '.join(IN_A_FOLDER)}; name a file")
