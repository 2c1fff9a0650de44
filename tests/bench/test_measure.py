import itertools

import pytest
import torch

from vit.bench.measure import clock, gemm, interleaved, times_as_fast


def test_a_ratio_compares_within_each_round_and_not_across_them():
    ours = [1.0, 10.0, 100.0]  # the machine gets slower and slower
    theirs = [2.0, 5.0, 300.0]  # whose medians alone would say 0.5
    assert times_as_fast(ours, theirs) == (2.0, 0.5, 3.0)


def test_a_ratio_leaves_out_the_outermost_tenths():
    theirs = [0.1, *[3.0] * 8, 50.0]
    assert times_as_fast([1.0] * 10, theirs) == (3.0, 3.0, 3.0)


def test_every_round_calls_each_contender_once_in_changing_order():
    calls: list[str] = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    seconds = interleaved(contenders, 20, itertools.count(0.0).__next__, warm_up=1)
    assert calls[:3] == ["a", "b", "c"]
    rounds = ["".join(calls[start : start + 3]) for start in range(3, len(calls), 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds) and len(set(rounds)) > 1
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 20, "b": 20, "c": 20}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_clock_goes_forward_while_this_process_works(threads):
    now = clock("cpu", threads)
    start = now()
    run, flops = gemm("cpu", torch.float32)
    run()
    assert now() > start and flops > 1e9
