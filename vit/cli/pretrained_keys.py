"""`backbone.weights=…`: the keys of the architecture are those of the weights, or contradict them.

They are written into the config here, so that a frozen run needs the weights no more to be loaded.
"""

from __future__ import annotations

from typing import Any

from vit.faults import Fault

OURS = "vit.models.backbone.ViT"


def with_architecture(
    config: dict[str, Any], words: list[str]
) -> tuple[dict[str, Any], list[Fault]]:
    """The config with its backbone as the weights are, and the keys that contradict these.

    A key counts as said where the command names it, or where it is not the default of backbone=vit.
    """
    backbone = config.get("backbone")
    if not isinstance(backbone, dict) or not backbone.get("weights"):
        return config, []
    if backbone.get("_target_") != OURS:
        return config, []  # a fault of the schema's
    if not isinstance(backbone["weights"], str):
        return config, []
    from vit.models.pretrained.keys import contradictions, merged, source_keys

    try:
        keys, assumed = source_keys(backbone["weights"])
    except (ValueError, ImportError, OSError) as error:
        return config, [Fault("backbone.weights", str(error))]
    named = [key for word in words if (key := said(word))]
    known = {key: value for key, value in keys.items() if key not in assumed or key not in named}
    faults = contradictions(backbone, known, named)
    return {**config, "backbone": merged(backbone, known, named)}, faults


def said(word: str) -> str:
    """The key of the backbone that a word of the command sets, such as `depth`; empty for none."""
    key = word.partition("=")[0].lstrip("+")
    for start in ("backbone.", "backbone/"):
        if key.startswith(start):
            return key.removeprefix(start).replace("/", ".")
    return ""
