"""Pictures of leaves with mites, which are 0.5 % of the pixels: python tests/data/rare_files.py DIR

Noise is as strong as the leaves, and mites are small: whoever minds pixels alone overlooks them.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48  # pixels
CLASSES = ("soil", "leaf", "mite")
COLOURS = np.array([(0.45, 0.35, 0.25), (0.3, 0.5, 0.25), (0.6, 0.3, 0.35)])
NOISE = 0.15  # standard deviation, fraction of white
SPLITS = {"train": 160, "val": 60, "test": 60}


def write_rare(root, splits=SPLITS):
    """images/SPLIT/N.png, masks/SPLIT/N.png and classes.txt; the same in every call."""
    root = Path(root)
    for number, (split, count) in enumerate(splits.items()):
        for kind in ("images", "masks"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            draw = np.random.default_rng([number, n])
            labels = scene(draw)
            picture = COLOURS[labels] + draw.normal(0, NOISE, (SIDE, SIDE, 3))
            pixels = (picture.clip(0, 1) * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{n}.png")
            Image.fromarray(labels).save(root / "masks" / split / f"{n}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return str(root)


def scene(draw):
    """A leaf, an ellipse of about a third of the picture; in every other one a mite of 5×5."""
    rows, cols = np.mgrid[:SIDE, :SIDE]
    middle, radii = draw.uniform(16, 32, 2), draw.uniform(12, 20, 2)
    inside = ((rows - middle[0]) / radii[0]) ** 2 + ((cols - middle[1]) / radii[1]) ** 2 < 1
    labels = inside.astype(np.uint8)
    if draw.random() < 0.5:
        top, left = draw.integers(0, SIDE - 5, 2)
        labels[top : top + 5, left : left + 5] = 2
    return labels


if __name__ == "__main__":
    write_rare(sys.argv[1])
