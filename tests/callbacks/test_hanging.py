"""Of several processes the one that stands still is named, wherever the others wait."""

import threading
import time
from contextlib import suppress

import pytest
import torch.distributed as dist
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks import hanging
from vit.callbacks.hanging import Hanging, Report, verdict

pytestmark = LIGHTNING_TALKS


def reports(*told):
    return {rank: Report(*one) for rank, one in enumerate(told) if one is not None}


HERE = ("a place", "f (file.py:1)")


def test_a_process_without_a_sign_of_life_is_named_and_where_it_was_last():
    first = reports(
        (5, 40, *HERE), (5, 40, "loading batch 7", "read (images.py:9)"), (5, 40, *HERE)
    )
    last = reports((9, 40, *HERE), (5, 40, "loading batch 7", "read (images.py:9)"), (9, 40, *HERE))
    missing, told = verdict(first, last, 3)
    assert missing == {1}
    assert "rank 1 gives no sign of life" in told
    assert "last seen at loading batch 7, read (images.py:9)" in told
    assert "waiting: rank 0 at a place" in told


def test_a_process_that_lives_but_is_behind_is_named():
    first = reports((5, 40, *HERE), (5, 38, "loading batch 7", "read (images.py:9)"))
    last = {rank: report._replace(beats=9) for rank, report in first.items()}
    missing, told = verdict(first, last, 2)
    assert missing == {1} and "rank 1 is behind the others" in told


def test_a_process_that_never_told_anything_is_named():
    told = reports((5, 40, *HERE), None)
    missing, said = verdict(told, {0: told[0]._replace(beats=9)}, 2)
    assert missing == {1} and "rank 1" in said and "nothing of it" in said


def test_nobody_is_named_where_all_stand_at_one_place():
    first = reports((5, 40, *HERE), (5, 40, *HERE))
    last = {rank: report._replace(beats=9) for rank, report in first.items()}
    missing, told = verdict(first, last, 2)
    assert missing == set() and "all are at one place" in told


class Left(Exception):
    pass


class Threads:
    """Two processes' watchers in threads of this one, at twenty times the speed."""

    def __init__(self, monkeypatch, seconds=0.5):
        monkeypatch.setattr(hanging, "PERIOD", 0.05)
        self.store = dist.HashStore()
        self.failed = []
        self.left = {}
        self.watchers = [Hanging(seconds, self.failed.append) for _ in range(2)]
        monkeypatch.setattr(Hanging, "_leave", lambda own, *told: self.leave(own, *told))

    def leave(self, watcher, rank, world_size, missing, told):
        self.left[rank] = missing
        raise Left

    def run(self, rank):
        with suppress(Left):
            self.watchers[rank]._watch(self.store, rank, 2)

    def start(self, ranks=(0, 1)):
        threads = [threading.Thread(target=self.run, args=(rank,)) for rank in ranks]
        for thread in threads:
            thread.start()
        return threads


def test_all_processes_come_to_one_verdict(monkeypatch):
    both = Threads(monkeypatch)
    for watcher in both.watchers:
        watcher._reach("loading batch 3")
    both.watchers[0]._reach("forward of batch 3")
    for thread in both.start():
        thread.join(10)
    assert both.left == {0: {1}, 1: {1}}


def test_a_slow_process_that_moves_is_left_in_peace(monkeypatch):
    both = Threads(monkeypatch)
    threads = both.start()
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        both.watchers[1]._reach("a batch")  # rank 0 waits for it far longer than `seconds`
        time.sleep(0.01)
    assert both.left == {}
    for watcher in both.watchers:
        watcher._over.set()
    for thread in threads:
        thread.join(10)


def test_a_nap_of_the_whole_machine_counts_for_nothing(monkeypatch):
    slept = []
    monkeypatch.setattr(hanging, "monotonic", lambda: time.monotonic() + 3600 * len(slept))
    both = Threads(monkeypatch)
    threads = both.start()
    for _ in range(4):
        time.sleep(0.2)  # of the half second that one may stand still
        slept.append("an hour")
        time.sleep(0.1)
        for watcher in both.watchers:
            watcher._reach("a batch")
    assert both.left == {}
    for watcher in both.watchers:
        watcher._over.set()
    for thread in threads:
        thread.join(10)


def test_a_stopped_process_is_named_by_the_other(monkeypatch):
    both = Threads(monkeypatch)
    (thread,) = both.start(ranks=[0])
    thread.join(10)
    assert both.left == {0: {1}}


def test_a_store_that_does_not_answer_ends_the_wait_too(monkeypatch):
    class Gone(dist.Store):
        def set(self, *_):
            raise RuntimeError("the server is gone")

    both = Threads(monkeypatch)
    both.store = Gone()
    (thread,) = both.start(ranks=[0])
    thread.join(10)
    assert both.left == {0: {1}}


def test_whoever_is_waited_for_by_nobody_speaks_and_every_process_leaves(monkeypatch, caplog):
    class Exited(Exception):
        pass

    def leave(code):
        assert code == 1
        raise Exited

    monkeypatch.setattr(hanging.os, "_exit", leave)
    monkeypatch.setattr(hanging.logging, "shutdown", lambda: None)
    said = []
    for rank in range(3):
        with pytest.raises(Exited):
            Hanging(9.0, lambda told, own=rank: said.append((own, told)))._leave(
                rank, 3, {0}, "rank 0 is behind"
            )
    assert said == [(1, "no process has got any further for 9 s: rank 0 is behind")]
    assert caplog.text.count("stands here") == 3
    assert "test_whoever_is_waited_for" in caplog.text  # the stack


def test_the_places_of_a_training_follow_one_another(tmp_path):
    watch = Hanging(9.0, print)
    places = []
    reach = watch._reach
    watch._reach = lambda place: (places.append(place), reach(place))
    Toy(tmp_path, epochs=1, extra=(watch,)).fit()
    assert watch._thread is None  # one process waits for nobody
    assert watch._reached[0] == len(places)
    at = places.index("forward of batch 5, epoch 0")
    assert places[at : at + 3] == [
        "forward of batch 5, epoch 0",
        "backward of step 5, epoch 0",
        "the optimizer step 5, or what follows it",
    ]
    assert places.index("loading validation batch 0") < places.index("the end of the validation")
