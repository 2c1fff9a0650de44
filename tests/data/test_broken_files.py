"""Readers of data on broken files: each gives data, or says in words which file is wrong."""

import time
import traceback
import warnings
from collections import Counter

import numpy as np
import pytest
from broken_files import kinds

SLOWEST = 10  # seconds, on a machine that does other things as well


def outcome(kind, content):
    """ "data" or "told"; fails for an error of another kind, and for one that names no file."""
    kind.file.write_bytes(content)
    begin = time.monotonic()
    data = kind.data()
    try:
        faults = [str(fault) for fault in data.faults()]
        if not faults:
            data.warnings()
            data.fingerprint()
    except Exception:
        raise AssertionError(f"{kind.name}: {content[:2000]!r}\n{traceback.format_exc()}") from None
    took = time.monotonic() - begin
    assert took < SLOWEST, f"{kind.name} took {took:.0f} s: {content[:2000]!r}"
    for fault in faults:
        assert fault.encode(), kind.name
    return "told" if faults else "data"


def survey(tmp_path, count, seed):
    """How often each kind gave data and told faults, over `count` broken files of each."""
    found = Counter()
    warnings.simplefilter("ignore")
    for kind in kinds(tmp_path):
        sound = kind.file.read_bytes()
        for number in range(count):
            draw = np.random.default_rng([seed, number])
            mutate = kind.mutate[number % len(kind.mutate)]
            found[kind.name, outcome(kind, mutate(sound, draw))] += 1
        kind.file.write_bytes(sound)
    return found


def test_sound_files_of_every_kind_are_read(tmp_path):
    for kind in kinds(tmp_path):
        assert outcome(kind, kind.file.read_bytes()) == "data", kind.name


def test_some_broken_files_of_every_kind_give_data_or_words(tmp_path):
    found = survey(tmp_path, 19, 0)
    assert found.total() >= 300


@pytest.mark.slow
def test_twenty_thousand_broken_files_give_data_or_words(tmp_path):
    found = survey(tmp_path, 1_260, 1)
    assert found.total() >= 20_000
    print(sorted(found.items()))
