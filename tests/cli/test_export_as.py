"""`vit export RUN_DIR --as …`: a folder of another library's, whole or not at all."""

import pytest
import timm
import torch
from commands import command

from vit.cli import export, features
from vit.faults import Refused
from vit.trained import load


def test_a_folder_for_timm_is_written_written_anew_and_never_over_another(tiny_runs, tmp_path):
    run, out = tiny_runs("classes"), tmp_path / "out"
    done = command("export", run, "--as", "timm", "--out", out)
    assert done.stdout.strip() == f"{out}  with its head"
    assert sorted(each.name for each in out.iterdir()) == ["config.json", "model.safetensors"]
    usual = tmp_path.parent / "usual"
    usual.touch()
    assert {each.stat().st_mode for each in out.iterdir()} == {usual.stat().st_mode}
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = load(run).model(images)
        torch.testing.assert_close(theirs(images), expected, rtol=1e-5, atol=1e-5)
    command("export", run, "--as", "timm", "--out", out)
    (out / "mine.txt").touch()
    refused = command("export", run, "--as", "timm", "--out", out, code=2)
    assert f"{out} is there already and no folder of such an export" in refused.stderr
    assert (out / "mine.txt").exists() and len([*tmp_path.iterdir()]) == 1


def test_what_another_library_lacks_is_refused_and_leaves_nothing(tiny_runs, tmp_path):
    out = tmp_path / "out"
    for kind, library, said in (
        ("classes", "hf", "transformers' ViTs have a class token and this one has none"),
        ("topics", "timm", "its backbone is a"),
    ):
        refused = command("export", tiny_runs(kind), "--as", library, "--out", out, code=2)
        assert f"--as {library}: {library} has no such model: {said}" in refused.stderr
    words = ("export", tiny_runs("classes"), "--as", "timm", "--out", out, "--adapters")
    assert "--adapters: does not go with --as" in command(*words, code=2).stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("main", "words", "name"),
    [
        (export.main, ["--as", "timm"], "x"),
        (export.main, [], "x.safetensors"),
        (features.main, [], "x.npz"),
    ],
)
def test_a_folder_that_is_not_there_is_said_to_be_missing(main, words, name, tmp_path):
    (tmp_path / "config.yaml").write_text("schema_version: 1\n")
    with pytest.raises(Refused) as refused:
        main([str(tmp_path), *words, "--out", str(tmp_path / "no" / name)])
    assert str(refused.value.faults[0]) == f"--out: there is no folder {tmp_path / 'no'}"
