"""From the names of others to ours and back, by tables; no tensor is lost or changed on the way."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vit.models.pretrained.origin import Origin, table_of

Tensors = list[Tensor]
Change = Callable[[Tensors, Origin], Tensors]


def _same(tensors: Tensors, origin: Origin) -> Tensors:
    return tensors


@dataclass(frozen=True)
class Rule:
    """Tensors `theirs` are the tensors `ours`, changed by `there` and back by `back`.

    A `{}` in the names stands for the number of a block.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    there: Change = _same
    back: Change = _same

    def turned(self) -> Rule:
        """The same rule, from ours to theirs."""
        return Rule(self.theirs, self.ours, self.back, self.there)


def same(ours: str, theirs: str) -> list[Rule]:
    """One tensor by another name."""
    return [Rule((ours,), (theirs,))]


def layer(ours: str, theirs: str) -> list[Rule]:
    """Weight and bias of a layer."""
    return [*same(f"{ours}.weight", f"{theirs}.weight"), *same(f"{ours}.bias", f"{theirs}.bias")]


def kernel(theirs: str) -> list[Rule]:
    """The convolution of the patches, which is a matrix here."""
    weight = Rule(("patch.proj.weight",), (f"{theirs}.weight",), _flat, _as_kernel)
    return [weight, *same("patch.proj.bias", f"{theirs}.bias")]


def stacked(ours: str, theirs: Sequence[str]) -> list[Rule]:
    """Several matrices, or biases, which are one here."""

    def parted(tensors: Tensors, origin: Origin) -> Tensors:
        return [each.contiguous() for each in tensors[0].chunk(len(theirs))]

    return [Rule((ours,), tuple(theirs), _stack, parted)]


def queries(ours: str, parts: Sequence[str], origin: Origin) -> list[Rule]:
    """The matrices of queries, keys and values, `parts`, of an attention `ours`."""
    weights = stacked(f"{ours}.qkv.weight", [f"{part}.weight" for part in parts])
    if origin.key_bias:
        return [*weights, *stacked(f"{ours}.qkv.bias", [f"{part}.bias" for part in parts])]
    query, _, value = parts
    of_query = same(f"{ours}.query_bias", f"{query}.bias")
    return [*weights, *of_query, *same(f"{ours}.value_bias", f"{value}.bias")]


def positions(theirs: str, origin: Origin, batched: bool = True) -> list[Rule]:
    """The table of positions, in a row behind those of the tokens before the patches.

    `batched` says whether theirs has an axis of length 1 before it.
    """
    prefix = ("prefix_position",) if origin.prefix_positions else ()
    return [Rule((*prefix, table_of(origin)), (theirs,), _as_table, _as_row if batched else _rows)]


def vector(ours: str, theirs: str) -> list[Rule]:
    """A token that has no axes besides its width there."""
    return [Rule((ours,), (theirs,), _as_token, _as_vector)]


def there(
    state: Mapping[str, Tensor], rules: Sequence[Rule], origin: Origin
) -> tuple[dict[str, Tensor], list[str]]:
    """Their tensors by our names, and those names of theirs that no rule takes."""
    ours: dict[str, Tensor] = {}
    left = set(state)
    for rule in _of_blocks(rules, state):
        if all(name in state for name in rule.theirs):
            made = rule.there([state[name] for name in rule.theirs], origin)
            ours |= zip(rule.ours, made, strict=True)
            left -= set(rule.theirs)
    return ours, sorted(left)


def back(
    state: Mapping[str, Tensor], rules: Sequence[Rule], origin: Origin
) -> tuple[dict[str, Tensor], list[str]]:
    """Our tensors by their names, and those names of ours that no rule takes."""
    return there(state, [rule.turned() for rule in rules], origin)


def _of_blocks(rules: Sequence[Rule], state: Mapping[str, Tensor]) -> list[Rule]:
    """The rules, those of blocks once for each block that the state has."""
    found = []
    for rule in rules:
        name = rule.theirs[0]
        if "{}" not in name:
            found.append(rule)
            continue
        pattern = re.compile(re.escape(name).replace(r"\{\}", r"(\d+)"))
        for number in (match[1] for each in state if (match := pattern.fullmatch(each))):
            ours = tuple(each.replace("{}", number) for each in rule.ours)
            theirs = tuple(each.replace("{}", number) for each in rule.theirs)
            found.append(Rule(ours, theirs, rule.there, rule.back))
    return found


def _flat(tensors: Tensors, origin: Origin) -> Tensors:
    return [tensors[0].flatten(1)]


def _as_kernel(tensors: Tensors, origin: Origin) -> Tensors:
    return [tensors[0].unflatten(1, (-1, origin.patch_size, origin.patch_size))]


def _stack(tensors: Tensors, origin: Origin) -> Tensors:
    return [torch.cat(tensors)]


def _as_table(tensors: Tensors, origin: Origin) -> Tensors:
    row = tensors[0] if tensors[0].ndim == 3 else tensors[0][None]  # [1, tokens, dim]
    count = origin.prefix_positions
    rows, cols = origin.grid
    if row.shape[1] != count + rows * cols:
        raise ValueError(
            f"{origin.source}: its table has {row.shape[1]} positions; wanted {count} and "
            f"{rows}x{cols} for images of {origin.image_size[0]}x{origin.image_size[1]} px"
        )
    table = row[0, count:].unflatten(0, (rows, cols))
    return [row[:, :count], table] if count else [table]


def _rows(tensors: Tensors, origin: Origin) -> Tensors:
    return [_as_row(tensors, origin)[0][0]]


def _as_token(tensors: Tensors, origin: Origin) -> Tensors:
    return [tensors[0][None, None]]


def _as_vector(tensors: Tensors, origin: Origin) -> Tensors:
    return [tensors[0][0, 0]]


def _as_row(tensors: Tensors, origin: Origin) -> Tensors:
    table = tensors[-1].flatten(0, 1)[None]
    return [torch.cat([*tensors[:-1], table], dim=1)]
