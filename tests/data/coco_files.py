"""A small COCO set on disk, to be spoilt by the tests one way at a time."""

import json

import numpy as np
from PIL import Image


class CocoFiles:
    """Three training and two validation images of 40×30 pixels with some boxes of two classes."""

    def __init__(self, root):
        self.root = root
        (root / "annotations").mkdir(parents=True)
        (root / "images").mkdir()
        self.content = {}
        for split, numbers in (("train", (1, 2, 3)), ("val", (4, 5))):
            self.content[split] = {
                "images": [
                    {"id": 10 * n, "file_name": f"{n}.png", "width": 40, "height": 30}
                    for n in numbers
                ],
                "annotations": [
                    self.annotation(100 * n + k, 10 * n, 7 if k else 3, [2 + 8 * k, 3, 6, 5 + k])
                    for n in numbers
                    for k in range(3)
                ],
                "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
            }
            for n in numbers:
                generator = np.random.default_rng(n)
                pixels = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / f"{n}.png")

    @staticmethod
    def annotation(number, image, category, bbox, **more):
        return {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": bbox,
            "area": bbox[2] * bbox[3],
            "iscrowd": 0,
            **more,
        }

    @property
    def images(self):
        return self.content["train"]["images"]

    @property
    def annotations(self):
        return self.content["train"]["annotations"]

    def write(self):
        for split, content in self.content.items():
            (self.root / "annotations" / f"{split}.json").write_text(json.dumps(content))
        return str(self.root)
