import time
from itertools import pairwise

import pytest

from vit.cli.config_files import bomb_faults, reference_faults

LETTERS = "abcdefghijkl"
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise(LETTERS)
)
MERGED = "a: &a {k: [1, 2, 3, 4, 5, 6, 7, 8, 9]}\n" + "".join(
    f"{new}: &{new} {{x: *{old}, y: *{old}, z: *{old}, u: *{old}}}\n"
    for old, new in pairwise(LETTERS)
)


@pytest.mark.parametrize(
    "text",
    [
        ALIASES,
        MERGED,
        "a: " + "[" * 200_000 + "]" * 200_000,
        "a: " + "{b: " * 5_000 + "1" + "}" * 5_000,
        "".join(f"{' ' * level}k{level}:\n" for level in range(1_000)),
        "a: " + "x" * 2_000_000,
    ],
    ids=["aliases", "mappings", "brackets", "braces", "indent", "length"],
)
def test_a_bomb_is_refused_within_a_second(tmp_path, text, slowness):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "run.yaml").write_text(text)
    began = time.process_time()
    (fault,) = bomb_faults(tmp_path)
    assert time.process_time() - began < 1 * slowness
    assert fault.where.endswith("run.yaml")


def test_plain_files_and_plain_aliases_are_let_through(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &base {lr: 1}\nb: {<<: *base, x: [1, 2]}\n")
    (tmp_path / "broken.yaml").write_text("a: &b [*b\n")  # Hydra tells the line
    (tmp_path / "loop").symlink_to(tmp_path)
    assert bomb_faults(tmp_path) == []


@pytest.mark.parametrize("form", ["${{{0}}}${{{0}}}${{{0}}}${{{0}}}", ["${{{0}}}"] * 4])
def test_keys_that_grow_by_what_they_refer_to_are_refused(form):
    config = {"z0": "xxxxxxxxxx"}
    for at in range(20):
        old = f"z{at}"
        config[f"z{at + 1}"] = (
            form.format(old) if isinstance(form, str) else [each.format(old) for each in form]
        )
    (fault,) = reference_faults(config)
    assert fault.where.startswith("z")


def test_a_reference_as_recipes_have_them_is_none():
    config = {"backbone": {"dim": 64}, "head": {"dim": "${backbone.dim}", "x": "${..seed}"}}
    assert reference_faults({**config, "a": "${b}", "b": "${a}", "seed": 1}) == []  # a circle
    chain = {f"k{at}": f"${{k{at + 1}}}" for at in range(5_000)}
    (fault,) = reference_faults(chain)
    assert "without end" in fault.message
