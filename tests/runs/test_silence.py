"""Silence is counted in time that the watcher lived through."""

import os

from vit.runs.silence import LONGEST_TICK, Silence


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def watched(tmp_path, touched=True):
    clock = Clock()
    file = tmp_path / "beat"
    if touched:
        file.touch()
    return Silence(file, clock), clock, file


def passing(silence, clock, seconds, step=0.25):
    for _ in range(round(seconds / step)):
        clock.now += step
        silence.tick()


def test_seconds_add_up_until_the_file_is_touched(tmp_path):
    silence, clock, file = watched(tmp_path, touched=False)
    passing(silence, clock, 7)
    assert silence.seconds() == 7
    file.touch()
    assert silence.seconds() == 0
    passing(silence, clock, 2)
    assert silence.seconds() == 2


def test_a_night_asleep_is_a_moment(tmp_path):
    silence, clock, _ = watched(tmp_path)
    passing(silence, clock, 3)
    clock.now += 8 * 3600
    silence.tick()
    assert silence.seconds() == 3 + LONGEST_TICK
    passing(silence, clock, 60)
    assert silence.seconds() > 60  # whoever stands still is found all the same


def test_a_heartbeat_of_another_clock_is_one(tmp_path):
    silence, clock, file = watched(tmp_path)
    passing(silence, clock, 5)
    os.utime(file, (5, 5))
    assert silence.seconds() == 0
