"""Files of a run lie in it: nothing elsewhere is shown or written through a link, nothing hangs."""

import base64
import os
import struct
import sys
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))
import hostile

from vit.cli.main import main
from vit.cli.predict import image_files, require_folder
from vit.explain.files import write
from vit.faults import Refused
from vit.jobs.training import train
from vit.review.looks import looks
from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.fingerprints import lines_file
from vit.runs.mistake_gallery import Album, Mistake, picture_content, write_album
from vit.runs.record import append_lines
from vit.runs.tracking import keep_inside
from vit.runs.wandb_links import link_wandb
from vit.schema import schema_faults
from vit.sweeps.trial import log_tail
from vit.tasks.inputs import bad_files, open_picture
from vit.tasks.log import said_into
from vit.trained import selected, usable_device

SECRET = "machine example.org login me password s3cret-s3cret"


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "netrc").write_text(SECRET)
    Image.new("RGB", (9, 9), (1, 2, 3)).save(folder / "private.png")
    return folder


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return hostile.made_sweep(tmp_path / "runs" / "sweep")


def link(place, to):
    hostile.remove(place)
    place.symlink_to(to)


def page_of(sweep):
    assert main(["report", str(sweep), "--no-cache"]) in (0, 2)
    page = Path("report.html")
    return page.read_text() if page.exists() else ""


@pytest.mark.parametrize("name", ["log.txt", "console.txt"])
def test_a_log_that_leads_out_is_not_shown(sweep, outside, name, capsys):
    failed = sorted(sweep.glob("depth_*"))[2]
    hostile.put(failed / "state.json", state="failed", kind="exception", error="it broke")
    (failed / "log.txt").unlink()
    link(failed / name, outside / "netrc")
    assert "s3cret" not in page_of(sweep) + capsys.readouterr().out
    assert log_tail(RunFolder(failed)) != [SECRET]


def test_a_log_of_the_run_itself_is_shown(sweep, capsys):
    failed = sorted(sweep.glob("depth_*"))[2]
    hostile.put(failed / "state.json", state="failed", kind="exception", error="it broke")
    assert "said two" in page_of(sweep)


@pytest.mark.parametrize("place", ["pictures/test/{file}", "pictures/test", "pictures"])
def test_a_picture_that_leads_out_is_not_embedded(sweep, outside, place):
    run = sorted(sweep.glob("depth_*"))[0]
    (file,) = (run / "pictures" / "test").glob("*.webp")
    private = (outside / "private.png").read_bytes()
    if "{file}" in place:
        link(file, outside / "private.png")
    else:
        (outside / "test").mkdir()
        for moved in (run / "pictures" / "test").iterdir():
            (outside / "test" / moved.name).write_bytes(moved.read_bytes())
        (outside / "test" / file.name).write_bytes(private)
        target = run / place
        target.rename(outside / "was")
        target.symlink_to(outside / "test" if place.endswith("test") else outside)
    assert base64.b64encode(private).decode() not in page_of(sweep)
    assert picture_content(outside / "private.png") is not None  # by itself it could be shown


def test_a_picture_of_attention_that_leads_out_is_not_embedded(sweep, outside):
    run = sorted(sweep.glob("depth_*"))[0]
    link(run / "attend" / "000-image.png", outside / "private.png")
    private = base64.b64encode((outside / "private.png").read_bytes()).decode()
    assert private not in page_of(sweep)
    assert looks([]) == []


