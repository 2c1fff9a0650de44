"""Every bad input is refused in words within ten seconds: no traceback, no hang, no acceptance."""

import re
import signal
import time

import bad_inputs
import pytest

from vit.cli.main import main

SECONDS = 10
SMALL = [
    "experiment=digits",
    "backbone.dim=16",
    "backbone.depth=1",
    "trainer.max_epochs=1",
    "schedule.warmup_epochs=0",
    "tracking=none",
    "watch.attention=0",
]


class Hung(BaseException):
    """No Exception, so that nothing on the way answers it."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    home = tmp_path_factory.mktemp("places")
    found = bad_inputs.make_places(home)
    run, sweep = home / "run", home / "sweep"
    assert main(["train", *SMALL, f"hydra.run.dir={run}"]) == 0
    assert main(["train", "-m", *SMALL, "seed=1,2", f"hydra.sweep.dir={sweep}"]) == 0
    return {**found, "run": str(run), "sweep": str(sweep)}


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


def answered(words, places, capfd):
    """The exit code and all that was printed; raises Hung."""

    def hung(*_):
        raise Hung

    for name, path in places.items():
        words = [word.replace(f"{{{name}}}", path) for word in words]
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(3 * SECONDS)  # a busy machine may be slow; a hang is longer
    began = time.monotonic()
    try:
        code = main(words)
    except SystemExit as end:  # of argparse
        code = end.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    out, err = capfd.readouterr()
    if time.monotonic() - began > SECONDS:
        raise Hung
    return code, out + err


def fault_of(words, named, places, capfd):
    """What is wrong with the answer, in a few words; None where it is a good refusal."""
    try:
        code, printed = answered(words, places, capfd)
    except Hung:
        return "hangs"
    except BaseException as error:
        return f"raises {type(error).__name__}: {str(error)[-200:]}"
    if code not in (1, 2):
        return f"accepted: {code}"
    if "Traceback" in printed:
        return f"traceback: {printed[-300:]}"
    if control := re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", printed):
        return f"prints {control[0]!r}"
    if not printed.strip():
        return "says nothing"
    if len(printed) > 6000:
        return f"says {len(printed)} characters"
    if named is not None and named not in printed:
        return f"does not name {named!r}: {printed[:300]}"
    return None


@pytest.mark.slow
def test_all_bad_inputs_of_all_commands(places, in_a_folder_of_its_own, capfd):
    tried = bad_inputs.words()
    assert len(tried) >= 400
    told = {
        " ".join(words): fault
        for words, named in tried
        if (fault := fault_of(words, named, places, capfd)) is not None
    }
    assert not told, f"{len(told)} of {len(tried)}:\n" + "\n".join(
        f"{words!r}: {fault}" for words, fault in told.items()
    )
