"""A bounded run of the chaos proof; `python tests/sweeps/chaos.py` is the whole one."""

from pathlib import Path

import pytest
from chaos import chaos


@pytest.mark.slow
@pytest.mark.parametrize(("trials", "jobs", "kills"), [(4, 2, 1), (20, 3, 3)])
def test_a_struck_sweep_ends_with_the_numbers_of_one_at_peace(tmp_path: Path, trials, jobs, kills):
    result = chaos(tmp_path, trials, jobs, kills, (0.0, 0.5 * trials / jobs))
    assert 1 <= result["driver_kills"] <= kills
