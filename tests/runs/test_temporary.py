"""What a process leaves in the temporary folder: nothing."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from multiprocessing.connection import Listener
from pathlib import Path

import pytest

from vit.faults import Refused
from vit.runs import temporary
from vit.runs.temporary import (
    COMPILED,
    PREFIX,
    apart_from_the_compiled,
    clear_temporary_folders,
    give_sockets_room,
    own_temporary_folder,
    remove_if_nothing_was_compiled,
)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv(COMPILED, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_what_is_made_within_is_gone_afterwards_even_after_an_error(shared):
    with pytest.raises(ValueError, match="broken"), own_temporary_folder():
        Path(tempfile.mkdtemp(), "file").touch()
        code = "import tempfile; tempfile.mkdtemp()"
        subprocess.run([sys.executable, "-c", code], check=True)
        (own,) = shared.glob(f"{PREFIX}*")
        assert len(list(own.iterdir())) == 2
        raise ValueError("broken")
    assert list(shared.iterdir()) == []
    assert os.environ["TMPDIR"] == str(shared) and tempfile.gettempdir() == str(shared)


def test_what_torch_compiled_stays_where_torch_keeps_it(shared, monkeypatch):
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    wanted = default_cache_dir()
    assert str(temporary.compiled_folder()) == wanted
    with own_temporary_folder():
        assert os.environ[COMPILED] == wanted
        Path(wanted, "kernel").mkdir(parents=True)
    assert Path(wanted, "kernel").exists()


WARM = """
import os
from vit.runs import process
process.warm_up()
name = "TORCHINDUCTOR_CACHE_DIR"
print(process.call("os:getenv", name), os.environ.get(name))
"""


def test_a_warm_parent_imports_beside_the_folder_of_what_was_compiled(shared):
    """torch's import fails where an empty one goes away between two of its steps."""
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(temporary.compiled_folder()), "None"]
    assert list(shared.iterdir()) == []


@pytest.fixture
def without_sockets(monkeypatch):
    """A process that has made no folder for them yet."""
    config = dict(multiprocessing.current_process()._config)
    config.pop("tempdir", None)
    monkeypatch.setattr(multiprocessing.current_process(), "_config", config)
    return config


def test_sockets_have_room_whatever_the_temporary_folder_is_called(
    shared, without_sockets, monkeypatch
):
    monkeypatch.setattr(temporary, "SHORT_FOLDERS", [str(shared / "none"), "/tmp"])
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    give_sockets_room()
    assert "tempdir" not in without_sockets  # multiprocessing's own way
    long = shared / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    give_sockets_room()
    folder = Path(without_sockets["tempdir"])
    assert folder.parent == Path("/tmp") and list(long.iterdir()) == []
    with Listener(family="AF_UNIX") as listener:
        assert Path(listener.address).parent == folder
    give_sockets_room()
    assert without_sockets["tempdir"] == str(folder)
    shutil.rmtree(folder)


def test_no_room_for_sockets_is_refused_in_words(shared, without_sockets, monkeypatch):
    monkeypatch.setattr(temporary, "SHORT_FOLDERS", [str(shared / "none")])
    monkeypatch.setattr(tempfile, "tempdir", str(shared / ("x" * 90)))
    with pytest.raises(Refused, match=r"TMPDIR: is .* leave no room for the name of a socket"):
        give_sockets_room()


def test_nobody_takes_away_the_folder_that_another_process_holds(shared):
    folder = temporary.compiled_folder()
    handle = temporary._held(folder)
    remove_if_nothing_was_compiled()
    assert folder.exists()
    os.close(handle)
    Path(folder, "kernel").mkdir()
    remove_if_nothing_was_compiled()
    assert folder.exists()
    Path(folder, "kernel").rmdir()
    remove_if_nothing_was_compiled()
    assert not folder.exists()


TURNS = """
import os, sys
from pathlib import Path
from vit.runs import temporary
for _ in range(300):
    with temporary.own_temporary_folder():
        os.makedirs(os.environ["TORCHINDUCTOR_CACHE_DIR"], exist_ok=True)  # as torch does
    del os.environ["TORCHINDUCTOR_CACHE_DIR"]
"""


def test_processes_that_come_and_go_together_never_fail(shared):
    command = [sys.executable, "-c", TURNS]
    together = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=100)[1] for process in together] == [""] * 4
    assert [process.returncode for process in together] == [0] * 4
    assert list(shared.iterdir()) == []


def test_a_child_compiles_where_everybody_does_whatever_its_parent_imported_with(shared):
    with apart_from_the_compiled():
        parents = Path(os.environ[COMPILED])
        assert parents.parent == shared and parents.name.startswith(PREFIX)
        with own_temporary_folder():
            assert os.environ[COMPILED] == str(shared / temporary.compiled_folder().name)
    assert COMPILED not in os.environ


def test_what_killed_processes_left_is_cleared_and_nothing_else(shared):
    def old(folder):
        folder.mkdir(exist_ok=True)
        (folder / "file").touch()
        os.utime(folder, (0, 0))
        return folder

    left = old(shared / f"{PREFIX}abcd1234")
    fresh = shared / f"{PREFIX}abcd5678"
    fresh.mkdir()
    others = [old(shared / name) for name in ("vit-experiments", f"{PREFIX}of-mine", "abcd")]
    (shared / f"{PREFIX}link1234").symlink_to(others[0])
    with own_temporary_folder():
        running = old(Path(os.environ["TMPDIR"]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(shared))
            clear_temporary_folders()
        assert running.exists() and not left.exists()
        assert fresh.exists() and all((other / "file").exists() for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("words", [["hydra.run.dir=run"], ["-m", "seed=0,1", "hydra.sweep.dir=s"]])
def test_runs_with_their_tracker_leave_nothing_and_need_no_home(tmp_path, words):
    temporary_folder = tmp_path / "temporary"
    temporary_folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    environment |= {"TMPDIR": str(temporary_folder), "HOME": "/proc/1"}
    small = ["backbone.dim=16", "backbone.depth=1", "schedule.warmup_epochs=0", "trainer=cpu"]
    small += ["trainer.max_epochs=1", "data.num_workers=1"]
    command = [sys.executable, "-m", "vit", "train", "experiment=digits", *small, *words]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    assert list(temporary_folder.iterdir()) == []
    assert list(tmp_path.glob("*/wandb/offline-run-*")) or list(tmp_path.glob("s/*/wandb"))
