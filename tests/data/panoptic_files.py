"""A small folder in COCO's panoptic form."""

import json

import numpy as np
from PIL import Image

from vit.data.coco_panoptic import CocoPanoptic

CATEGORIES = [
    {"id": 7, "name": "dog", "isthing": 1},
    {"id": 3, "name": "cat", "isthing": 1},
    {"id": 90, "name": "sky", "isthing": 0},
]


class PanopticFolder:
    """Two training images and one of val, 40×30: two dogs, a crowd of cats, sky and void."""

    def __init__(self, root):
        self.root = root
        self.content = {}
        for split, numbers in (("train", (1, 2)), ("val", (3,))):
            (root / "annotations" / f"panoptic_{split}").mkdir(parents=True)
            (root / "images").mkdir(exist_ok=True)
            self.content[split] = {"images": [], "annotations": [], "categories": CATEGORIES}
            for n in numbers:
                colours = np.full((30, 40), 70000 + n)  # sky; needs all three channels
                boxes = {300: (2, 3, 8, 9), 301: (20, 5, 10, 10), 5: (0, 20, 40, 6)}
                for colour, (x, y, width, height) in boxes.items():
                    colours[y : y + height, x : x + width] = colour
                colours[28:] = 0
                self.save(split, n, colours)
                generator = np.random.default_rng(n)
                pixels = generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "images" / f"{n}.jpg")
                image = {"id": n, "file_name": f"{n}.jpg", "width": 40, "height": 30}
                self.content[split]["images"].append(image)
                infos = [
                    self.info(colours, 70000 + n, 90),
                    self.info(colours, 300, 7),
                    self.info(colours, 5, 3, crowd=1),
                    self.info(colours, 301, 7),
                ]
                note = {"image_id": n, "file_name": f"{n}.png", "segments_info": infos}
                self.content[split]["annotations"].append(note)

    def save(self, split, number, colours):
        bands = [colours % 256, colours // 256 % 256, colours // 65536]
        image = Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))
        image.save(self.root / "annotations" / f"panoptic_{split}" / f"{number}.png")

    def info(self, colours, colour, category, crowd=0):
        rows, columns = np.nonzero(colours == colour)
        x, y = int(columns.min()), int(rows.min())
        bbox = [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y]
        result = {"id": colour, "category_id": category, "iscrowd": crowd, "bbox": bbox}
        return {**result, "area": len(rows)}

    def data(self, **settings):
        for split, content in self.content.items():
            file = self.root / "annotations" / f"panoptic_{split}.json"
            file.write_text(json.dumps(content))
        return CocoPanoptic(**{"root": str(self.root), "image_size": (30, 40), **settings})
