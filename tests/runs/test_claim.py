import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vit.runs import claim as subject
from vit.runs.claim import claim, owner
from vit.runs.files import read_json
from vit.runs.writing import write_json


def abandoned(folder, **told):
    """A claim of somebody who is no process of this machine."""
    held = claim(folder)
    write_json(held.file, {**read_json(held.file), "host": "elsewhere", **told})
    return held


def test_one_owner_at_a_time(tmp_path):
    held = claim(tmp_path)
    assert claim(tmp_path) is None
    assert owner(tmp_path)["pid"] == os.getpid()
    held.release()
    assert owner(tmp_path) is None
    assert claim(tmp_path) is not None


def test_of_many_that_try_exactly_one_gets_it(tmp_path):
    for _ in range(20):
        with ThreadPoolExecutor(8) as pool:
            got = [held for held in pool.map(lambda _: claim(tmp_path), range(8)) if held]
        assert len(got) == 1
        got[0].release()


def test_a_process_of_this_machine_that_is_gone_holds_nothing(tmp_path):
    code = "import pathlib, sys; from vit.runs.claim import claim; claim(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert owner(tmp_path) is None
    assert claim(tmp_path) is not None


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(subject, "SECOND_LOOK_SECONDS", 0.0)


def test_an_owner_that_has_just_woken_keeps_it(tmp_path, monkeypatch):
    held = abandoned(tmp_path)
    old = held.file.stat().st_mtime - 8 * 3600
    os.utime(held.file, (old, old))
    monkeypatch.setattr(subject.time, "sleep", lambda seconds: held.beat())
    assert claim(tmp_path, lease=60.0) is None
    assert held.beat()


def test_a_full_disk_does_not_keep_an_owner_from_leaving(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    held = claim(tmp_path)
    monkeypatch.setattr(subject, "write_json", full)
    held.release()


def test_a_silent_owner_elsewhere_loses_it_after_the_lease_and_learns_so(tmp_path, at_once):
    held = abandoned(tmp_path)
    assert claim(tmp_path, lease=60.0) is None
    old = held.file.stat().st_mtime - 61
    os.utime(held.file, (old, old))
    assert held.beat()  # late, but nobody took it
    assert claim(tmp_path, lease=60.0) is None
    os.utime(held.file, (old, old))
    assert claim(tmp_path, lease=60.0) is not None
    assert not held.beat()


def test_a_claim_that_a_power_cut_left_empty_holds_until_the_lease_is_over(tmp_path, at_once):
    held = claim(tmp_path)
    held.file.write_text("")
    assert claim(tmp_path, lease=60.0) is None
    old = held.file.stat().st_mtime - 61
    os.utime(held.file, (old, old))
    assert claim(tmp_path, lease=60.0) is not None
