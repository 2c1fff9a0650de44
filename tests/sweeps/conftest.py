import pytest

from vit.runs.record import Recorder
from vit.runs.writing import write_json
from vit.sweeps.roles import Objective, Trial
from vit.sweeps.trial_row import TrialRow


@pytest.fixture
def objective():
    return Objective(["val/accuracy"], ["max"])


@pytest.fixture
def make_trial(tmp_path):
    """A planned trial that needs no training: `finish` writes what one would leave."""

    def make(label="a", seed=0, **varies):
        config = {"schema_version": 1, "seed": seed, "name": label, "varies": varies}
        return Trial(
            id=f"id-{label}-{seed}",
            group=f"group-{label}",
            label=f"{label}-{seed}",
            run_dir=tmp_path / f"{label}-{seed}",
            config=config,
            varies=varies,
            report={"parameters": 10, "gflops_per_image": 1.0, "steps": 10, "batch_size": 2},
        )

    return make


@pytest.fixture
def finish():
    def write(trial, accuracy, state="done"):
        folder = trial.folder
        folder.path.mkdir(exist_ok=True)
        Recorder(folder.metrics_file).write(10, 0, {"val/accuracy": accuracy}, {})
        results = {"metrics": {"val/accuracy": accuracy}, "epochs": 1, "timing": {}}
        write_json(folder.results_file, results)
        folder.set_state(state, train_seconds=6.0)

    return write


@pytest.fixture
def row_of():
    """What the ledger would know of a trial in some state."""

    def make(trial, state="done"):
        return TrialRow(
            id=trial.id,
            label=trial.label,
            group=trial.group,
            point=trial.point,
            seed=trial.config["seed"],
            state=state,
            overrides=trial.varies,
            metrics={},
            counted={},
            epochs=None,
            train_seconds=None,
            attempts=1,
            kind=None,
            error=None,
            log_tail=[],
            adapted={},
            cost=None,
            run_dir=trial.run_dir,
        )

    return make
