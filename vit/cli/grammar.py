"""Override words as a person types them: what is fixed, has several values, or is searched.

Everything handed on is plain: words, lists of words, and ranges.
"""

from __future__ import annotations

import math
from typing import Any

from vit.cli.config_groups import Groups
from vit.cli.override_errors import first_line
from vit.faults import Fault, Refused
from vit.sweeps.words import MOST_VALUES, Range, Words, too_many

MOST_LETTERS = 50_000  # of one word; Hydra's parser takes a second for so many


def read_words(overrides: list[str], groups: Groups | None = None) -> Words:
    """As Hydra's own sweeper takes them: of a key that is given twice, the last word counts.

    `groups` is for `glob(…)`. Raises Refused with every word that is not Hydra's grammar.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    words = Words()
    faults = []
    keys: dict[str, str] = {}  # of each fixed word
    for word in overrides:
        if len(word) > MOST_LETTERS:
            message = f"has {len(word):,} letters; wanted at most {MOST_LETTERS:,}"
            faults.append(Fault(word.partition("=")[0][:40], message))
            continue
        try:
            item = parser.parse_override(word)
            item.config_loader = groups  # type: ignore[assignment]  # asked for options only
            key = item.get_key_element()
            swept = words.axes.pop(key, None) or words.ranges.pop(key, None)
            if item.is_sweep_override() or swept:
                words.fixed = [other for other in words.fixed if keys[other] != key]
            if not item.is_sweep_override():
                words.fixed.append(word)
                keys[word] = key
            elif item.is_discrete_sweep():
                words.axes[key] = _values(item)
            else:
                words.ranges[key] = _range(item.value())
        except HydraException as error:
            message = f"not Hydra's override grammar: {first_line(error)}"
            key, _, value = word.partition("=")
            if "{" in value and value[0] not in "'\"":
                message += f". Braces want both kinds of quotes: '{key}=\"{value}\"'"
            faults.append(Fault(word, message))
        except ValueError as error:
            faults.append(Fault(word, str(error)))
        except RecursionError:
            faults.append(Fault(word.partition("=")[0][:40], "is nested too deeply"))
    for key, values in words.axes.items():
        if not values:
            faults.append(Fault(key, "has no value to take"))
    if faults:
        raise Refused(faults)
    return words


def _values(item: Any) -> list[str]:
    """The text of each value; a range is counted before it is written out."""
    if item.is_range_sweep():
        sweep = item.value()
        count = (sweep.stop - sweep.start) / sweep.step if sweep.step else math.inf
        if not count <= MOST_VALUES:
            raise ValueError(too_many(f"has {count:,.0f} values"))
    values = list(item.sweep_string_iterator())
    if len(values) > MOST_VALUES:
        raise ValueError(too_many(f"has {len(values):,} values"))
    return values


def _range(sweep: Any) -> Range:
    low, high = sweep.start, sweep.end
    if low >= high:
        raise ValueError(f"goes from {low} to {high}; wanted a lower end below the upper one")
    log = "log" in sweep.tags
    if log and low <= 0:
        raise ValueError(f"a range on a log scale starts above 0, not at {low}")
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(low=low, high=high, step=None, log=log, whole=whole)


def is_value(override: Any, groups: Groups) -> bool:
    """Whether a parsed override sets a value, and chooses no config file."""
    from hydra.core.object_type import ObjectType
    from hydra.core.override_parser.types import OverrideType

    if override.type != OverrideType.CHANGE or override.package is not None:
        return False
    key = override.key_or_group
    kinds = (ObjectType.CONFIG, ObjectType.GROUP)
    return key.split(".")[0] != "hydra" and not any(
        groups.get_group_options(key, kind) for kind in kinds
    )
