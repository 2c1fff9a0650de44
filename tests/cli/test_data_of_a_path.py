"""vit data PATH, beside vit data key=value."""

import json

import pytest
from PIL import Image

from vit.cli.data import ABOUT, main
from vit.cli.recognised import are_places
from vit.faults import Refused


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog", "owl"):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (32, 32)).save(tmp_path / "my photos" / name / f"{number}.png")
    return "my photos"


def test_a_folder_is_told_with_commands_to_paste(photos, capsys):
    assert main([photos]) == 0
    told = capsys.readouterr().out
    assert told.startswith("my photos: classes in folders\n  3 folders hold 9 images: cat 3")
    words = "data=folder 'data.root=\"my photos\"' data.image_size=32 backbone.patch_size=4"
    assert f"  vit check {words}\n  vit train {words}\n" in told


def test_json_is_for_programs(photos, capsys):
    assert main([photos, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1 and not told["ambiguous"]
    (layout,) = told["layouts"]
    assert layout["kind"] == "class_folders" and layout["certainty"] == "certain"
    assert layout["commands"][0]["check"].startswith("vit check data=folder")


def test_what_is_nothing_exits_with_2(tmp_path, capsys):
    (tmp_path / "a.docx").write_text("x")
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "a.docx")]) == 2
    assert "nothing that a kind of data reads" in capsys.readouterr().out


def test_a_path_that_is_not_there_is_refused_with_the_nearest(photos):
    with pytest.raises(Refused, match=r"no such folder or file\. Did you mean 'my photos'"):
        main(["my photo"])


def test_sets_side_by_side_are_said_to_be(photos, tmp_path, capsys):
    (tmp_path / "texts").mkdir()
    lines = [f"the cat sat on mat {at}\t{'ab'[at % 2]}" for at in range(30)]
    (tmp_path / "texts" / "a.tsv").write_text("\n".join(lines))
    assert main(["."]) == 0
    told = capsys.readouterr().out
    assert "several sets lie side by side" in told
    assert "./my photos: classes in folders" in told and "./texts: texts in a table" in told


def test_words_of_a_config_are_no_places(photos):
    assert are_places(["my photos"]) and are_places(["nowhere"])
    assert not are_places([])
    assert not are_places(["data=digits"]) and not are_places(["~data.augment", "+x=1"])
    with pytest.raises(Refused, match="--json"):
        main(["data=digits", "--json"])


def test_the_help_teaches_both():
    assert "vit data photos" in ABOUT and "vit data data=digits" in ABOUT
