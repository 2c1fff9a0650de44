"""How a run prepares pictures for evaluation, in the words of timm and of transformers."""

from __future__ import annotations

from typing import Any

from vit.data.core.transforms import EvaluationTransform
from vit.facts import Facts

BICUBIC = 3  # of Pillow's filters


def timm_preparation(transform: Any, facts: Facts) -> tuple[dict[str, Any], str]:
    """The data keys of timm's `pretrained_cfg`, and what its transform does otherwise.

    timm's "center" and "squash" are our `fit` of crop and squash, its "border" is our letterbox.
    """
    height, width = facts.summary()["image_size"]
    fit = _fit_of(transform)
    shown = {
        "input_size": (facts.channels, height, width),
        "mean": tuple(facts.mean),
        "std": tuple(facts.std),
        "interpolation": "bicubic",
        "crop_pct": transform.crop_fraction if fit == "crop" else 1.0,
        "crop_mode": {"crop": "center", "letterbox": "border"}.get(fit, "squash"),
    }
    return shown, "" if fit else _unknown(transform)


def hf_preparation(transform: Any, facts: Facts) -> tuple[dict[str, Any], str]:
    """The content of preprocessor_config.json, and what such a processor does otherwise.

    CLIP's processor scales the shorter side and cuts out the centre, ViT's scales both sides.
    """
    height, width = facts.summary()["image_size"]
    fit, otherwise = _fit_of(transform), ""
    processor: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": BICUBIC,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(facts.mean),
        "image_std": list(facts.std),
        "do_convert_rgb": facts.channels == 3,
    }
    if fit == "crop" and height == width:
        shorter = int(height / transform.crop_fraction)
        processor |= {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": shorter},
            "do_center_crop": True,
            "crop_size": {"height": height, "width": width},
        }
    elif fit in ("crop", "letterbox"):
        does = "cuts out the centre" if fit == "crop" else "keeps their shape and fills up"
        otherwise = (
            f"its processor squashes pictures to {height}x{width} px, and the run {does}: prepare "
            "them as `vit.load(RUN_DIR).transform` does"
        )
    elif not fit:
        otherwise = _unknown(transform)
    return processor, otherwise


def _fit_of(transform: Any) -> str:
    """crop, squash or letterbox; empty for what is made of other things than pictures."""
    if isinstance(transform, EvaluationTransform):
        return transform.fit
    fit = str(getattr(transform, "fit", ""))
    return fit if fit in ("squash", "letterbox") else ""


def _unknown(transform: Any) -> str:
    kind = type(transform).__name__
    return f"it does not say how inputs are prepared: see `vit.load(RUN_DIR).transform`, a {kind}"
