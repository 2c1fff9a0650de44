"""How long a sweep still takes: by what ended, else by what runs, else nobody knows."""

from vit.sweeps.pace import Pace, Work


def test_nothing_is_said_while_nothing_is_known():
    pace = Pace()
    assert pace.seconds_left([], 3) is None
    assert pace.seconds_left([Work(10.0, 0.05, 99.0)], 3) is None  # too early to judge by
    pace.note(None, 10.0)
    pace.note(5.0, 0)
    assert pace.ended == []


def test_running_trials_are_judged_by_until_one_has_ended():
    pace, running = Pace(), [Work(10.0, 0.5, 10.0)]  # 2 seconds a GFLOP, 5 GFLOPs left
    assert pace.seconds_left(running, 0) == 10.0
    pace.note(10.0, 10.0)
    assert pace.seconds_left(running, 0) == 5.0


def test_those_that_wait_are_as_large_and_run_as_many_at_once():
    pace = Pace([1.0])
    running = [Work(10.0, 0.0, 0.0), Work(20.0, 0.0, 0.0)]
    assert pace.seconds_left(running, 2) == (30.0 + 2 * 15.0) / 2


def test_the_latest_count():
    pace = Pace([100.0] * 50 + [1.0] * 10)
    assert pace.seconds_left([Work(10.0, 0.0, 0.0)], 0) == 10.0
