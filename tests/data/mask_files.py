"""A small set of images with class maps on disk, to be spoilt by the tests one way at a time."""

import numpy as np
from PIL import Image


class MaskFiles:
    """Three training and two validation images of 40×30 pixels, with maps of three classes."""

    def __init__(self, root):
        self.root = root
        for split, numbers in (("train", (1, 2, 3)), ("val", (4, 5))):
            for kind in ("images", "masks"):
                (root / kind / split).mkdir(parents=True)
            for n in numbers:
                generator = np.random.default_rng(n)
                pixels = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / split / f"{n}.jpg")
                blocks = generator.integers(0, 3, (6, 8), dtype=np.uint8)
                values = np.kron(blocks, np.ones((5, 5), dtype=np.uint8))
                values[:2, :3] = 255
                self.save(f"{split}/{n}", values)
        self.classes = "soil\nleaf\nrot\n"

    def save(self, name, values, palette=True, **more):
        image = Image.fromarray(values)
        if palette:
            image.putpalette([value % 256 for value in range(0, 7 * 768, 7)])
        image.save(self.root / "masks" / f"{name}.png", **more)

    def values(self, name):
        return np.asarray(Image.open(self.root / "masks" / f"{name}.png")).copy()

    def write(self):
        (self.root / "classes.txt").write_text(self.classes)
        return str(self.root)
