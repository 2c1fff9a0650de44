import random

import optuna
import pytest

from vit.runs.record import Recorder
from vit.runs.writing import write_json
from vit.sweeps.halving import Race, SuccessiveHalving
from vit.sweeps.roles import Space
from vit.sweeps.search import Search

EPOCHS = 9


def train(race, curves, jobs, order):
    """Plays a race: `jobs` trials at once, an epoch each in turn. Returns key → epochs trained."""
    todo, running, trained, paused = list(order), [], dict.fromkeys(curves, 0), set()
    while True:
        while len(running) < jobs:
            good = [key for key in race.good(len(todo)) if key in paused]
            if good:
                race.go_on(good[0])
                paused.discard(good[0])
                running.append(good[0])
            elif todo:
                running.append(todo.pop(0))
                race.enter(running[-1])
            else:
                break
        if not running:
            return trained
        key = running.pop(0)
        trained[key] += 1
        at_rung = race.take(key, trained[key], curves[key][trained[key] - 1])
        if trained[key] == EPOCHS:
            race.finish(key)
        elif at_rung and key not in race.good(len(todo)):
            paused.add(key)
        else:
            if at_rung:
                race.go_on(key)
            running.append(key)


@pytest.fixture
def curves():
    """27 that rise to different heights; the better they end, the better they are on the way."""
    return {f"k{at:02}": [float(at + epoch) for epoch in range(EPOCHS)] for at in range(27)}


@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_without_haste_neither_order_nor_jobs_change_who_goes_on(curves, jobs, seed):
    order = random.Random(seed).sample(sorted(curves), len(curves))
    race = Race(SuccessiveHalving(asynchronous=False), "max")
    trained = train(race, curves, jobs, order)
    best = sorted(curves)[-9:]
    assert {key for key, epochs in trained.items() if epochs > 1} == set(best)
    assert {key for key, epochs in trained.items() if epochs == EPOCHS} == set(best[-3:])
    assert sum(trained.values()) == 27 * 1 + 9 * 2 + 3 * 6


@pytest.mark.parametrize("seed", range(4))
def test_with_haste_the_best_still_comes_through_whenever_it_came(curves, seed):
    order = random.Random(seed).sample(sorted(curves), len(curves))
    trained = train(Race(SuccessiveHalving(), "max"), curves, 2, order)
    assert trained["k26"] == EPOCHS
    assert sum(trained.values()) < 27 * EPOCHS / 2


def test_the_lowest_win_where_the_metric_is_a_loss(curves):
    trained = train(Race(SuccessiveHalving(asynchronous=False), "min"), curves, 1, sorted(curves))
    assert {key for key, epochs in trained.items() if epochs == EPOCHS} == {"k00", "k01", "k02"}


def test_one_always_goes_on_and_a_failed_one_is_not_waited_for():
    race = Race(SuccessiveHalving(asynchronous=False), "max")
    for key in "ab":
        race.enter(key)
    assert race.take("a", 1, 0.3)
    assert race.good(0) == []  # b may be better
    race.drop("b")
    assert race.good(0) == ["a"]


def test_one_that_fails_further_on_leaves_its_place_to_nobody_and_stops_nobody():
    race = Race(SuccessiveHalving(reduction_factor=2, asynchronous=False), "max")
    for at, key in enumerate("abcd"):
        race.enter(key)
        race.take(key, 1, float(at))
    assert race.good(0) == ["d", "c"]
    race.go_on("d")
    race.go_on("c")
    race.drop("d")
    assert race.take("c", 2, 1.0)
    assert race.good(0) == ["c"]  # the last one left in this rung


def test_what_was_paused_is_taken_up_by_the_next_driver(tmp_path, objective, make_trial, row_of):
    def group(chosen, seeds, point):
        return [make_trial(f"lr_{chosen['lr']}", **chosen)]

    def start(rows):
        space = Space(tmp_path, "s", {"lr": list("123456")}, {}, ["0"], objective, group)
        pruner = SuccessiveHalving(reduction_factor=3, asynchronous=False)
        sampler = optuna.samplers.RandomSampler(seed=0)
        return Search(sampler=sampler, pruner=pruner, exhaustive=True).start(space, rows)[0]

    def validate(searching, trial, epoch):
        trial.folder.path.mkdir(exist_ok=True)
        value = int(trial.varies["lr"]) / 10
        Recorder(trial.folder.metrics_file).write(epoch, epoch - 1, {"val/accuracy": value}, {})
        order = searching.report(trial, epoch, value)
        if order:
            trial.folder.set_state(order)
            searching.tell(trial, order)
        return order

    def row(trial):
        return row_of(trial, trial.folder.state().name)

    searching = start([])
    begun = [searching.next() for _ in range(4)]
    orders = [validate(searching, trial, 1) for trial in begun]
    assert set(orders) == {"paused"}  # with two to come, none of four can be sure
    assert not searching.is_done()

    again = start([row(trial) for trial in begun])  # the driver died
    ended = {}
    while (trial := again.next()) is not None:
        for epoch in (1, 2):
            if validate(again, trial, epoch):
                break
        else:
            write_json(trial.folder.results_file, {"metrics": {"val/accuracy": 0.5}})
            trial.folder.set_state("done")
            again.tell(trial, "done")
            ended[trial.varies["lr"]] = "done"
    assert again.is_done()
    assert set(ended) == {"5", "6"}
    states = [t.state.name for t in again._study.trials if t.number not in again._study._repeated]
    assert sorted(states) == ["COMPLETE"] * 2 + ["PRUNED"] * 4
    paused = [trial for trial in begun if trial.varies["lr"] not in "56"]
    assert all(trial.folder.state().name == "pruned" for trial in paused)


def test_a_weak_trial_does_not_go_on_because_the_better_ones_were_cut_off(
    tmp_path, objective, make_trial, row_of
):
    """At the restart the others have not been proposed again, but what they had shown counts."""
    shown = {"1": [0.5, 0.7, 0.9, 0.9], "2": [0.3, 0.3, 0.3], "3": [0.4]}  # of "2" all to a rung

    def start(rows):
        group = lambda chosen, seeds, point: [make_trial(f"lr_{chosen['lr']}", **chosen)]  # noqa: E731
        space = Space(tmp_path, "s", {"lr": list("123")}, {}, ["0"], objective, group)
        sampler = optuna.samplers.RandomSampler(seed=0)
        settings = Search(sampler=sampler, pruner=SuccessiveHalving(), exhaustive=True)
        return settings.start(space, rows)[0]

    searching = start([])
    begun = [searching.next() for _ in range(3)]
    rows = []
    for trial in begun:
        trial.folder.path.mkdir()
        for epoch, value in enumerate(shown[trial.varies["lr"]], start=1):
            Recorder(trial.folder.metrics_file).write(epoch, epoch, {"val/accuracy": value}, {})
            searching.report(trial, epoch, value)
        state = "paused" if trial.varies["lr"] == "2" else "stopped"
        trial.folder.set_state(state)
        rows.append(row_of(trial, state))

    again = start(rows)
    assert {again.next().varies["lr"] for _ in range(2)} == {"1", "3"}
    assert again.next() is None


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="min_resource"):
        SuccessiveHalving(min_resource=0)
    with pytest.raises(ValueError, match="reduction_factor"):
        SuccessiveHalving(reduction_factor=1)
