"""What was found in a person's own images: pictures of it, and a file as COCO's tools read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from vit.data.drawing import annotated
from vit.runs.directory import write_json
from vit.structures import Facts


class Drawing:
    """A folder with a picture for each image, and results.json.

    An entry there is one of COCO's results, `image_id` counting the images from 1, with the image's
    `file_name` beside it.
    """

    def __init__(self, folder: Path, facts: Facts):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ids = facts.class_ids or tuple(range(1, facts.num_classes + 1))
        self._results: list[dict[str, Any]] = []
        self._names: set[str] = set()
        self._images = 0

    def add(
        self, path: str, image: Image.Image, objects: list[dict[str, Any]], threshold: float
    ) -> dict[str, Any]:
        """Draws the objects that score `threshold` or more; returns them and the picture's path."""
        self._images += 1
        for found in objects:
            x0, y0, x1, y1 = found["box_xyxy"]
            self._results.append(
                {
                    "image_id": self._images,
                    "file_name": path,
                    "category_id": self._ids[found["label"]],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": found["score"],
                }
            )
        shown = [found for found in objects if found["score"] >= threshold]
        picture = annotated(
            image,
            torch.tensor([found["box_xyxy"] for found in shown]).reshape(-1, 4),
            [found["label"] for found in shown],
            [f"{found['class']} {found['score']:.0%}" for found in shown],
        )
        file = self._folder / self._name(Path(path).stem)
        picture.save(file)
        return {"objects": shown, "picture": str(file)}

    def finish(self) -> Path:
        write_json(self._folder / "results.json", self._results)
        return self._folder

    def _name(self, stem: str) -> str:
        """Images of one name from several folders get a number."""
        name, count = f"{stem}.png", 1
        while name in self._names:
            count += 1
            name = f"{stem}-{count}.png"
        self._names.add(name)
        return name
