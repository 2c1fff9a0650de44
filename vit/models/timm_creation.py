"""Making a model of timm, whose families differ in what they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import timm
from timm.models import get_pretrained_cfg

# Of timm's arguments those that may be left out where a family does not know them: the sizes of
# images that others adapt to by themselves. Rates may where they are 0.
SIZES = ("dynamic_img_size", "img_size")
KEYS = {"drop_path_rate": "backbone.drop_path", "proj_drop_rate": "backbone.dropout"}


class UnknownArgument(ValueError):
    """A key is set that a family of timm's models does not have."""


def created(name: str, arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """timm's model, and those of the arguments that its family took.

    Raises UnknownArgument for one that would change something and that the family does not know;
    what timm raises besides goes through.
    """
    taken = {**arguments, "dynamic_img_size": True}
    while True:
        try:
            return timm.create_model(name, **taken), taken
        except TypeError as error:
            named = re.findall(r"'(\w+)'", str(error)) if "unexpected" in str(error) else []
            unknown = next((each for each in named if each in taken), None)
            if unknown is None:
                raise
            if unknown not in SIZES and taken[unknown]:
                key = KEYS.get(unknown, unknown)
                raise UnknownArgument(
                    f"{key} is {taken[unknown]}; {name} of timm has no {unknown}. Set {key}=0, or "
                    "pick another backbone.name."
                ) from error
            del taken[unknown]


def classifier_of(name: str) -> tuple[str, ...]:
    """What the layers for the classes are called in weights of this model, such as `fc`."""
    named = getattr(get_pretrained_cfg(name), "classifier", None) or "head"
    return (named,) if isinstance(named, str) else tuple(named)
