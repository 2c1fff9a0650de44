"""The sheet of `vit data`, and its command."""

import numpy as np
import pytest
import torch

from vit.cli import data as command
from vit.data.digit_scenes import DigitScenes
from vit.data.digits import Digits
from vit.data.folder import Folder
from vit.faults import Refused
from vit.pictures.sheets import page, sample_sheet, shown


def test_a_sheet_shows_the_pixels_before_normalising():
    images = torch.tensor([[[[-2.0, 2.0]]]])  # black and white, with mean and std of a half
    drawn = np.asarray(page(shown(images, (0.5,), (0.25,)), [("a", "b")]))
    assert drawn[10, 10].tolist() == [0, 0, 0]
    assert drawn[10, 100].tolist() == [255, 255, 255]


@pytest.mark.parametrize("split", ["train", "val"])
def test_samples_of_any_kind_make_a_page(photos, split):
    for data in (Digits(), Folder(root=str(photos), balanced=True)):
        drawn = sample_sheet(data, split, 6)
        assert drawn.mode == "RGB"
        assert len(np.unique(np.asarray(drawn))) > 20


def test_the_command_draws_and_says_where(tmp_path, capsys):
    out = tmp_path / "page.png"
    assert command.main(["data=digits", "--out", str(out), "--count", "5", "--split", "val"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == str(out)
    assert "1,200" in said
    assert out.read_bytes().startswith(b"\x89PNG")


def test_objects_are_drawn_on_their_pictures():
    settings = {"train_scenes": 8, "val_scenes": 4, "min_digits": 1, "masks": True}
    grey, drawn = (
        np.asarray(sample_sheet(DigitScenes(**settings, max_digits=most), "val", 4)).astype(int)
        for most in (1, 5)
    )
    assert grey.shape == drawn.shape
    coloured = [np.count_nonzero(np.ptp(page, axis=2) > 60) for page in (grey, drawn)]
    assert coloured[1] > coloured[0] > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--count", "0"], "--count: is 0"),
        (["--out", "page.txt"], "--out: is page.txt"),
        (["--out", "absent/page.png"], "there is no folder"),
        (["data.batch_size=many"], "data.batch_size: is 'many'"),
        (["data=folder", "data.root=absent"], "data.root=absent does not exist"),
        (["data=folder"], "data.root: must be given"),
    ],
)
def test_the_command_refuses_with_the_key(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as caught:
        command.main(words)
    assert said in str(caught.value)
    assert not list(tmp_path.glob("*.png"))