def test_a_small_file_that_unpacks_to_a_huge_picture_is_left_out(tmp_path):
    Image.new("L", (7_000, 7_000)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size < 1 << 20
    began = time.process_time()
    assert picture_content(tmp_path / "large.png") is None
    assert time.process_time() - began < 2


NAMES = ("log.txt", "metrics.jsonl", ".lock", ".heartbeat", "checkpoints", "pictures", "attend")


@pytest.mark.parametrize("name", [*NAMES, "fingerprints.jsonl", "wandb", ".claims", "bad_batch.pt"])
def test_nothing_is_trained_where_a_link_leads_out(sweep, outside, name):
    run = sorted(sweep.glob("depth_*"))[2]
    target = outside if name in ("checkpoints", "pictures", "attend", "wandb", ".claims") else None
    if (run / name).is_dir():
        (run / name).rename(outside / "was")
    else:
        hostile.remove(run / name)
    (run / name).symlink_to(target or outside / "netrc")
    before = {file: file.stat().st_mtime_ns for file in outside.rglob("*")}
    with pytest.raises(Refused, match="is a link that leads out of"):
        train(run)
    assert main(["run", str(run)]) == 2
    assert {file: file.stat().st_mtime_ns for file in outside.rglob("*")} == before


def test_each_writer_refuses_a_link_by_itself(tmp_path, outside):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("log.txt", "fingerprints.jsonl"):
        (run / name).symlink_to(outside / "netrc")
    for name in ("attend", "pictures", "wandb"):
        (run / name).symlink_to(outside)
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(Refused), said_into(run / "log.txt", 0):
        pass
    with pytest.raises(Refused):
        append_lines(lines_file(run, 0), ["{}"])
    with pytest.raises(Refused):
        write_album(run, "test", Album([Mistake(picture, "words", "a.png")]))
    with pytest.raises(Refused):
        keep_inside(run, offline=True)
    with pytest.raises(Refused):
        link_wandb(run)
    with pytest.raises(Refused):
        require_folder(None, run, "attend")
    (run / "mine").mkdir()
    (run / "mine" / "attend.html").symlink_to(outside / "netrc")
    with pytest.raises(Refused):
        write(run / "mine", {"run": "r"})
    assert sorted(file.name for file in outside.iterdir()) == ["netrc", "private.png"]
    assert (outside / "netrc").read_text() == SECRET


@pytest.mark.parametrize("word", ["attend", "predict"])
def test_the_folder_of_pictures_must_be_one(sweep, tmp_path, word, monkeypatch, capsys):
    hostile.stop_at_the_work(monkeypatch)
    run = sorted(sweep.glob("depth_*"))[0]
    image, file = tmp_path / "a.png", tmp_path / "file"
    Image.new("L", (8, 8)).save(image)
    file.write_text("")
    assert main([word, str(run), str(image), "--out", str(file)]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_paths_that_are_no_files_are_told_one_by_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("itself.png").symlink_to("itself.png")
    Path("nowhere.png").symlink_to("gone")
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Image.new("L", (8, 8)).save("folder/a.png")
    os.mkfifo("folder/b.png")
    for word, told in {
        "itself.png": "is a link to itself; wanted a file",
        "nowhere.png": "is a link to nothing; wanted a file",
        "*.png": "is a link to nothing; wanted a file",
        "pipe": "is a pipe; wanted a file",
        "folder": "is a pipe; wanted a file",
        "/dev/null": "is a device; wanted a file",
        "": "is empty; wanted a file",
        "~nobody-of-that-name/x": "no such file, folder or match",
    }.items():
        with pytest.raises(Refused, match=told):
            image_files([word])
    Path("near.png").symlink_to("folder/a.png")
    assert image_files(["near.png"]) == [Path("near.png")]  # a person's own links are theirs


def test_a_picture_beyond_pillows_guard_is_refused_within_a_second(tmp_path):
    def chunk(kind, told):
        checksum = struct.pack(">I", zlib.crc32(kind + told))
        return struct.pack(">I", len(told)) + kind + told + checksum

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    content = (
        chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    began = time.process_time()
    (fault,) = bad_files([str(tmp_path / "bomb.png")], open_picture)
    assert "pixels" in fault.message and time.process_time() - began < 1


@pytest.mark.parametrize("kind", ["folder", "pipe", "itself", "gone"])
def test_a_checkpoint_that_is_no_file_is_refused(tmp_path, kind):
    file = tmp_path / "a.ckpt"
    file.touch()
    hostile.become(kind, file, tmp_path)
    began = time.process_time()
    with pytest.raises(Refused, match="wanted a file, or `best`, or `last`"):
        selected(RunFolder(tmp_path), str(file))
    assert time.process_time() - began < 2


def test_a_runs_own_checkpoint_lies_in_the_run(tmp_path, outside):
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.best_checkpoint.symlink_to(outside / "netrc")
    with pytest.raises(Refused, match=r"leads out of .* name it by --checkpoint"):
        selected(folder, "best")


def test_a_device_without_values_is_refused():
    with pytest.raises(Refused, match="'meta' cannot be used"):
        usable_device("meta")


def test_another_schema_version_is_refused_before_anything_is_written():
    told = [
        fault for fault in schema_faults({"schema_version": 2}) if fault.where == "schema_version"
    ]
    assert [fault.message for fault in told] == ["is 2; this vit writes and reads 1"]
    assert not [f for f in schema_faults({"schema_version": 1}) if f.where == "schema_version"]


def test_commands_that_train_or_measure_end_at_odd_files_at_once(sweep, monkeypatch, capsys):
    hostile.stop_at_the_work(monkeypatch)
    assert process.call is not None
    run = sorted(sweep.glob("depth_*"))[0]
    hostile.become("bomb", run / "config.yaml", sweep)
    for words in (["evaluate"], ["export"], ["run"]):
        code, said, seconds = hostile.told_by([*words, str(run)])
        assert code == 2 and "aliases" in said and seconds < 2
