"""Two runs that part are told where and by what; two that do not are told to be equal."""

import pytest
import pytorch_lightning as lightning
import torch
from toy import LIGHTNING_TALKS, Toy

from vit.callbacks.fingerprints import Fingerprints
from vit.callbacks.hashing import pixels_hash, samples_hash, weights_hash
from vit.data.core.sampling import EpochSampler
from vit.faults import Refused
from vit.runs.fingerprints import first_divergence, line_of, lines_file, read_fingerprints
from vit.runs.record import append_lines

pytestmark = LIGHTNING_TALKS


def train(folder, *, change=None, every=1, extra=(), **settings):
    toy = Toy(folder, extra=(*extra, Fingerprints(folder, every)), **settings)
    if change is not None:
        change(toy)
    try:
        toy.fit()
    except SystemExit:  # Lightning's answer to Ctrl-C
        pass
    except RuntimeError as ended:
        assert str(ended) == "killed"
    return folder


def parted(a, b, **options):
    found = first_divergence(a, b, **options)
    return found and (found.step, found.by)


@pytest.fixture(scope="module")
def peace(tmp_path_factory):
    return train(tmp_path_factory.mktemp("peace"))


class At(lightning.Callback):
    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            self.act(pl_module, batch)


def nudge(task, batch):
    with torch.no_grad():
        next(task.parameters()).view(-1)[0] += 1e-4  # 1e-6 is lost in the loss of some CPUs


def die(task, batch):
    """As a SIGKILL, which leaves no time to write down what is still held."""
    for callback in task.trainer.callbacks:
        if isinstance(callback, Fingerprints):
            callback._seen = []
    raise RuntimeError("killed")


def test_equal_runs_have_equal_lines(tmp_path, peace):
    assert parted(peace, train(tmp_path)) is None
    steps = read_fingerprints(peace)
    assert list(steps) == list(range(18))
    assert [steps[step]["epoch"] for step in (0, 5, 6, 17)] == [0, 0, 1, 2]
    assert len({steps[step]["samples"] for step in steps}) == 18
    weights = [steps[step]["weights"] for step in steps]
    assert len(set(weights)) == 17 and weights[-1] == weights[-2]  # the last step's rate is 0


def test_another_order_shows_in_the_samples_of_the_first_step(tmp_path, peace):
    def reseed(toy):
        toy.train_loader.batch_sampler.seed = 4

    assert parted(peace, train(tmp_path, change=reseed)) == (0, "samples")


