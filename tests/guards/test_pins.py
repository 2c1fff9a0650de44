"""Nobody's run is renamed by an upgrade, and no checkpoint stops fitting."""

import json
import subprocess
import sys

import pins
import pytest

ADVICE = (
    "a new key renames every run: give it the value that changes nothing, in "
    'vit.runs.identity.ADDED ("Adding a key" in CONTRIBUTING.md)'
)


def pinned(name: str) -> dict:
    return json.loads((pins.HERE / f"{name}.json").read_text(encoding="utf-8"))


def test_shipped_experiments_keep_their_ids():
    assert pins.ids() == pinned("ids"), ADVICE


def test_shipped_config_files_gain_no_key_without_its_neutral_value():
    before, now = pinned("keys"), json.loads(json.dumps(pins.keys()))
    new = {
        f"conf/{name}.yaml: {key}"
        for name, leaves in now.items()
        for key in leaves.keys() - before.get(name, leaves).keys()
    }
    assert not new, ADVICE
    assert {name: now.get(name) for name in before} == before


def test_every_shipped_config_file_is_pinned():
    new = pins.keys().keys() - pinned("keys").keys()
    assert not new, "python tests/guards/pins.py adds them; look at the diff"


def test_a_key_without_its_neutral_value_is_noticed(monkeypatch):
    """The guard itself can fail, and a value in the table satisfies it."""
    whole = pins._leaves

    def with_a_new_key(config, above=""):
        yield from whole(config, above)
        if not above and "backbone" in config:
            yield "backbone.weights", None

    monkeypatch.setattr(pins, "_leaves", with_a_new_key)
    with pytest.raises(AssertionError, match=r"backbone\.weights"):
        test_shipped_config_files_gain_no_key_without_its_neutral_value()


def test_models_keep_the_names_shapes_and_order_of_their_tensors():
    # In a process of its own: with every shape checked this takes minutes.
    command = [sys.executable, pins.__file__, "states"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == pinned("states")
