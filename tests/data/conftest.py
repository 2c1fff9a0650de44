"""Small sets of images, made anew for each test; nothing is read from or written to home."""

import numpy as np
import pytest
from coco_files import CocoFiles
from mask_files import MaskFiles
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VIT_DATA", raising=False)


@pytest.fixture
def write_images():
    """Writes `count` different images into a folder and returns it."""

    def write(folder, count, size=(12, 10), suffix="png"):
        folder.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng([count, *folder.name.encode()])
        for number in range(count):
            values = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / f"{number:03}.{suffix}")
        return folder

    return write


@pytest.fixture
def photos(tmp_path, write_images):
    """ROOT/{cat,dog,owl}/*.png: 30 images of 12×10 pixels, without splits."""
    for name, count in (("cat", 14), ("dog", 10), ("owl", 6)):
        write_images(tmp_path / "photos" / name, count)
    return tmp_path / "photos"


@pytest.fixture
def coco_files(tmp_path):
    return CocoFiles(tmp_path / "coco")


@pytest.fixture
def mask_files(tmp_path):
    return MaskFiles(tmp_path / "masks")
