"""Models that others trained: theirs behind our Features, or their weights in our own backbone.

`from_timm`, `from_torchvision` and `from_hf` make a `vit.models.backbone.ViT` of the same function;
`to_timm`, `to_torchvision` and `to_hf` give its weights back by their names. `TimmBackbone` is
timm's own model. What is in here is imported when it is asked for.

    origin       what no tensor of a file tells of a model, and the keys of ours that follow
    rules        from their names to ours and back, as tables
    timm_names, torchvision_names, hf_names   one source each: its origin and its rules
    assuming     the origin of a file with nothing beside it
    conversion   between their tensors and ours
    exchange     the functions above
    reading      files, of whatever wrapping, and the config beside them
    sources      timm:NAME, hf:NAME, torchvision:NAME, file:PATH, run:RUN_DIR
    fitting      to other images and other channels
    starting     a backbone that starts from them, and what is said of it
    keys         a config that names them: what follows, what contradicts
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what readers of source, and of types, follow
    from vit.models.pretrained.exchange import (
        from_hf,
        from_timm,
        from_torchvision,
        to_hf,
        to_timm,
        to_torchvision,
    )
    from vit.models.pretrained.timm_backbone import TimmBackbone

__all__ = [
    "TimmBackbone",
    "from_hf",
    "from_timm",
    "from_torchvision",
    "to_hf",
    "to_timm",
    "to_torchvision",
]

WHERE = {
    "TimmBackbone": "timm_backbone",
    "from_timm": "exchange",
    "from_torchvision": "exchange",
    "from_hf": "exchange",
    "to_timm": "exchange",
    "to_torchvision": "exchange",
    "to_hf": "exchange",
}


def __getattr__(name: str) -> object:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(WHERE)
