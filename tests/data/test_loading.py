"""The same pixels in the same order whatever prepares them, and nobody else's dice are thrown."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vit.data.augment import Affine, RandAugment, RandomResizedCrop
from vit.data.core.images import BadImage
from vit.data.core.randomness import borrowed_generators, sample_seed, seed_everything_used
from vit.data.core.sampling import Key
from vit.data.digits import Digits
from vit.data.folder import Folder


def all_batches(data, epoch=0, start=0, **world):
    loader = data.loader("train", **world)
    loader.batch_sampler.start(epoch, start)
    return list(loader)


def by_sample(batches):
    return {
        sample: image
        for batch in batches
        for sample, image in zip(batch.index.tolist(), batch.images, strict=True)
    }


def assert_same_batches(some, others):
    assert len(some) == len(others) > 0
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.index, other.index)
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.images, other.images)


@pytest.fixture
def folder(photos):
    def make(**settings):
        return Folder(
            root=str(photos), image_size=16, **{"batch_size": 6, "erasing": 0.5, **settings}
        )

    # RandAugment draws from torch; erasing after it from a seed of its own.
    return lambda **settings: make(
        augment=RandAugment(frame=RandomResizedCrop(scale=(0.3, 1.0))), **settings
    )


def test_workers_change_neither_order_nor_pixels_nor_the_start_of_later_epochs(folder):
    alone, helped = folder(), folder(num_workers=2)
    loader = helped.loader("train")  # its workers persist from epoch to epoch
    for epoch, start in ((0, 0), (1, 0), (2, 2), (3, 0)):
        loader.batch_sampler.start(epoch, start)
        assert_same_batches(list(loader), all_batches(alone, epoch, start))
    assert len(loader) == 4
    assert_same_batches(list(helped.loader("val")), list(alone.loader("val")))


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (3, 1), (1, 3), (2, 3)])
def test_ranks_and_accumulation_change_no_pixel(folder, world_size, accumulate):
    whole = by_sample(all_batches(folder(), epoch=3))
    parts = {}
    for rank in range(world_size):
        world = {"rank": rank, "world_size": world_size, "accumulate": accumulate}
        parts |= by_sample(all_batches(folder(), epoch=3, **world))
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[sample], whole[sample]) for sample in whole)


def test_batch_size_changes_no_pixel(folder):
    large, small = (by_sample(all_batches(folder(batch_size=size))) for size in (24, 1))
    common = large.keys() & small.keys()
    assert len(common) == 24
    assert all(torch.equal(large[sample], small[sample]) for sample in common)


def test_epoch_and_seed_change_the_pixels():
    some, later = (by_sample(all_batches(Digits(augment=Affine()), epoch)) for epoch in (0, 1))
    other = by_sample(all_batches(Digits(augment=Affine(), seed=1)))
    for changed in (later, other):
        common = some.keys() & changed.keys()
        assert sum(torch.equal(some[sample], changed[sample]) for sample in common) < 5


def test_loading_leaves_the_global_generators_alone(folder):
    def states():  # not Python's: beartype, which checks under pytest, draws from that one
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()

    before = states()
    all_batches(folder())
    list(folder().loader("val"))
    assert states() == before


def test_the_global_generators_leave_loading_alone(folder):
    some = all_batches(folder())
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    assert_same_batches(some, all_batches(folder()))


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_evaluation_loads_every_image_once_over_all_ranks(world_size):
    data = Digits(eval_batch_size=16)
    seen = [
        sample
        for rank in range(world_size)
        for batch in data.loader("test", rank=rank, world_size=world_size)
        for sample in batch.index.tolist()
    ]
    assert sorted(seen) == list(range(data.lengths["test"]))


def test_evaluation_is_not_augmented(folder):
    val = by_sample(folder().loader("val"))
    plain = folder().dataset("val", training=False).__getitems__([Key(9, 0)])
    assert torch.equal(val[0], plain.images[0])


def test_targets_belong_to_their_images(photos):
    data = Folder(root=str(photos), image_size=16)
    names = data.facts.class_names
    for split in ("train", "val"):
        for batch in data.loader(split):
            for sample, target in zip(batch.index.tolist(), batch.targets.tolist(), strict=True):
                assert data.sample_name(split, sample).startswith(names[target] + "/")


def test_a_bad_image_stops_training_by_name_or_is_left_out(photos):
    (photos / "cat" / "003.png").write_bytes(b"no image")
    with pytest.raises(BadImage, match=r"cat/003\.png: not an image"):
        all_batches(Folder(root=str(photos), image_size=16, batch_size=24))
    data = Folder(root=str(photos), image_size=16, batch_size=24, on_bad_image="skip")
    (batch,) = all_batches(data)
    (result,) = batch.left_out
    assert result.endswith("cat/003.png: not an image.")
    assert len(batch) == len(batch.targets) == len(batch.images) == 23
    bad = [i for i in range(27) if data.sample_name("train", i) == "cat/003.png"]
    assert not set(bad) & set(batch.index.tolist())


def test_borrowed_generators_come_back_as_they_were():
    before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    with pytest.raises(KeyError), borrowed_generators():
        seed_everything_used(5)
        drawn = torch.rand(1).item(), np.random.rand(), random.random()
        seed_everything_used(5)
        assert drawn == (torch.rand(1).item(), np.random.rand(), random.random())
        raise KeyError
    after = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()
    assert after == before


def test_seeds_of_samples_differ_in_every_word():
    seeds = {
        sample_seed(seed, epoch, index, purpose)
        for seed in range(6)
        for epoch in range(6)
        for index in range(6)
        for purpose in range(2)
    }
    assert len(seeds) == 6 * 6 * 6 * 2
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_workers_go_on_after_a_ctrl_c_so_that_the_trainer_can_end_its_step():
    loader = Digits(num_workers=2).loader("train")
    iterator = iter(loader)
    batches = [next(iterator)]
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
    batches += iterator
    assert len(batches) == len(loader)


ORPHANS = """
import multiprocessing, os, signal, sys
from vit.data.digits import Digits

if __name__ == "__main__":
    iterator = iter(Digits(num_workers=2).loader("train"))
    next(iterator)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch's own watch suffices")
def test_workers_end_when_the_training_process_is_killed(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(ORPHANS)
    killed = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, timeout=120)
    workers = [Path(f"/proc/{int(number)}") for number in killed.stdout.split()]
    assert len(workers) == 2
    for _ in range(100):
        if not any(worker.exists() for worker in workers):
            return
        time.sleep(0.1)
    pytest.fail("workers outlived their trainer by ten seconds")
