"""Sets by name, in torchvision's layout as this test writes it; and what is said where none is."""

import gzip
import json
import struct

import numpy as np
import pytest
import torch

from vit.data import torchvision_sets
from vit.data.torchvision_sets import IDX_FILES, TorchvisionSet, default_root


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder, train=40, test=20, suffix=""):
    folder.mkdir(parents=True)
    for split, count in (("train", train), ("test", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28))
        for name, array in zip(IDX_FILES[split], (images, np.arange(count) % 10), strict=True):
            content = idx(array)
            file = folder / f"{name}{suffix}"
            file.write_bytes(gzip.compress(content) if suffix else content)
    return folder


@pytest.fixture(autouse=True)
def no_package(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision_sets, "DEBIAN_FASHION_MNIST", tmp_path / "debian")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("inside", ["FashionMNIST/raw", "."])
def test_idx_files_are_read_plain_or_gzipped(tmp_path, suffix, inside):
    write_idx(tmp_path / "root" / inside, suffix=suffix)
    data = TorchvisionSet(name="FashionMNIST", root=str(tmp_path / "root"), eval_batch_size=20)
    assert data.lengths == {"train": 30, "val": 10, "test": 20}
    assert data.facts.class_names[9] == "Ankle boot"
    assert (data.facts.image_size, data.facts.channels) == ((28, 28), 1)
    batch = next(iter(data.loader("test")))
    assert batch.targets.tolist() == [number % 10 for number in range(20)]
    assert not data.faults(full=True)


def test_the_same_files_as_torchvision_reads_them(tmp_path):
    from torchvision.datasets import MNIST

    write_idx(tmp_path / "MNIST" / "raw")
    ours = TorchvisionSet(name="MNIST", root=str(tmp_path)).contents.sources["train"]
    theirs = MNIST(str(tmp_path), train=True)
    assert (ours.images == theirs.data.numpy()).all()
    assert ours.labels.tolist() == theirs.targets.tolist()


def test_debians_package_is_found_by_itself_but_not_where_a_root_is_named(tmp_path):
    write_idx(tmp_path / "debian", suffix=".gz")
    assert TorchvisionSet(name="FashionMNIST").lengths["test"] == 20
    with pytest.raises(ValueError, match="FashionMNIST is not in"):
        _ = TorchvisionSet(name="FashionMNIST", root=str(tmp_path / "empty")).facts


def test_a_set_that_is_not_there_says_every_way_to_it():
    (fault,) = TorchvisionSet(name="FashionMNIST").faults()
    for way in ("apt install dataset-fashion-mnist", "data.download=true", "data.root=FOLDER"):
        assert way in fault.message
    for name in ("MNIST", "CIFAR10", "SVHN", "Flowers102", "Food101", "EuroSAT", "Imagenette"):
        (fault,) = TorchvisionSet(name=name).faults()
        assert "data.download=true" in fault.message
        assert "apt" not in fault.message


@pytest.mark.parametrize("broken", ["cut", "text", "gone"])
def test_a_broken_file_is_named(tmp_path, broken):
    raw = write_idx(tmp_path / "MNIST" / "raw", suffix=".gz")
    file = raw / "t10k-images-idx3-ubyte.gz"
    if broken == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:3000] if broken == "cut" else b"<html>not found</html>")
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte"):
        _ = TorchvisionSet(name="MNIST", root=str(tmp_path)).facts


def test_the_root_is_vit_data_or_the_cache(tmp_path, monkeypatch):
    assert default_root() == tmp_path / "cache" / "vit" / "data"
    monkeypatch.setenv("VIT_DATA", str(tmp_path / "elsewhere"))
    assert default_root() == tmp_path / "elsewhere"


def test_cifar_is_read_from_torchvisions_archive(tmp_path, monkeypatch):
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    batch = {"data": images.reshape(20, -1), "labels": [number % 10 for number in range(20)]}
    listed = [["batch", write("batch", batch)]]
    monkeypatch.setattr(CIFAR10, "train_list", listed)
    monkeypatch.setattr(CIFAR10, "test_list", listed)
    names = {"label_names": [f"class {number}" for number in range(10)]}
    meta = {"filename": "meta", "key": "label_names", "md5": write("meta", names)}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    data = TorchvisionSet(name="CIFAR10", root=str(tmp_path), val_fraction=0.5)
    assert data.facts.class_names[3] == "class 3"
    batch = next(iter(data.loader("test")))
    assert batch.targets.tolist() == [number % 10 for number in range(20)]
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (data.facts.mean, data.facts.std)
    )
    shown = ((batch.images * std + mean) * 255).round().byte()
    assert torch.equal(shown, torch.from_numpy(images))


def test_sets_of_files_are_listed_without_decoding(tmp_path, write_images):
    for name in ("Forest", "River"):
        write_images(tmp_path / "eurosat" / "2750" / name, 10, size=(64, 64))
    (tmp_path / "eurosat" / "2750" / "Forest" / "000.png").write_bytes(b"never opened")
    data = TorchvisionSet(name="EuroSAT", root=str(tmp_path), test_fraction=0.2)
    assert data.lengths == {"train": 14, "val": 2, "test": 4}
    assert data.facts.class_names == ("Forest", "River")
    assert "EuroSAT" in data.describe()["train"]["from"]
    assert data.sample_name("train", 0).startswith("Forest")


def test_food101_reads_its_lists(tmp_path, write_images):
    meta = tmp_path / "food-101" / "meta"
    meta.mkdir(parents=True)
    for split, count in (("train", 8), ("test", 4)):
        lists = {}
        for name in ("pie", "rice"):
            write_images(tmp_path / "food-101" / "images" / name, 8, suffix="jpg")
            lists[name] = [f"{name}/{number:03}" for number in range(count)]
        (meta / f"{split}.json").write_text(json.dumps(lists))
    data = TorchvisionSet(name="Food101", root=str(tmp_path), image_size=8)
    assert data.lengths == {"train": 14, "val": 2, "test": 8}
    assert data.facts.class_names == ("pie", "rice")
    assert next(iter(data.loader("train"))).images.shape == (14, 3, 8, 8)
