"""What the steps of one process saw, two saw together; and so did two that were killed."""

import os
import signal
import subprocess
import sys

import pytest
from test_two_stop import WORDS, in_the_middle, ranks, start

from vit.cli.compose import compose
from vit.runs.directory import RunFolder
from vit.runs.fingerprints import first_divergence, read_fingerprints

pytestmark = pytest.mark.slow
FINGERPRINTS = ["watch.fingerprints=true", "watch.weights_every=9", "trainer.max_epochs=8"]
ALONE = ["trainer=cpu", "trainer.devices=1"]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    def make(name, *words):
        folder = RunFolder(tmp_path_factory.mktemp("runs") / name)
        folder.freeze(compose([*WORDS, "task.mixup=0", *FINGERPRINTS, *words]))
        return folder

    return make


@pytest.fixture(scope="module")
def two(frozen):
    folder = frozen("two")
    assert start(folder.path).wait(200) == 0, (folder.path / "said.txt").read_text()
    return folder


def test_one_process_and_two_see_the_same_and_differ_by_rounding(frozen, two):
    one = frozen("one", *ALONE)
    words = [sys.executable, "-m", "vit", "run", str(one.path)]
    subprocess.run(words, check=True, capture_output=True, timeout=200)
    a, b = read_fingerprints(one.path), read_fingerprints(two.path)
    assert a.keys() == b.keys() == set(range(8 * 18))
    for step in a:
        for name in ("images", "samples", "pixels", "epoch"):
            assert a[step][name] == b[step][name]
    assert first_divergence(one.path, two.path, tolerance=1e-2) is None
    parted = first_divergence(one.path, two.path)
    assert parted is not None and parted.by in ("loss", "gradient_norm")
    assert parted.step < 9  # before the weights are first looked at


def test_a_killed_run_of_two_processes_ends_with_the_lines_of_an_undisturbed_one(frozen, two):
    folder = frozen("killed")
    process = start(folder.path)
    in_the_middle(folder, process)
    os.kill(ranks(folder)[1], signal.SIGKILL)
    assert process.wait(60) == 1
    assert start(folder.path).wait(200) == 0, (folder.path / "said.txt").read_text()
    assert read_fingerprints(folder.path) == read_fingerprints(two.path)
    assert first_divergence(folder.path, two.path) is None
