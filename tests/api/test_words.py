from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from vit.api.words import words_of
from vit.faults import Refused

VALUES = [
    None,
    True,
    False,
    3,
    -1,
    1e-4,
    float("inf"),
    "digits",
    "two words",
    "null",
    "007",
    "3",
    "1e-3",
    "nan",
    "True",
    "it's",
    "a,b",
    "[1]",
    "{a: 1}",
    "k=v",
    "${x}",
    "back\\slash",
    "back\\",
    "schräg/ß.png",
    "",
    [1, "two words", None],
    {"lr": 0.1, "names": ["a", "b c"]},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_hydra_reads_back_the_value_that_was_given(value):
    if isinstance(value, dict):
        words = words_of((), {"key": value})
        read = {w.key_or_group: w.value() for w in OverridesParser.create().parse_overrides(words)}
        assert read == {f"key.{name}": inner for name, inner in value.items()}
        return
    (override,) = OverridesParser.create().parse_overrides(words_of((), {"key": value}))
    read = override.value()
    read = read.text if hasattr(read, "text") else read
    assert read == value and type(read) is type(value)


def test_nested_keys_and_words_come_in_order():
    words = words_of(("experiment=digits",), {"seed": 1, "backbone": {"depth": 6, "mlp": {"a": 2}}})
    assert words == ["experiment=digits", "seed=1", "backbone.depth=6", "backbone.mlp.a=2"]
    assert words_of((), {"root": Path("a b")}) == ["root='a b'"]
    assert words_of((), {"lr": np.float64(0.5), "n": np.int64(2)}) == ["lr=0.5", "n=2"]


def test_what_has_no_form_in_a_config_is_refused():
    with pytest.raises(Refused, match="key: is a object; wanted"):
        words_of((), {"key": object()})
    assert words_of((), {"sizes": np.arange(3), "files": {}}) == ["sizes=[0,1,2]", "files={}"]
    with pytest.raises(Refused, match="3: is no word"):
        words_of((3, {"seed": 1}), {})
