"""A vision transformer from plain numbers and names."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

from vit.api.words import words_of
from vit.cli.compose import compose
from vit.faults import Fault, Refused

if TYPE_CHECKING:
    from torch import nn

PARTS = ("patch", "position", "norm", "mlp", "attention")


def vision_transformer(
    size: str = "vit",
    /,
    *,
    image_size: int | tuple[int, int] = 224,
    channels: int = 3,
    num_classes: int | None = None,
    pool: str = "mean",
    **keys: Any,
) -> nn.Module:
    """A ViT with new weights: `vit.ViT(image_size=224, dim=384, depth=12, heads=6)`.

    `size` is one of the shipped sizes (vit, vit_ti, vit_s, vit_b, vit_l, vit_h, vit_g); `keys` are
    those of its config: `dim`, `depth`, `heads`, `patch_size`, `drop_path`, … (`vit keys backbone`
    lists them), and names for its parts: `position="rope"`, `mlp="swiglu"`, `norm="rms_norm"`.
    `image_size` is in pixels, height and width, or one number for both.

    Without `num_classes` it takes images [batch, channels, height, width] to
    `vit.structures.Features`; with it a linear head over the pooled tokens (`pool`: mean, cls,
    attention) gives logits [batch, num_classes]. Raises Refused where a key or a value is wrong.
    """
    from vit.build import build, build_slot
    from vit.models.classifier import Classifier

    named = {key: keys.pop(key) for key in PARTS if isinstance(keys.get(key), str)}
    parts = [f"backbone/{key}={name}" for key, name in named.items()]
    words = [f"backbone={size}", *parts, f"head/pool={pool}"]
    config = compose([*words, *words_of((), {"backbone": keys})])
    height, width = _both(image_size)
    if num_classes is not None and (not isinstance(num_classes, Integral) or int(num_classes) < 1):
        raise Refused([Fault("num_classes", f"is {num_classes!r}; wanted a whole number from 1")])
    backbone = build_slot("backbone", config, (), image_size=(height, width), channels=channels)
    if num_classes is None:
        return backbone
    head = build(config["head"], dim=backbone.dim, num_classes=num_classes)
    return Classifier(backbone, head)


def _both(image_size: Any) -> tuple[int, int]:
    """Height and width. Raises Refused where they are no whole numbers from 1."""
    both = image_size if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(both) != 2 or not all(isinstance(side, Integral) and int(side) > 0 for side in both):
        message = f"is {image_size!r}; wanted pixels: a whole number, or (height, width)"
        raise Refused([Fault("image_size", message)])
    return int(both[0]), int(both[1])
