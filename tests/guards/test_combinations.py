"""Commands that composed before a task brought its parts still make the same runs, by their ids.

The hashes were taken from the composer as it was without conf/recipe.
"""

import json
from pathlib import Path

import pytest

from vit.cli.compose import compose
from vit.runs.identity import config_hash

PINNED = json.loads(Path(__file__).with_name("combinations.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", PINNED)
def test_words_that_fitted_before_keep_their_config(words):
    assert config_hash(compose([*words.split(), "threads=1"])) == PINNED[words]
