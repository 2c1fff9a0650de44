"""A run on two machines, which are two agents of torchrun on this one: struck, and exact."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import equal, members, numbers
from test_two_stop import WORDS as ONE_MACHINE

from vit.cli.compose import compose
from vit.cli.run import main as run_command
from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.nodes import Node, given_node, slurm_node
from vit.runs.torchrun import train_on_nodes

WORDS = [*ONE_MACHINE, "trainer.devices=1", "trainer.num_nodes=2"]
VIT = [sys.executable, "-m", "vit"]


def test_a_machine_is_found_in_a_step_of_one_task_a_machine(tmp_path, monkeypatch):
    put_slurm(tmp_path, monkeypatch)
    step = {
        "SLURM_STEP_NODELIST": "here[1-2]",
        "SLURM_NODEID": "1",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_JOB_ID": "123456",
    }
    assert slurm_node(2, step) == Node(1, 2, "127.0.0.1", 23456)
    assert slurm_node(2, {}) is None
    with pytest.raises(Refused, match=r"8 tasks on 2 machines.*one task each"):
        slurm_node(2, {**step, "SLURM_STEP_NUM_TASKS": "8"})
    with pytest.raises(Refused, match="2 tasks on 2 machines; the run wants 4"):
        slurm_node(4, step)
    (tmp_path / "tools" / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(Refused, match=r"scontrol show hostnames 'here\[1-2\]' does not tell"):
        slurm_node(2, step)


def test_a_machine_is_what_the_command_line_says():
    assert given_node(2, 1, "there") == Node(1, 2, "there", 29400)
    assert given_node(2, 0, "there:30000") == Node(0, 2, "there", 30000)
    for rank, master, message in [
        (None, None, "start it on each"),
        (1, None, "start it on each"),
        (2, "there", "wanted 0 to 1"),
        (0, "there:port", "wanted HOST or HOST:PORT"),
    ]:
        with pytest.raises(Refused, match=message):
            given_node(2, rank, master)


def test_what_an_earlier_start_wrote_down_is_not_the_answer_of_this_one(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "srun").write_text("#!/bin/sh\nexit 7\n")
    (tools / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    folder = freeze(tmp_path / "run")
    folder.set_state("preempted", exit_code=143)
    assert train_on_nodes(folder, 2, []) == 7
    script = "from pathlib import Path; from vit.runs.directory import RunFolder as R; "
    script += f"R(Path('{folder.path}')).set_state('failed', exit_code=1)"
    (tools / "srun").write_text(f'#!/bin/sh\n"{sys.executable}" -c "{script}"\nexit 7\n')
    assert train_on_nodes(folder, 2, []) == 1


def test_words_for_several_machines_are_refused_where_there_is_one(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.freeze(compose(ONE_MACHINE))
    with pytest.raises(Refused, match="this one is for one"):
        run_command([str(folder.path), "--node-rank", "1", "--master", "there"])


def put_slurm(folder, monkeypatch):
    tools = folder / "tools"
    tools.mkdir()
    (folder / "scripts").mkdir()
    for name in ("srun", "scontrol"):
        script = (
            folder / "scripts" / name
        )  # called by its name; a first line takes no path of blanks
        script.write_text((Path(__file__).parent / "srun.py").read_text())
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


def start(folder, *words):
    with (folder.path.parent / "said.txt").open("a") as said:
        return subprocess.Popen(words, stdout=said, stderr=said, start_new_session=True)


def machines(folder, port):
    """`vit run` on either machine."""
    at = ["--master", f"127.0.0.1:{port}", "--node-rank"]
    return [start(folder, *VIT, "run", str(folder.path), *at, str(rank)) for rank in range(2)]


def until_step(folder, step):
    until = time.monotonic() + 100
    while time.monotonic() < until:
        if folder.metrics_file.exists() and folder.metrics_file.read_text().count("\n") > step // 9:
            return
        time.sleep(0.02)
    raise AssertionError((folder.path.parent / "said.txt").read_text())


def freeze(path):
    folder = RunFolder(path)
    folder.freeze(compose(WORDS))
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = freeze(tmp_path_factory.mktemp("peace") / "run")
    assert [machine.wait(200) for machine in machines(folder, 29611)] == [0, 0]
    return numbers(folder)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_machine_that_dies_ends_the_run_and_the_same_commands_end_it_exact(
    tmp_path, undisturbed, victim
):
    folder = freeze(tmp_path / "run")
    both = machines(folder, 29613 + victim)
    until_step(folder, 90)
    of_it = descendants(both[victim].pid)
    for pid in of_it:
        os.kill(pid, signal.SIGKILL)
    both[victim].wait()
    started = time.monotonic()
    assert both[1 - victim].wait(60) == 1
    assert time.monotonic() - started < 45
    assert not members(folder)
    assert [machine.wait(200) for machine in machines(folder, 29615 + victim)] == [0, 0]
    assert equal(numbers(folder), undisturbed)


def descendants(pid):
    """A process and all that it started, as if their machine had lost its power."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False)
    return [pid, *(each for child in found.stdout.split() for each in descendants(int(child)))]


@pytest.mark.slow
def test_a_job_of_two_machines_is_preempted_and_requeued(tmp_path, monkeypatch, undisturbed):
    put_slurm(tmp_path, monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", "29617")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    folder = RunFolder(tmp_path / "run")
    command = [*VIT, "train", *WORDS, f"hydra.run.dir={folder.path}"]
    job = start(folder, *command)
    until_step(folder, 90)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == 143, (tmp_path / "said.txt").read_text()
    assert folder.state().name == "preempted"
    assert not members(folder)
    assert start(folder, *command).wait(200) == 0
    assert equal(numbers(folder), undisturbed)


@pytest.mark.slow
def test_machines_with_other_code_say_so_before_the_first_step(tmp_path):
    folder = freeze(tmp_path / "run")
    other = tmp_path / "other"
    shutil.copytree(Path(__file__).parents[2] / "vit", other / "vit")
    changed = other / "vit" / "layers" / "norm.py"
    changed.write_text(changed.read_text() + "\n# another version\n")
    at = ["--master", "127.0.0.1:29618", "--node-rank"]
    first = start(folder, *VIT, "run", str(folder.path), *at, "0")
    with (tmp_path / "said.txt").open("a") as said:
        words = [*VIT, "run", str(folder.path), *at, "1"]
        environment = {**os.environ, "PYTHONPATH": str(other)}
        second = subprocess.Popen(
            words, stdout=said, stderr=said, start_new_session=True, env=environment, cwd=other
        )
    assert first.wait(100) == 1 and second.wait(60) == 1
    assert "rank 1 has other code than rank 0" in folder.state().error
    assert not folder.metrics_file.exists() and not folder.last_checkpoint.exists()


@pytest.mark.slow
def test_a_run_is_prepared_here_and_trained_elsewhere(tmp_path):
    folder = RunFolder(tmp_path / "run")
    command = [*VIT, "train", *WORDS, f"hydra.run.dir={folder.path}"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "give --prepare" in refused.stderr
    assert not folder.path.exists()
    prepared = subprocess.run([*command, "--prepare"], capture_output=True, text=True, check=False)
    assert prepared.returncode == 0 and "vit run" in prepared.stdout
    assert folder.state().name == "planned"
    run = subprocess.run(
        [*VIT, "run", str(folder.path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2 and "--node-rank" in run.stderr
