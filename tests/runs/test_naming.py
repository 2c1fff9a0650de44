from pathlib import Path

import pytest

from vit.runs.naming import folder_faults, name_faults


@pytest.mark.parametrize("name", ["deep-vit", "größe 2", "group/deep", "a.b", "実験"])
def test_a_plain_name_is_taken(name):
    assert name_faults("name", name) == []


@pytest.mark.parametrize(
    "name",
    [
        *("../../x", "..", ".", "a/../b", "/etc", "a//b", "a/", "", " ", "a/ /b"),
        *("a\nb", "a\x1b[31mb", "a\0b", "a\u202eb", "a\udc80b", "a" * 300, "a/" * 2000 + "a"),
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_written_is_one_fault(name):
    (fault,) = name_faults("name", name)
    assert fault.where == "name"
    assert "\x1b" not in fault.message and "\n" not in fault.message
    assert len(fault.message) < 300


def test_a_folder_that_cannot_be_is_refused_and_nothing_is_made(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dead").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    bad = ["loop", "loop/x", "dead", "dead/x", "file", "file/x", "a\nb", "a" * 300, "a/" * 2000]
    for name in bad:
        (fault,) = folder_faults("hydra.run.dir", tmp_path / name)
        assert fault.where == "hydra.run.dir"
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_to_be_made_or_a_link_to_one_is_taken(tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to("scratch")
    for name in ("new", "new/er", "link", "link/new", "größe 2"):
        assert folder_faults("hydra.run.dir", tmp_path / name) == []