def test_another_augmentation_shows_in_the_pixels(tmp_path, peace):
    def brighten(toy):
        toy.train_loader.dataset.images[7] += 1e-6

    place = EpochSampler(48, 8, seed=3).order(0).tolist().index(7)
    assert parted(peace, train(tmp_path, change=brighten)) == (place // 8, "pixels")


def test_a_changed_weight_shows_in_the_loss_of_that_step_or_in_the_weights_after_it(
    tmp_path, peace
):
    other = train(tmp_path / "a", extra=(At(9, nudge),))
    assert parted(peace, other) == (9, "loss")
    # A nudge of 1e-4 is a rounding to a comparison that is told to overlook those.
    assert parted(peace, other, tolerance=1e-2) is None

    class AfterStep(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 10:
                nudge(pl_module, batch)

    assert parted(peace, train(tmp_path / "b", extra=(AfterStep(),))) == (9, "weights")


def test_dropout_drawn_otherwise_shows_in_the_loss(tmp_path, peace):
    def draw(task, batch):
        torch.rand(1)

    assert parted(peace, train(tmp_path, extra=(At(4, draw),))) == (4, "loss")


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("log_every_n_steps", [4, 50])
def test_a_killed_run_that_goes_on_is_equal(tmp_path, accumulate, log_every_n_steps):
    told = {"accumulate": accumulate, "log_every_n_steps": log_every_n_steps, "every_n_steps": 3}
    undisturbed = train(tmp_path / "peace", **told)
    folder = tmp_path / "killed"
    for step in (5, 8):
        train(folder, extra=(At(step, die),), **told)
    with lines_file(folder, 0).open("a") as file:
        file.write('{"schema_version": 1, "step": 8, "lo')  # a write that was cut off
    train(folder, **told)
    assert read_fingerprints(folder) == read_fingerprints(undisturbed)
    lines = lines_file(folder, 0).read_text().splitlines()
    assert len(lines) > len(read_fingerprints(folder))  # some steps were written again


def test_stopped_amid_accumulated_batches_a_run_goes_on_with_their_sums(tmp_path):
    class Interrupts(lightning.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 4 and batch_idx % 2 == 0:
                raise KeyboardInterrupt

    undisturbed = train(tmp_path / "peace", accumulate=2)
    last = [Interrupts()]  # after the callback that saves what is whole
    train(tmp_path / "stopped", accumulate=2, change=lambda toy: toy.trainer.callbacks.extend(last))
    saved = torch.load(tmp_path / "stopped" / "last.ckpt", weights_only=True)
    assert saved["fingerprints"]["images"] == 4  # half a step
    train(tmp_path / "stopped", accumulate=2)
    assert read_fingerprints(tmp_path / "stopped") == read_fingerprints(undisturbed)


def test_the_same_images_over_two_processes_give_the_same_hashes(tmp_path):
    draw = torch.Generator().manual_seed(1)
    images, index = torch.randn(64, 1, 4, 4, generator=draw), torch.arange(64)
    for folder, ranks in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        for rank in range(ranks):
            own = torch.arange(64)[rank::ranks]
            values = {
                "samples": samples_hash(index[own]).item(),
                "pixels": pixels_hash(images[own], index[own]).item(),
                "loss": 1.0 + rank if ranks == 2 else 1.5,
            }
            if rank == 0:
                values["gradient_norm"] = 2.0
            append_lines(
                lines_file(tmp_path / folder, rank), [line_of(0, 0, ranks, len(own), values)]
            )
    one, two = (read_fingerprints(tmp_path / name)[0] for name in ("one", "two"))
    assert one == {**two, "world_size": 1}
    assert one["images"] == 64 and one["loss"] == 1.5
    assert first_divergence(tmp_path / "one", tmp_path / "two") is None


def test_a_step_that_lacks_a_process_is_not_judged_by_the_other(tmp_path):
    values = {"samples": 1, "pixels": 2, "loss": 3.0, "gradient_norm": 4.0}
    append_lines(lines_file(tmp_path, 0), [line_of(0, 0, 2, 8, values)])
    append_lines(lines_file(tmp_path, 1), [line_of(0, 0, 3, 8, values)])  # of another start
    assert read_fingerprints(tmp_path)[0].keys().isdisjoint({"samples", "pixels", "loss"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_bit_and_its_place_count(dtype):
    images = torch.randn(3, 1, 2, 2).to(dtype)
    index = torch.tensor([5, 9, 2])
    wanted = pixels_hash(images, index)
    turned = torch.tensor([2, 0, 1])
    assert pixels_hash(images[turned], index[turned]) == wanted
    assert pixels_hash(images[turned], index) != wanted  # another image under the same number
    assert pixels_hash(images.flip(-1), index) != wanted
    changed = images.clone()
    changed[0, 0, 0, 0] = torch.nextafter(changed[0, 0, 0, 0], torch.tensor(9.0, dtype=dtype))
    assert pixels_hash(changed, index) != wanted
    assert samples_hash(torch.tensor([5, 9, 3])) != samples_hash(index)
    weights = [images[0], images[1]]
    assert weights_hash(weights) == weights_hash([w.clone() for w in weights])
    assert weights_hash(weights) != weights_hash(weights[::-1])


def test_hashing_asks_the_device_for_no_value():
    images, index = torch.empty(3, 1, 2, 2, device="meta"), torch.empty(3, device="meta").long()
    for value in (samples_hash(index), pixels_hash(images, index), weights_hash([images])):
        assert value.is_meta


def test_a_loss_that_is_no_number_equals_itself(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        line = line_of(0, 0, 1, 8, {"samples": 1, "pixels": 2, "loss": float("nan")})
        append_lines(lines_file(tmp_path / name, 0), [line])
    assert first_divergence(tmp_path / "a", tmp_path / "b") is None


def test_runs_without_fingerprints_or_common_steps_are_refused(tmp_path, peace):
    with pytest.raises(Refused, match=r"watch\.fingerprints=true"):
        first_divergence(peace, tmp_path)
    append_lines(lines_file(tmp_path, 0), [line_of(99, 0, 1, 8, {})])
    with pytest.raises(Refused, match="no step in common"):
        first_divergence(peace, tmp_path)
