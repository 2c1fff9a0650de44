"""vit keys: which keys there are, with types, defaults, choices and meaning."""

import json
import subprocess
import sys

import pytest

from vit.cli.keys import main
from vit.faults import Refused


def told(capsys, *words):
    """The keys of the sections that `vit keys WORDS --json` prints."""
    assert main([*words, "--json"]) == 0
    sections = json.loads(capsys.readouterr().out)
    return sections, {each["key"]: each for section in sections for each in section["keys"]}


def test_without_words_there_are_all_groups_and_the_keys_at_the_top(capsys):
    _, keys = told(capsys)
    assert keys["backbone"]["default"] == "vit"
    assert {"vit_s", "timm", "text"} <= set(keys["backbone"]["choices"])
    assert keys["seed"]["type"] == "int" and keys["seed"]["about"]
    assert keys["threads"]["type"] == "int or null"


def test_a_group_tells_type_default_choices_and_meaning_of_its_keys(capsys):
    sections, keys = told(capsys, "backbone")
    assert sections[0]["target"] == "vit.models.backbone.ViT"
    assert "timm" in sections[0]["choices"]
    assert (keys["backbone.depth"]["type"], keys["backbone.depth"]["default"]) == ("int", 12)
    assert keys["backbone.drop_path_mode"]["choices"] == ["linear", "constant"]
    assert "DINOv3" in keys["backbone.key_bias"]["about"]
    assert keys["backbone.norm"]["choices"] == ["layer_norm", "rms_norm"]
    assert keys["backbone.norm.eps"]["default"] == 1e-6


def test_a_part_inside_of_a_part_and_what_no_file_sets(capsys):
    for word in ("backbone.attention", "backbone/attention"):
        _, keys = told(capsys, word)
        # What the backbone decides for all blocks (qkv_bias, dropout, …) is no key of the part.
        assert list(keys) == ["backbone.attention.start"]
        assert keys["backbone.attention.start"]["added"]


def test_other_choices_and_experiments_are_told_as_they_compose(capsys):
    sections, keys = told(capsys, "data=folder", "optim")
    assert [each["path"] for each in sections] == ["data", "data.augment", "optim"]
    assert keys["data.root"]["required"] and keys["data.augment.scale"]["default"] == [0.35, 1.0]
    assert "seed" not in "".join(key for key in keys if key == "data.seed")
    _, keys = told(capsys, "experiment=digits", "backbone")
    assert keys["backbone.depth"]["default"] == 4
    _, keys = told(capsys, "data=coco", "data.augment_boxes")
    assert list(keys) == ["data.augment_boxes.flip"]


def test_a_single_key_and_the_keys_of_the_trainer(capsys):
    _, keys = told(capsys, "optim.lr")
    assert list(keys) == ["optim.lr"]
    _, keys = told(capsys, "trainer")
    assert keys["trainer.max_epochs"]["default"] == 10
    assert keys["trainer.max_time"]["added"]
    assert "trainer.callbacks" not in keys  # given in code
    _, keys = told(capsys, "trainer.max_time")
    assert list(keys) == ["trainer.max_time"]


def test_what_is_unknown_is_refused_with_the_nearest():
    with pytest.raises(Refused) as refused:
        main(["backbne", "optim.lrr"])
    first, second = refused.value.faults
    assert "'backbone'" in first.message and "'optim.lr'" in second.message
    with pytest.raises(Refused, match="no such choice"):
        main(["backbone=vitt"])


def test_markdown_is_a_table_a_part(capsys):
    assert main(["head", "task", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "### head=linear: `vit.models.classifier.Head`" in out
    assert "| `head.dropout` | float | `0.0` |" in out
    assert "auto \\| cross_entropy \\| bce" in out


@pytest.mark.parametrize("columns", [30, 60, 80, 160])
def test_a_table_fits_a_terminal_of_any_width(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["backbone", "data=folder", "checkpoint"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= columns
    if columns != 80:  # where a long key is folded beside others
        assert "backbone.gradient_checkpointing" in "".join(out.split())
    assert "default" in out


def test_no_part_is_imported_for_it():
    code = (
        "import sys; from vit.cli.main import main; main(['keys', 'backbone', 'data=coco']); "
        "sys.exit(bool({'torch', 'pytorch_lightning', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_help_and_completion_have_it_and_offer_no_bases(capsys, monkeypatch):
    from vit.cli.all_choices import choices
    from vit.cli.main import main as vit

    assert vit(["--help"]) == 0 and "\n  keys " in capsys.readouterr().out
    lines = choices().splitlines()
    assert not any("base" in line or "small_" in line for line in lines)
    assert "  head/pool=attention, cls, mean (with head=linear)" in lines
    assert "  sweep/executor=local, ray, slurm" in lines  # which every choice of sweep has
    line = "vit keys data="
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert vit(["-sc", "query=bash"]) == 0
    offered = capsys.readouterr().out.split()
    assert "data=digits" in offered and "data=base" not in offered
