"""What a task brings along, where the parts that stand in conf/train.yaml are not for it.

`task=detection data=voc` alone would have the head and the metric of classification, which the
check refuses. Such words get the task's recipe, `recipe=detection`: conf/recipe says in one file a
task what that is. Words that fit without it stay what they are, and so do the ids of their runs;
what a command, an experiment or a file of one's own chooses wins over the recipe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

GROUP = "recipe"
# What conf/train.yaml has for the classification of images: the choice, and the class it names.
STANDARD = {
    "head": ("linear", "vit.models.classifier.Head"),
    "backbone": ("vit", "vit.models.backbone.ViT"),
}
MONITOR = "checkpoint.monitor"
STANDARD_MONITOR = "val/accuracy"
MODE = "checkpoint.mode"
DECIDING = (MONITOR, MODE, "head._target_", "backbone._target_", "task._target_")
CHOICE = re.compile(r"[\w/]+(@[\w.]*)?$")  # the key of a word that may choose a file
NONE = object()
SOURCE = re.compile(r"file://((?:\\'|[^'\],])+)")


def with_recipe(words: list[str], compose: Callable[[list[str]], Any]) -> tuple[Any, list[str]]:
    """The composition of the words, with what its task brings, and the words that bring it.

    Raises what `compose` raises of words that compose neither with a recipe nor without.
    """
    try:
        first = compose(words)
    except Exception:
        # head.num_queries=9 is no key of the standard head: which recipe, the choices alone say.
        choices = [word for word in words if _is_choice(word)]
        if not any(_key(word) == "task" for word in words) or len(choices) == len(words):
            raise
        first = _composed_or_none(choices, compose)
        recipe = None if first is None else _recipe_for(first, words)
        if first is None or recipe is None:
            raise
        return _brought(first, recipe, words, compose)
    recipe = _recipe_for(first, words)
    return (first, []) if recipe is None else _brought(first, recipe, words, compose)


def _composed_or_none(words: list[str], compose: Callable[[list[str]], Any]) -> Any:
    try:
        return compose(words)
    except Exception:
        return None


def _recipe_for(first: Any, words: list[str]) -> dict[str, Any] | None:
    """The content of the recipe that the words want; None where they fit, or chose one."""
    chosen = first.hydra.runtime.choices
    keys = {_key(word) for word in words}
    if GROUP not in chosen or chosen[GROUP] is not None or GROUP in keys:
        return None
    recipe = _content(f"{GROUP}/{chosen.get('task')}", words)
    task = _content(f"task/{chosen.get('task')}", words) or {}
    if recipe is None or _at(first, "task._target_") != task.get("_target_"):
        return None
    parts = {group: option for group, option in _choices_of(recipe) if group in STANDARD}
    unfit = any(_is_standard(first, group) and group not in keys for group in parts)
    monitor = dict(_leaves(recipe)).get(MONITOR, STANDARD_MONITOR)
    others = _at(first, MONITOR) == STANDARD_MONITOR != monitor and MONITOR not in keys
    return recipe if unfit or others else None


def _brought(
    first: Any, recipe: dict[str, Any], words: list[str], compose: Callable[[list[str]], Any]
) -> tuple[Any, list[str]]:
    """The composition with the recipe, where what somebody chose stays as in `first`."""
    keys = {_key(word) for word in words}
    added = [f"{GROUP}={first.hydra.runtime.choices.task}"]
    composed = compose([*added, *words])
    standard = compose([word for word in words if _key(word).startswith("hydra.")])
    kept = []
    for key, value in _leaves(recipe):
        own = _at(first, key)
        of_monitor = key == MODE and _at(composed, MONITOR) != dict(_leaves(recipe)).get(MONITOR)
        if key in keys or own == _at(composed, key) or _at(composed, key) != value:
            continue  # the words' own, or an experiment's
        if of_monitor or own != _at(standard, key):  # of a chosen file, such as trainer=mine
            kept.append(f"~{key}" if own is NONE else f"{key}={json.dumps(own)}")
    added += kept
    return (compose([*added, *words]) if kept else composed), added


def _is_standard(composed: Any, group: str) -> bool:
    option, target = STANDARD[group]
    chosen = composed.hydra.runtime.choices.get(group)
    return chosen == option and _at(composed, f"{group}._target_") == target


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _is_choice(word: str) -> bool:
    return (bool(CHOICE.match(_key(word))) and "/" not in _key(word)) or word.startswith("hydra.")


def _choices_of(recipe: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for each in recipe.get("defaults", []):
        if isinstance(each, dict):
            for key, option in each.items():
                yield str(key).removeprefix("override ").lstrip("/"), str(option)


def _leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if not above and key == "defaults":
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _at(composed: Any, key: str) -> Any:
    """The value at a dotted key, unresolved; NONE where there is no such key."""
    from omegaconf import DictConfig

    node = composed
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or part not in node:
            return NONE
        node = node._get_node(part)
    return node if isinstance(node, DictConfig) else node._value()


def _content(name: str, words: list[str]) -> dict[str, Any] | None:
    """What the file of a choice holds, from the first folder that has it."""
    import yaml
    from hydra.core.global_hydra import GlobalHydra

    path = GlobalHydra.instance().config_loader().get_search_path().get_path()
    places = [str(each.path).removeprefix("file://") for each in path]
    for word in words:
        if word.startswith("hydra.searchpath="):
            places += SOURCE.findall(word)
    for place in places:
        file = Path(place.replace("\\'", "'"), f"{name}.yaml")
        if "://" not in place and file.is_file():
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            return content if isinstance(content, dict) else {}
    return None
