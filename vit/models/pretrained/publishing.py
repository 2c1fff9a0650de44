"""A trained model of ours as a folder that timm or transformers load, with the same function.

Which of their models ours is follows from the keys of its backbone; whether it really is, is seen
by their names for every tensor and by an image that both are shown.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vit.facts import Facts
from vit.layers.pool import ClsPool, MeanPool
from vit.models.backbone import ViT
from vit.models.classifier import Classifier, Head
from vit.models.pretrained.conversion import TIMM, hf_state
from vit.models.pretrained.origin import Unfit
from vit.models.pretrained.preparation import hf_preparation, timm_preparation

CLOSE = 5e-6  # largest difference of outputs in float64, over the largest output
PLAIN_TIMM = "vit_base_patch16_224"  # a name of timm's plain class; sizes are given beside it
TIMM_GELU = {"exact": None, "tanh": "gelu_tanh", "quick": "quick_gelu"}
HF_GELU = {"exact": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}


def write_timm(model: Any, keys: Mapping[str, Any], facts: Facts, transform: Any, out: Path) -> str:
    """Writes the folder for `timm.create_model("local-dir:FOLDER", pretrained=True)`.

    `keys` are those of the backbone in the run's config, `transform` is what its evaluation does to
    a picture. With the head where timm has such a one; returns in words what is there, and how
    timm prepares pictures otherwise than the run. Raises Unfit where timm has no such model.
    """
    import timm
    from timm.models import save_for_hf

    backbone, head = parts_of(model)
    pooled = {MeanPool: "avg", ClsPool: "token"}.get(type(head.pool)) if head else None
    name, arguments = _timm_arguments(keys, facts)
    arguments["num_classes"] = facts.summary()["num_classes"] if head and pooled else 0
    arguments["global_pool"] = pooled or ("token" if backbone.has_class_token else "avg")
    try:
        theirs: Any = timm.create_model(name, **arguments).eval()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise Unfit(f"timm makes no {name} of these sizes: {error}") from error
    state = TIMM.state_of(backbone, theirs)
    if head and pooled:
        state |= {f"head.{each}": getattr(head.linear, each) for each in ("weight", "bias")}
    theirs.load_state_dict(state, strict=False)
    ours, exact = (model if head and pooled else backbone), copy.deepcopy(theirs).double()
    _require_same(exact if head and pooled else exact.forward_features, ours, facts)
    shown, otherwise = timm_preparation(transform, facts)
    theirs.pretrained_cfg.update(shown)
    save_for_hf(theirs, str(out), model_args=arguments, data_config=shown, safe_serialization=True)
    return _said(model, bool(head and pooled), otherwise)


def write_hf(model: Any, keys: Mapping[str, Any], facts: Facts, transform: Any, out: Path) -> str:
    """Writes the folder for `AutoModel.from_pretrained`, as `write_timm` does.

    A linear head on the class token makes it one for `AutoModelForImageClassification`.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

    backbone, head = parts_of(model)
    kind, settings = _hf_settings(keys, facts)
    with_head = head is not None and isinstance(head.pool, ClsPool) and kind == "vit"
    if with_head:
        names = list(facts.class_names)
        settings["id2label"] = dict(enumerate(names))
        settings["label2id"] = {name: at for at, name in enumerate(names)}
    config = AutoConfig.for_model(kind, **settings)
    if with_head and head is not None:
        theirs = AutoModelForImageClassification.from_config(config).eval()
        theirs.vit.load_state_dict(hf_state(backbone, theirs.vit), strict=False)
        theirs.classifier.load_state_dict(head.linear.state_dict())
        exact = copy.deepcopy(theirs).double()
        _require_same(lambda images: exact(images).logits, model, facts)
    else:
        theirs = AutoModel.from_config(config).eval()
        theirs.load_state_dict(hf_state(backbone, theirs), strict=False)
        exact = copy.deepcopy(theirs).double()
        _require_same(lambda images: exact(images).last_hidden_state, backbone, facts)
    theirs.save_pretrained(str(out), safe_serialization=True)
    processor, otherwise = hf_preparation(transform, facts)
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    return _said(model, with_head, otherwise)


def parts_of(model: nn.Module) -> tuple[ViT, Head | None]:
    """The backbone, and the head where it is a linear one; Unfit for a backbone of others."""
    backbone, head = getattr(model, "backbone", None), getattr(model, "head", None)
    if not isinstance(backbone, ViT):
        raise Unfit(f"its backbone is a {type(backbone).__name__}; wanted one of backbone=vit")
    plain = isinstance(model, Classifier) and isinstance(head, Head)
    return backbone, head if plain else None


def _said(model: Any, with_head: bool, otherwise: str) -> str:
    left_out = f"without the head ({type(model.head).__name__}), which is not made so there"
    head = "with its head" if with_head else left_out
    return f"{head}; {otherwise}" if otherwise else head


def _require_same(theirs: Any, ours: nn.Module, facts: Facts) -> None:
    """Shows both an image; Unfit where they do not answer alike."""
    shape = facts.example(2)[0].shape
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        found, wanted = theirs(images), copy.deepcopy(ours).double()(images)
    if not isinstance(wanted, Tensor):
        wanted = torch.cat([wanted.prefix, wanted.patches], dim=1)
    far = (found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)
    if found.shape != wanted.shape or not far <= CLOSE:
        raise Unfit(
            f"the model that would be written answers otherwise (a difference of {far:.1e} of the "
            "largest number): it is none of ours"
        )


