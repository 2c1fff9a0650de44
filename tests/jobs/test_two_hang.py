"""Two processes (gloo, on the CPU), one standing still: it is named, and the run can go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_two_stop import WORDS, assert_nothing_is_left, in_the_middle, ranks, start

from vit.cli.compose import compose
from vit.runs.directory import RunFolder

pytestmark = pytest.mark.slow
SECONDS = 4


@pytest.mark.parametrize("stopped", [1, 0])
def test_a_stopped_process_is_named_and_the_run_can_go_on(tmp_path, stopped):
    folder = RunFolder(tmp_path / "run")
    words = [*WORDS, "trainer.max_epochs=8", f"watch.hang_seconds={SECONDS}"]
    folder.freeze(compose(words))
    process = start(folder.path)
    in_the_middle(folder, process, steps=36)
    asked = time.monotonic()
    os.kill(ranks(folder)[stopped], signal.SIGSTOP)
    code = process.wait(90)
    seconds = time.monotonic() - asked
    print(f"{seconds:.1f} s from the stop to the end")
    said = (folder.path / "said.txt").read_text()
    log = folder.log_file.read_text()
    assert code == 1, said + log
    assert seconds < SECONDS + 45  # torchrun's agent gives the stopped one 30 s before it kills
    state = folder.state()
    assert (state.name, state.kind, state.exit_code) == ("failed", "hung", 1)
    assert f"rank {stopped} gives no sign of life; it was last seen at " in state.error
    assert f"waiting: rank {1 - stopped} at " in state.error
    assert state.error in said and state.error in log
    assert f"rank {1 - stopped} stands here:" in log and "most recent call first" in log
    assert_nothing_is_left(folder)
    torch.load(folder.last_checkpoint, weights_only=True)
    assert start(folder.path).wait(200) == 0
    assert folder.is_done()


def test_a_process_in_an_endless_loop_is_named_with_the_line_it_is_at(tmp_path):
    folder = RunFolder(tmp_path / "run")
    own = ["backbone.patch._target_=poisoned.Endless", "allow_targets=[poisoned]"]
    folder.freeze(compose([*WORDS, *own, f"watch.hang_seconds={SECONDS}"]))
    run = ["-m", "vit", "run", str(folder.path), "--allow-target", "poisoned"]
    words = [sys.executable, "-m", "vit.runs.agent", "--standalone", "--nproc-per-node=2", *run]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    state = folder.state()
    assert (state.name, state.kind) == ("failed", "hung")
    assert "rank 1 is behind the others; it was last seen at forward of batch" in state.error
    assert "forward (poisoned.py:" in state.error
    log = folder.log_file.read_text()
    assert "rank 0 stands here:" in log and "rank 1 stands here:" in log
    assert_nothing_is_left(folder)
