import json

import pytest

from vit.bench.models import SIZES, Shape
from vit.cli import main as commands


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(SIZES, "ti", Shape(32, 2, 2, patch_size=8, image_size=16, classes=5))


def test_bench_prints_a_table_of_both_works_and_the_closest_library(capsys):
    words = ["bench", "models", "--against", "timm", "--batch", "1", "--rounds", "1"]
    assert commands.main(words) == 0
    shown = capsys.readouterr().out
    assert "ViT-Ti/16, batch 1, fp32, eager, 1 rounds" in shown
    assert all(f"{work}: ours runs at" in shown for work in ("forward", "step"))


def test_bench_prints_json_that_programs_can_read(capsys):
    words = ["bench", "models", "--against", "timm", "--forward", "--rounds", "1", "--json"]
    assert commands.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema_version"], result["bench"]) == (1, "models")
    assert [row["library"] for row in result["rows"]] == ["ours", "timm"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("models --batch 0 --rounds -1", "--rounds: is -1; wanted at least 1"),
        ("models --against tim", "Did you mean 'timm'?"),
        ("models --device gpu", "wanted cpu, cuda or cuda:N"),
        ("models --device cuda:99", "--device"),
        ("loop --rounds 0", "--rounds: is 0; wanted at least 1"),
    ],
)
def test_bench_refuses_what_it_cannot_measure(words, said, capsys):
    assert commands.main(["bench", *words.split()]) == 2
    assert said in capsys.readouterr().err
