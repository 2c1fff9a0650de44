import optuna
import pytest

from vit.faults import Fault, Refused
from vit.sweeps.distributions import distributions
from vit.sweeps.local import Local
from vit.sweeps.policy import Policy
from vit.sweeps.roles import Space
from vit.sweeps.samplers import Grid
from vit.sweeps.search import Search
from vit.sweeps.words import Range


@pytest.fixture
def space(tmp_path, objective, make_trial):
    def make(axes, seeds=("0",), ranges=None, refuse=lambda chosen: False):
        def group(chosen, seeds, point):
            if refuse(chosen):
                raise Refused([Fault("backbone.heads", "does not divide")])
            label = "-".join(f"{key}_{value}" for key, value in chosen.items())
            return [make_trial(label, seed=int(seed), **chosen) for seed in seeds]

        return Space(tmp_path, "study", axes, ranges or {}, list(seeds), objective, group)

    return make


def play(searching, finish, values):
    """Runs the search to its end, one trial at a time."""
    played = []
    while (trial := searching.next()) is not None:
        finish(trial, values(trial))
        searching.tell(trial, "done")
        played.append(trial)
    return played


def test_a_proposal_is_worth_the_mean_of_its_seeds(space, finish):
    settings = Search(n_trials=2, sampler=optuna.samplers.RandomSampler(seed=0))
    searching, _ = settings.start(space({"depth": ["4", "8"]}, seeds="01"), [])
    played = play(searching, finish, lambda trial: 0.2 + 0.2 * trial.config["seed"])
    assert len(played) in (2, 4)  # the same proposal twice needs no second run
    assert searching.is_done()
    assert [t.value for t in searching._study.trials] == [pytest.approx(0.3)] * 2


def test_whole_numbers_in_equal_steps_are_numbers_and_the_rest_choices(space):
    ranges = {"lr": Range(low=1e-4, high=1e-2, step=None, log=True, whole=False)}
    found = distributions(space({"depth": ["4", "8"], "act": ["gelu", "relu"]}, ranges=ranges))
    kinds = optuna.distributions
    assert found["depth"] == kinds.IntDistribution(4, 8, step=4)
    assert found["act"] == kinds.CategoricalDistribution(["gelu", "relu"])
    assert found["lr"] == kinds.FloatDistribution(1e-4, 1e-2, log=True)


def test_every_point_of_a_grid_is_proposed_once(space, finish):
    settings = Search(sampler=optuna.samplers.RandomSampler(), exhaustive=True)
    axes = {"depth": ["1", "2", "3"], "act": ["a", "b"]}
    searching, _ = settings.start(space(axes), [])
    played = play(searching, finish, lambda trial: 0.5)
    assert len({trial.id for trial in played}) == len(played) == 6


def test_a_restart_takes_up_what_was_running_and_counts_to_the_same_total(space, finish, row_of):
    def settings():
        return Search(n_trials=4, sampler=optuna.samplers.RandomSampler(seed=1))

    ranges = {"lr": Range(low=0.0, high=1.0, step=None, log=False, whole=False)}
    searching, _ = settings().start(space({}, ranges=ranges), [])
    first, second = searching.next(), searching.next()
    finish(first, 0.5)
    searching.tell(first, "done")
    # the driver dies here, with `second` running
    again, ended = settings().start(space({}, ranges=ranges), [row_of(first)])
    assert [row.id for row in ended] == [first.id]
    played = play(again, finish, lambda trial: 0.5)
    assert played[0].id == second.id
    assert len(played) == 3
    assert len({first.id, *(trial.id for trial in played)}) == 4


def test_what_a_study_on_a_full_disk_missed_it_learns_from_the_ledger_later(space, finish, row_of):
    def start(rows):
        settings = Search(n_trials=2, sampler=optuna.samplers.RandomSampler(seed=1))
        return settings.start(space({}, ranges=ranges), rows)[0]

    ranges = {"lr": Range(low=0.0, high=1.0, step=None, log=False, whole=False)}
    searching = start([])
    ended = [searching.next(), searching.next()]
    for trial in ended:
        finish(trial, 0.5)  # the disk of the study is full: it learns nothing
    again = start([row_of(trial) for trial in ended])
    assert play(again, finish, lambda trial: 0.0) == [] and again.is_done()
    assert [t.value for t in again._study.trials if t.state.name == "COMPLETE"] == [0.5, 0.5]