def _sizes(keys: Mapping[str, Any]) -> dict[str, Any]:
    """What every one of their models is told; Unfit for parts that none of them has."""
    mlp, patch = str(keys["mlp"]["_target_"]), str(keys["patch"]["_target_"])
    if not patch.endswith(".LinearPatch"):
        raise Unfit(f"its patches are a {_last(patch)}; wanted backbone/patch=linear")
    attention = str(keys["attention"]["_target_"])
    if not attention.endswith(".attention.Attention"):
        raise Unfit(f"its attention is a {_last(attention)}; wanted backbone/attention=standard")
    if not keys.get("proj_bias", True) or not keys.get("mlp_bias", True):
        raise Unfit("layers without biases; wanted backbone.proj_bias and mlp_bias")
    gelu = keys["mlp"].get("gelu", "exact")
    return {"gated": mlp.endswith(".SwiGlu"), "gelu": gelu, "eps": keys["norm"].get("eps", 1e-6)}


def _timm_arguments(keys: Mapping[str, Any], facts: Facts) -> tuple[str, dict[str, Any]]:
    weights, size = str(keys.get("weights") or ""), tuple(facts.summary()["image_size"])
    if weights.startswith("timm:"):
        name = weights.partition(":")[2].partition(".")[0]
        return name, {"img_size": size, "in_chans": facts.channels}
    sizes, norm = _sizes(keys), str(keys["norm"]["_target_"])
    position = _last(str(keys["position"]["_target_"]))
    if sizes["gated"] or position not in ("LearnedPosition", "NoPosition"):
        what = "a SwiGLU mlp" if sizes["gated"] else f"positions of the kind {position}"
        raise Unfit(f"{what}, for which timm's plain class has no argument")
    arguments: dict[str, Any] = {
        "img_size": size,
        "patch_size": keys["patch_size"],
        "in_chans": facts.channels,
        "embed_dim": keys["dim"],
        "depth": keys["depth"],
        "num_heads": keys["heads"],
        "mlp_ratio": keys["mlp_ratio"],
        "class_token": keys["class_token"],
        "reg_tokens": keys["registers"],
        "no_embed_class": not keys.get("prefix_positions"),
        "pos_embed": "learn" if position == "LearnedPosition" else "none",
        "qkv_bias": keys["qkv_bias"],
        "qk_norm": keys["qk_norm"],
        "init_values": None if keys["layer_scale"] is None else 1e-5,
        "pre_norm": keys.get("input_norm", False),
        "fc_norm": keys.get("output_norm", "tokens") == "pooled",
        "final_norm": keys.get("output_norm", "tokens") != "none",
        "norm_layer": "rmsnorm" if norm.endswith(".RMSNorm") else "layernorm",
        "act_layer": TIMM_GELU[sizes["gelu"]],
    }
    return PLAIN_TIMM, {key: value for key, value in arguments.items() if value is not None}


def _hf_settings(keys: Mapping[str, Any], facts: Facts) -> tuple[str, dict[str, Any]]:
    sizes = _sizes(keys)
    if not keys["class_token"]:
        raise Unfit(
            "transformers' ViTs have a class token and this one has none; train with "
            "backbone.class_token=true, or take --as timm"
        )
    rotary = str(keys["position"]["_target_"]).endswith(".AxialRope")
    scaled, registers = keys["layer_scale"] is not None, keys["registers"]
    kind = "vit" if not scaled and not registers else "dinov2"
    kind = "dinov3_vit" if rotary else "dinov2_with_registers" if registers else kind
    if not rotary and keys.get("prefix_positions") != 1:
        raise Unfit(
            "there the class token has a learned position, and none of the registers; wanted "
            "backbone.prefix_positions=1, or --as timm"
        )
    hidden = int(keys["dim"] * keys["mlp_ratio"])
    height, width = facts.summary()["image_size"]
    settings: dict[str, Any] = {
        "hidden_size": keys["dim"],
        "num_hidden_layers": keys["depth"],
        "num_attention_heads": keys["heads"],
        "hidden_act": HF_GELU[sizes["gelu"]],
        "layer_norm_eps": sizes["eps"],
        "image_size": height if height == width else (height, width),
        "patch_size": keys["patch_size"],
        "num_channels": facts.channels,
    }
    if kind == "vit":
        return kind, {**settings, "intermediate_size": hidden, "qkv_bias": keys["qkv_bias"]}
    if rotary:
        place = keys["position"]
        more = {
            "intermediate_size": hidden,
            "num_register_tokens": registers,
            "rope_theta": float(place.get("base", 100.0)),
            "key_bias": keys.get("key_bias", True),
            "query_bias": keys["qkv_bias"],
            "value_bias": keys["qkv_bias"],
            "use_gated_mlp": sizes["gated"],
            **{f"pos_embed_{each}": place.get(each) for each in ("shift", "jitter", "rescale")},
        }
        if sizes["gated"]:
            more |= {"intermediate_size": keys["mlp"].get("width"), "hidden_act": "silu"}
        return kind, {**settings, **more}
    if not float(keys["mlp_ratio"]).is_integer():
        raise Unfit(f"backbone.mlp_ratio={keys['mlp_ratio']}, where {kind} takes whole numbers")
    more = {
        "mlp_ratio": int(keys["mlp_ratio"]),
        "qkv_bias": keys["qkv_bias"],
        "use_swiglu_ffn": sizes["gated"],
    }
    return kind, {**settings, **more, **({"num_register_tokens": registers} if registers else {})}


def _last(name: str) -> str:
    return name.rpartition(".")[2]
