"""The keys of a composed config: values and remarks from its files, the rest from its classes."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from vit.cli.config_groups import WHOLE, Groups
from vit.cli.declared import Declared, Parameter, declared, hint_text
from vit.cli.key_table import Key, Section
from vit.cli.remarks import remarks, remarks_of_file
from vit.plain_keys import CHECKPOINT, PLAIN
from vit.schema import GIVEN_BY_KEYWORD

CONTROL = ("_target_", "_partial_")


class Keys:
    """What can be asked of one composition."""

    def __init__(self, composed: Any, groups: Groups, config_name: str):
        self._composed = composed
        self._groups = groups
        self._folders = groups.folders
        self._config_name = config_name
        chosen = composed.hydra.runtime.choices
        # package → (group, option): `data/augment` sets data.augment, `a/b@c.d` sets c.d
        self._chosen: dict[str, tuple[str, str]] = {}
        for name, option in chosen.items():
            group, _, package = str(name).partition("@")
            if not group.startswith("hydra") and group not in WHOLE and option is not None:
                self._chosen[package or group.replace("/", ".")] = group, str(option)

    def paths(self) -> list[str]:
        """Every group and key that `sections` can be asked for."""
        return [*self._groups_of_top(), *self._below(self._composed, "")]

    def _groups_of_top(self) -> list[str]:
        return [str(key) for key in self._composed if key != "hydra"]

    def _below(self, node: Any, above: str) -> Iterator[str]:
        for key in map(str, node):
            if above or key != "hydra":
                path = f"{above}{key}"
                if key not in CONTROL:
                    yield path
                    child = self._node(path)
                    if isinstance(child, DictConfig):
                        yield from self._below(child, f"{path}.")
        for name in self._taken(node, above.rstrip(".")):
            yield f"{above}{name}"

    def overview(self) -> list[Section]:
        """The keys at the top, and each group with its choices."""
        from hydra.core.object_type import ObjectType

        top = Section("config", "what is set at the top; the groups set the rest", [])
        said = self._remarks_of_primary()
        for key, hint in PLAIN.items():
            if key in self._composed:
                top.keys.append(self._plain(key, hint, said.get(key, "")))
        groups = Section(
            "groups", "one choice of each: group=choice; vit keys GROUP tells its keys", []
        )
        for name in self._groups.get_group_options("", ObjectType.GROUP):
            options = self.options(name)
            if options and name != "hydra":
                chosen = self._chosen.get(name, (name, None))[1]
                groups.keys.append(Key(name, "group", chosen, ", ".join(options), options))
        return [groups, top]

    def options(self, group: str) -> list[str]:
        from hydra.core.object_type import ObjectType

        return sorted(self._groups.get_group_options(group, ObjectType.CONFIG))

    def sections(self, path: str) -> list[Section]:
        """A part with the parts inside of it, or one key alone."""
        node = self._node(path)
        if not isinstance(node, DictConfig):
            section = self._section(path.rpartition(".")[0])
            section.keys = [key for key in section.keys if key.key == path]
            return [section]
        found = [self._section(path)]
        for key in map(str, node):
            child = self._node(f"{path}.{key}")
            is_part = isinstance(child, DictConfig) and "_target_" in child
            if is_part or (child is not None and f"{path}.{key}" in self._chosen):
                found += self.sections(f"{path}.{key}")
        return found

    def _node(self, path: str) -> Any:
        node = self._composed
        for part in path.split("."):
            if not isinstance(node, DictConfig) or part not in node:
                return None
            node = node._get_node(part)
            if isinstance(node, DictConfig) and (node._is_none() or node._is_missing()):
                return None
        return node

    def _section(self, path: str) -> Section:
        if not path:
            return self.overview()[1]
        node = self._node(path)
        target = node.get("_target_") if "_target_" in node else None
        found = declared(target) if isinstance(target, str) else None
        group, option = self._chosen.get(path, (None, None))
        said = self._remarks(path)
        about = found.about if found else ""
        section = Section(path, about, [], target, group, option)
        section.choices = self.options(group) if group else []
        settings = found.settings() if found else {}
        for key in map(str, node):
            if key not in CONTROL:
                section.keys.append(self._key(node, f"{path}.{key}", settings.get(key), said))
        for name, parameter in self._taken(node, path).items():
            default, required = parameter.default, parameter.default is None
            section.keys.append(
                Key(
                    f"{path}.{name}",
                    parameter.type,
                    None if required else _literal(str(default)),
                    parameter.about,
                    list(parameter.choices),
                    added=True,
                    required=required,
                )
            )
        return section

    def _key(self, node: Any, path: str, parameter: Parameter | None, said: dict[str, str]) -> Key:
        name = path.rpartition(".")[2]
        raw = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[index,call-overload]
        if path.startswith("checkpoint.") and name in CHECKPOINT:
            return self._plain(path, CHECKPOINT[name], said.get(name, ""))
        about = (parameter.about if parameter else "") or said.get(name, "")
        kind = parameter.type if parameter else _kind(raw)
        choices = list(parameter.choices) if parameter else []
        if isinstance(raw, dict) and "_target_" in raw:
            group = self._chosen.get(path)
            choices = self.options(group[0]) if group else []
            value: Any = group[1] if group else str(raw["_target_"]).rpartition(".")[2]
            return Key(
                path, "part", value, f"one of {', '.join(choices)}" if choices else about, choices
            )
        return Key(path, kind, raw, about, choices, required=raw == "???")

    def _plain(self, path: str, hint: Any, about: str) -> Key:
        raw = OmegaConf.to_container(self._composed, resolve=False)
        for part in path.split("."):
            raw = raw[part]  # type: ignore[index,call-overload]
        node = ast.parse(inspect.formatannotation(hint), mode="eval").body
        choices = [str(each) for each in getattr(hint, "__args__", ()) if isinstance(each, str)]
        kind = hint_text(None, node)
        if raw is None and "null" not in kind:  # what a run's own file holds has been decided
            kind += " or null"
        return Key(path, kind, raw, about, choices)

    def _taken(self, node: Any, path: str) -> dict[str, Parameter]:
        """What the class of a node takes, and no file sets, nor the part that it is in decides."""
        target = (
            node.get("_target_") if isinstance(node, DictConfig) and "_target_" in node else None
        )
        found = declared(target) if isinstance(target, str) else None
        if found is None:
            return {}
        given = GIVEN_BY_KEYWORD.get(path, frozenset()) | self._decided(path)
        return {
            name: each
            for name, each in found.settings().items()
            if name not in node and name not in given
        }

    def _decided(self, path: str) -> frozenset[str]:
        above, _, name = path.rpartition(".")
        node = self._node(above) if above else None
        owner = node.get("_target_") if isinstance(node, DictConfig) else None
        found: Declared | None = declared(owner) if isinstance(owner, str) else None
        return found.decides.get(name, frozenset()) if found else frozenset()

    def _remarks(self, path: str) -> dict[str, str]:
        """What the files behind a part say of its keys, those of the part that it is in as well."""
        found: dict[str, str] = {}
        parts = path.split(".")
        for count in range(len(parts), 0, -1):
            package, below = ".".join(parts[:count]), ".".join(parts[count:])
            if package not in self._chosen:
                continue
            for key, text in remarks(self._folders, *self._chosen[package]).items():
                if not below:
                    found.setdefault(key, text)
                elif key.startswith(f"{below}."):
                    found.setdefault(key.removeprefix(f"{below}."), text)
        return found

    def _remarks_of_primary(self) -> dict[str, str]:
        name = f"{self._config_name}.yaml"
        found: dict[str, str] = {}
        for folder in self._folders:
            for file in (folder / name, folder / "train.yaml"):
                if file.is_file():
                    found = {**remarks_of_file(file), **found}
        return found


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _kind(value: Any) -> str:
    if isinstance(value, list | ListConfig):
        return "[…]"
    names = {bool: "bool", int: "int", float: "float", str: "text", dict: "mapping"}
    return names.get(type(value), "any")
