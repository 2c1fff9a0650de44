from vit.check.preflight import preflight
from vit.check.probe import batches, seconds_of_a_batch, seconds_of_trainings
from vit.cli.compose import compose

SMALL = ["experiment=digits", "backbone.dim=16", "backbone.depth=1", "threads=1", "tracking=none"]
SMALL.append("schedule.warmup_epochs=0")


def planned(*words):
    config = compose([*SMALL, *words])
    return config, preflight(config).sound


def test_the_work_of_a_training_counts_its_validations_and_its_micro_batches():
    _, run = planned("trainer.max_epochs=2")
    validation = 2 * run.data.splits["val"].images / run.training.batch_size / 3
    assert batches(run) == run.training.steps + validation
    _, halved = planned("trainer.max_epochs=2", "trainer.accumulate_grad_batches=2")
    assert batches(halved) == 2 * (run.training.steps + validation)


def test_one_probe_serves_all_trials_of_a_shape(monkeypatch):
    asked = []

    def seconds(config, run):
        asked.append(config["backbone"]["depth"])
        return 0.5

    monkeypatch.setattr("vit.check.probe.seconds_of_a_batch", seconds)
    trials = [planned(f"seed={s}", f"backbone.depth={d}") for d in (1, 2) for s in (0, 1)]
    estimates = seconds_of_trainings([(config, run.to_plain()) for config, run in trials])
    assert asked == [1, 2]
    assert estimates == [0.5 * batches(run) for _, run in trials]


def test_a_batch_takes_some_time():
    assert 0 < seconds_of_a_batch(*planned()) < 10
