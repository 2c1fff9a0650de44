"""Composing by Hydra, where a choice of a file may meet a part that has nothing to choose there.

`experiment=digits` may choose `head/pool=cls`, and a user any head for it: one without a pool has
no such choice, and Hydra would refuse the experiment's. Such a choice is for the part that the
experiment itself would have taken; it goes with that part, and so do settings: other_part.py.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from vit.cli.other_part import settings_of_other_parts
from vit.cli.task_recipe import with_recipe

UNMATCHED = re.compile(r"^(?:In '(?P<file>[^']+)': )?Could not override '(?P<key>[^']+)'")
MOST = 20  # choices that one composition can leave out


def hydra_composed(config_name: str, words: list[str]) -> Any:
    """What Hydra makes of the words, with its own part; raises what Hydra raises."""
    return _with_parts_that_fit(config_name, words)[0]


def words_added(config_name: str, words: list[str]) -> list[str]:
    """The words that `hydra_composed` adds, for whoever composes without it."""
    return _with_parts_that_fit(config_name, words)[1]


def _with_parts_that_fit(config_name: str, words: list[str]) -> tuple[Any, list[str]]:
    """The composition, and the words it adds: a task's recipe, less the settings of other parts."""
    compose = partial(_composed, config_name)
    composed, brought = with_recipe(words, compose)
    left_out = settings_of_other_parts(composed, [*brought, *words], compose)
    added = [*brought, *left_out]
    return (compose([*words, *added]) if left_out else composed), added


def _composed(config_name: str, words: list[str]) -> Any:
    from hydra import compose
    from hydra.errors import ConfigCompositionException

    left_out: list[str] = []
    while True:
        try:
            return compose(config_name, [*words, *left_out], return_hydra_config=True)
        except ConfigCompositionException as error:
            found = UNMATCHED.match(str(error))
            key = found["key"] if found else ""
            new = [f"+{key}=[]", f"{key}=[]"]  # an empty list of files chooses nothing
            file = found["file"] if found else None
            if not file or new[0] in left_out or len(left_out) > MOST:
                raise
            if not _composes_alone(config_name, words, file):
                raise
            left_out += new


def _composes_alone(config_name: str, words: list[str], file: str) -> bool:
    """Whether a file's choices all fit where nobody chooses other parts: none is misspelt."""
    from hydra import compose
    from hydra.errors import HydraException

    group, _, option = file.rpartition("/")
    always = [word for word in words if word.startswith("hydra.searchpath=")]
    try:
        compose(config_name, [*always, *([f"{group}={option}"] if group else [])])
    except HydraException:
        return False
    return True


def unmatched(error: Exception) -> str | None:
    """The group that a word chooses of, where no part has it; None for any other error."""
    found = UNMATCHED.match(str(error))
    return found["key"] if found and not found["file"] else None
