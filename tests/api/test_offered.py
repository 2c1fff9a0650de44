"""What `import vit` offers, and at what cost."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vit
import vit.check
import vit.runs.directory
from vit.faults import Refused
from vit.models.backbone import ViT


@pytest.mark.parametrize("name", [name for name in vit.__all__ if name[0] != "_"])
def test_each_name_is_shown_documented_and_can_be_called(name):
    offered = getattr(vit, name)
    assert name in dir(vit) and callable(offered)
    called = getattr(offered, "called", None)
    if called is not None:
        module, _, inside = called.partition(":")
        offered = getattr(importlib.import_module(module), inside)
    assert len(offered.__doc__) > 40


def test_a_package_keeps_its_modules_and_can_be_called(tmp_path):
    assert vit.runs.directory.RunFolder(tmp_path).path == tmp_path
    with pytest.raises(Refused, match="no such folder"):
        vit.runs(tmp_path / "none")
    with pytest.raises(Refused, match="sede: no such key"):
        vit.train("experiment=digits", "sede=1")


def test_importing_vit_imports_nothing_heavy(slowness):
    code = "import sys, time; t = time.process_time(); import vit; dir(vit); "
    code += "print(*sys.modules, time.process_time() - t)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    heavy = {"torch", "numpy", "hydra", "omegaconf", "yaml", "vit.api", "lightning"}
    *modules, seconds = done.stdout.split()
    assert not heavy & set(modules) and float(seconds) < 0.1 * slowness


def test_completion_offers_names_and_none_of_the_files_own():
    assert {*vit.__all__} <= {*dir(vit)} and not {"sys", "TYPE_CHECKING"} & {*dir(vit)}
    assert {"predict", "features", "evaluate", "show"} <= {*dir(vit.LoadedRun)} & {*dir(vit.Run)}


TYPED = """
import vit

run = vit.train("experiment=digits")
reveal_type(run.features([]))
reveal_type(vit.load(run).features([], patches=True).patches)
reveal_type(vit.runs("runs")[0].metrics)
reveal_type(vit.report("runs"))
reveal_type(run.show([]))
reveal_type(vit.check("experiment=digits"))
"""


@pytest.mark.slow
def test_a_type_checker_knows_what_the_names_are(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(TYPED)
    root = Path(__file__).parents[2]  # whose settings and cache are those of `make check`
    command = [sys.executable, "-m", "mypy", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    told = re.findall(r'Revealed type is "(.+)"', done.stdout)
    assert [re.sub(r"(?:\w+\.)+", "", each) for each in told] == [
        "Tensor",
        "list[Tensor]",
        "dict[str, float]",
        "ReportPage",
        "Shown",
        "dict[str, Any]",
    ]


def test_a_vit_of_plain_numbers_is_the_class_with_these_parts():
    torch.manual_seed(0)
    made = vit.ViT(image_size=32, dim=24, depth=2, heads=3, patch_size=8, mlp="swiglu")
    assert isinstance(made, ViT) and made.dim == 24 and len(made.blocks) == 2
    assert type(made.blocks[0].mlp).__name__ == "SwiGlu"
    features = made(torch.randn(2, 3, 32, 32))
    assert features.patches.shape == (2, 16, 24)


def test_with_classes_it_gives_logits_of_any_size_and_channels():
    made = vit.ViT(
        "vit_ti",
        image_size=(32, 64),
        channels=1,
        num_classes=5,
        depth=1,
        position="rope",
        class_token=True,
        pool="cls",
    )
    assert made(torch.randn(2, 1, 32, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (32, -1)}, "image_size"),
        ({"num_classes": 0}, "num_classes"),
    ],
)
def test_wrong_sizes_are_refused(keys, where):
    with pytest.raises(Refused, match=where):
        vit.ViT(**keys)


def test_options_and_several_values_are_refused_where_one_run_is_wanted(capsys):
    with pytest.raises(Refused, match="--bogus"):
        vit.train("experiment=digits", "--bogus")
    with pytest.raises(Refused, match=r"vit\.sweep"):
        vit.train("experiment=digits", "-m", "seed=1,2")


def test_a_wrong_key_is_refused_with_what_is_meant():
    with pytest.raises(Refused, match="Did you mean 'depth'"):
        vit.ViT(depht=2)
    with pytest.raises(Refused, match="rpoe"):
        vit.ViT(position="rpoe")
