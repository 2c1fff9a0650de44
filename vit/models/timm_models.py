"""Models of timm by their names, and their trained weights from its cache or the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import constants as hub
from timm.models import get_pretrained_cfg, load_state_dict_from_hf
from torch import Tensor

from vit.faults import did_you_mean
from vit.models.foreign import Foreign
from vit.models.timm_creation import UnknownArgument, classifier_of, created

# What timm raises on its way from a file's names and shapes to its own.
MISFITS = (RuntimeError, ValueError, KeyError, AttributeError, IndexError, AssertionError)


@contextmanager
def _no_vain_retries() -> Iterator[None]:
    """Where the hub's name is not known, as offline, only its cache is asked.

    Else it would try twelve times, and for a minute, even for weights that it has.
    """
    host = urlsplit(hub.ENDPOINT).hostname
    before = hub.HF_HUB_OFFLINE
    if not getproxies():
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before


def fetched(name: str) -> dict[str, Any]:
    """The trained weights as timm stores them, from its cache or the network."""
    source = get_pretrained_cfg(name)
    address = str(source.hf_hub_id or source.url or "") if source else ""
    if source is None or not address:
        tags = ", ".join(timm.list_pretrained(f"{name.partition('.')[0]}*")) or "none"
        raise ValueError(
            f"timm has no trained weights for {name!r}. Similar models that have: {tags}. "
            "Change backbone.name, or set backbone.pretrained=false."
        )
    try:
        if source.hf_hub_id:
            with _no_vain_retries():
                return load_state_dict_from_hf(address)
        return torch.hub.load_state_dict_from_url(address, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever went wrong on the way there, the ways out are the same
        url = address
        if source.hf_hub_id:
            url = f"https://huggingface.co/{address}/resolve/main/model.safetensors"
        raise ValueError(
            f"the weights of {name!r} are not on this machine and could not be fetched "
            f"({type(error).__name__}). Download {url} and set backbone.checkpoint to that file; "
            "or, on a machine with a network, run "
            f"`python -c \"import timm; timm.create_model('{name}', pretrained=True)\"` and copy "
            "its cache ($HF_HOME, else ~/.cache/huggingface) here."
        ) from error


def create(
    name: str,
    arguments: dict[str, Any],
    weights: dict[str, Any] | None = None,
    file: Foreign | None = None,
) -> tuple[Any, dict[str, Any]]:
    """The model, with its head where weights have one, so that every key can be compared.

    The weights are those of a file where one is given. With it those of the arguments that its
    family takes.
    """
    plain = arguments | {"num_classes": 0}
    weights = weights if file is None else file.weights
    if weights is None:
        arguments = plain
    else:
        arguments = arguments | {"pretrained": True}
        overlay: dict[str, Any] = {"state_dict": weights}
        head = weights.get(f"{classifier_of(name)[0]}.weight")
        classes = len(head) if isinstance(head, Tensor) and head.ndim else 0
        overlay["num_classes"] = arguments["num_classes"] = classes
        arguments["pretrained_cfg_overlay"] = overlay
    try:
        model, taken = created(name, arguments)
    except UnknownArgument:
        raise
    except MISFITS as error:
        if weights is None:
            raise
        refusal = error
    else:
        for config in (model.pretrained_cfg, model.default_cfg):
            config.pop("state_dict", None)  # else every copy of the model would carry them
        return model, taken
    with torch.device("meta"):
        wanted = create(name, plain)[0].state_dict()
    file = file or Foreign(name, weights, weights)
    raise ValueError(file.why_not(name, wanted, refusal)) from refusal


def check_name(name: str) -> None:
    if not timm.is_model(name.partition(".")[0]):
        raise ValueError(
            f"timm has no model {name!r}.{did_you_mean(name.partition('.')[0], timm.list_models())}"
            " `python -c \"import timm; print(timm.list_models('vit*'))\"` lists them."
        )
    try:
        get_pretrained_cfg(name)
    except RuntimeError as error:  # the tag after the dot is unknown
        known = ", ".join(timm.list_pretrained(name.partition(".")[0] + ".*")) or "none"
        raise ValueError(
            f"timm has no weights {name!r}; there are: {known}. Change backbone.name."
        ) from error