def test_pruning_compares_first_seeds_only_and_spares_the_others(space, finish):
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    settings = Search(sampler=optuna.samplers.RandomSampler(), pruner=pruner, exhaustive=True)
    searching, _ = settings.start(space({"depth": ["1", "2"]}, seeds="01"), [])
    good, bad = searching.next(), searching.next()
    assert (good.config["seed"], bad.config["seed"]) == (0, 0)
    assert searching.next() is None  # second seeds wait for the first
    assert searching.report(good, 1, 0.9) is None
    assert searching.report(bad, 1, 0.1) == "pruned"
    searching.tell(bad, "pruned")
    finish(good, 0.9)
    searching.tell(good, "done")
    other = searching.next()
    assert other.varies == good.varies and other.config["seed"] == 1
    assert searching.report(other, 1, 0.0) is None  # another seed's luck is not compared
    finish(other, 0.7)
    searching.tell(other, "done")
    assert searching.next() is None and searching.is_done()
    states = [trial.state.name for trial in searching._study.trials]
    assert states == ["COMPLETE", "PRUNED"]
    assert searching._study.trials[0].value == pytest.approx(0.8)


def test_a_failed_seed_fails_its_proposal_and_a_refused_one_costs_no_run(space, finish):
    settings = Search(sampler=optuna.samplers.RandomSampler(), exhaustive=True)
    refuse = lambda chosen: chosen["heads"] == "5"  # noqa: E731
    searching, _ = settings.start(space({"heads": ["4", "5", "8"]}, refuse=refuse), [])
    first = searching.next()
    searching.tell(first, "failed")
    second = searching.next()
    assert {first.varies["heads"], second.varies["heads"]} == {"4", "8"}
    finish(second, 0.5)
    searching.tell(second, "done")
    assert searching.next() is None and searching.is_done()
    assert any("heads=5" in note for note in searching.notes)
    states = sorted(t.state.name for t in searching._study.trials)
    assert states == ["COMPLETE", "FAIL", "FAIL"]


def test_constraints_say_what_is_feasible(space, finish):
    settings = Search(
        sampler=optuna.samplers.RandomSampler(), exhaustive=True, constraints={"parameters": 5.0}
    )
    searching, _ = settings.start(space({"depth": ["1", "2"]}), [])
    play(searching, finish, lambda trial: 0.5)
    constraints = [trial.constraints for trial in searching._study.trials]
    assert constraints == [{"parameters": 5.0}] * 2


def test_faults_of_a_search_are_refused(space, tmp_path):
    with pytest.raises(Refused, match="nothing to search"):
        Search(sampler=optuna.samplers.RandomSampler()).start(space({}), [])
    with pytest.raises(Refused, match="storage"):
        Search(sampler=optuna.samplers.RandomSampler(), storage="sqlite:////no/such/x.db").start(
            space({"depth": ["1", "2"]}), []
        )
    with pytest.raises(ValueError, match="n_trials"):
        Search(n_trials=0)


def test_the_same_proposal_again_costs_no_run_and_the_same_seed_counts_once(space, finish):
    settings = Search(n_trials=6, sampler=optuna.samplers.RandomSampler(seed=0))
    searching, _ = settings.start(space({"depth": ["1", "2"]}), [])
    played = play(searching, finish, lambda trial: 0.5)
    assert len(played) == 2
    assert [t.value for t in searching._study.trials] == [0.5] * 6


def test_a_trial_that_somebody_else_holds_does_not_keep_the_search_waiting(space):
    pruner = optuna.pruners.MedianPruner()
    settings = Search(sampler=optuna.samplers.RandomSampler(), pruner=pruner, exhaustive=True)
    searching, _ = settings.start(space({"depth": ["1", "2"]}, seeds="01"), [])
    first, second = searching.next(), searching.next()
    searching.tell(first, "held")
    searching.tell(second, "held")
    assert searching.next() is None and searching.is_done()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_that_stop_a_study_themselves_are_refused():
    with pytest.raises(ValueError, match="exhaustive"):
        Search(sampler=optuna.samplers.BruteForceSampler())


def test_settings_that_search_must_have_a_start():
    half = type("Half", (), {"searches": True})()
    with pytest.raises(ValueError, match=r"Half searches, and has no start\(space, rows\)"):
        Policy(sampler=half, executor=Local())
    Policy(sampler=Grid(), executor=Local())  # plans all of its trials, and needs none
