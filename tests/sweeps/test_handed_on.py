"""What of the driver's environment a trial's process gets, by whichever executor it is run."""

import os
import pickle
import sys
from types import ModuleType, SimpleNamespace

import pytest

from vit.runs import launch as launching
from vit.runs.environment import GRANTED, FromEnvironment, handed_on
from vit.sweeps import job, on_ray
from vit.sweeps.job import Job
from vit.sweeps.trial import TrialOptions

CONFIG = {
    "threads": 1,
    "trainer": {"devices": 1, "accelerator": "cpu"},
    "data": {"root": FromEnvironment("/photos", "${oc.env:PHOTOS}")},
    "tracking": {"mode": "online"},
}
OURS = {GRANTED: "PHOTOS", "VIT_DATA": "/sets"}
VARIABLES = {**OURS, "PHOTOS": "/photos", "WANDB_API_KEY": "a-key"}


@pytest.fixture
def driver(monkeypatch):
    """The environment of the command that began the sweep."""
    for name in [name for name in os.environ if name.startswith(("VIT_", "WANDB_"))]:
        monkeypatch.delenv(name)
    for name, value in {**VARIABLES, "WANDB_DIR": "/one/run", "OTHER": "x"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def elsewhere(driver, monkeypatch):
    """Called, it forgets them all, as another machine's worker knows none."""

    def leave():
        for name in VARIABLES:
            monkeypatch.delenv(name)

    return leave


def test_one_function_says_what_is_handed_on(driver):
    assert handed_on(CONFIG) == VARIABLES
    assert handed_on({**CONFIG, "tracking": {"mode": "offline"}}) == {**OURS, "PHOTOS": "/photos"}
    assert handed_on(CONFIG, written=True) == OURS


def test_a_training_on_this_machine_gets_it(driver, monkeypatch, tmp_path):
    got = []

    def start(function, arguments, environment, console):
        got.append(environment)
        return SimpleNamespace(pid=1)

    monkeypatch.setattr(launching.process, "start", start)
    launching.launch(launching.RunFolder(tmp_path), CONFIG, {"CUDA_VISIBLE_DEVICES": "3"}, ())
    assert got == [{**VARIABLES, "CUDA_VISIBLE_DEVICES": "3"}]


def seen_by(monkeypatch, module):
    """What the process knows while the trial runs in it."""
    seen = []

    def run_trial(path, orders, environment=None, must_leave=None):
        seen.append({name: os.environ.get(name) for name in VARIABLES})
        seen.append(environment)
        return "done"

    monkeypatch.setattr(module, "run_trial", run_trial)
    for each in (job, on_ray):
        monkeypatch.setattr(each, "warm_up_in_a_job", lambda: None)
    return seen


def test_a_task_of_ray_gets_it_and_leaves_the_worker_as_it_was(make_trial, elsewhere, monkeypatch):
    tasks = []
    task = SimpleNamespace(remote=lambda *words: tasks.append(words) or "reference")
    remote = lambda function: SimpleNamespace(options=lambda **_: task)  # noqa: E731
    for name, known in (("placement_group", "placement_group"), ("scheduling_strategies", "")):
        module = ModuleType(f"ray.util.{name}")
        monkeypatch.setitem(sys.modules, f"ray.util.{name}", module)
        strategy = known or "PlacementGroupSchedulingStrategy"
        monkeypatch.setattr(module, strategy, lambda *_, **__: None, raising=False)
    ray = on_ray.Ray()
    ray._ray, ray._jobs_at_once, ray._devices = SimpleNamespace(remote=remote), 1, 1
    ray._orders, ray._gpus, ray._tasks = TrialOptions(), False, {}
    trial = make_trial()
    trial.config = CONFIG
    ray.submit(trial)
    elsewhere()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    seen = seen_by(monkeypatch, on_ray)
    (words,) = tasks
    assert on_ray._run(*pickle.loads(pickle.dumps(words))) == "done"
    assert seen == [VARIABLES, {**VARIABLES, "CUDA_VISIBLE_DEVICES": "2"}]
    assert not VARIABLES.keys() & os.environ.keys()


def test_a_job_of_slurm_gets_what_may_stand_in_its_file(elsewhere, monkeypatch):
    written = pickle.dumps(Job("run", TrialOptions(), handed_on(CONFIG, written=True)))
    assert b"a-key" not in written and b"/photos" not in written
    elsewhere()
    seen = seen_by(monkeypatch, job)
    for name in OURS:  # so that the test takes them back
        monkeypatch.setenv(name, "")
    assert pickle.loads(written)() == "done"
    assert {name: seen[0][name] for name in OURS} == OURS
