"""What was found in images, drawn: for a person, for the tracker, and as COCO's tools read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from vit.facts import Facts
from vit.metrics.detection import ImageDetections
from vit.pictures.drawing import annotated, coloured, legend
from vit.runs.links import refuse_links
from vit.runs.writing import write_json

TRACKED_SCORE = 0.1  # lowest of a box in the tracker, where a slider hides more


class Drawing:
    """A folder with a picture for each image, and of objects results.json, of maps legend.png.

    An entry there is one of COCO's results, `image_id` counting the images from 1, with the image's
    `file_name` beside it.
    """

    def __init__(self, folder: Path, facts: Facts):
        refuse_links(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._class_names = facts.class_names
        self._ids = facts.class_ids or tuple(range(1, facts.num_classes + 1))
        self._results: list[dict[str, Any]] = []
        self._names = {"legend.png"}
        self._images = 0
        self._maps = False

    def add(
        self, path: str, image: Image.Image, row: dict[str, Any], threshold: float
    ) -> dict[str, Any]:
        """Draws what a task says of an image; returns it with the pictures' paths.

        Of objects those that score `threshold` or more are shown and returned. A `class_map`
        becomes a picture of its own too, whose grey values are the classes' numbers.
        """
        self._images += 1
        file = self._folder / self._name(Path(path).stem)
        if "class_map" in row:
            self._maps = True
            labels = torch.from_numpy(row["class_map"])
            coloured(image, labels).save(file)
            classes = file.with_name(f"{file.stem}.classes.png")
            Image.fromarray(row["class_map"]).save(classes)
            return {**row, "picture": str(file), "classes_picture": str(classes)}
        self._results += [self._result(path, found) for found in row["objects"]]
        shown = [found for found in row["objects"] if found["score"] >= threshold]
        with_objects(image, shown).save(file)
        return {**row, "objects": shown, "picture": str(file)}

    def _result(self, path: str, found: dict[str, Any]) -> dict[str, Any]:
        x0, y0, x1, y1 = found["box_xyxy"]
        mask = {"segmentation": found["segmentation"]} if "segmentation" in found else {}
        return {
            "image_id": self._images,
            "file_name": path,
            "category_id": self._ids[found["label"]],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": found["score"],
            **mask,
        }

    def finish(self) -> Path:
        if self._results or not self._maps:
            write_json(self._folder / "results.json", self._results)
        if self._maps:
            legend(self._class_names).save(self._folder / "legend.png")
        return self._folder

    def _name(self, stem: str) -> str:
        """Images of one name from several folders get a number."""
        name, count = f"{stem}.png", 1
        while name in self._names:
            count += 1
            name = f"{stem}-{count}.png"
        self._names.add(name)
        return name


def with_objects(
    image: Image.Image, objects: Sequence[Mapping[str, Any]], scale: float = 1.0
) -> Image.Image:
    """The image with objects as a task says them, whose boxes are in its pixels times `scale`."""
    masks = [torch.from_numpy(pixels_of(found)) for found in objects if "segmentation" in found]
    return annotated(
        image,
        torch.tensor([found["box_xyxy"] for found in objects]).reshape(-1, 4) / scale,
        [found["label"] for found in objects],
        [f"{found['class']} {found['score']:.0%}" for found in objects],
        torch.stack(masks) if masks else None,
    )


def pixels_of(found: Mapping[str, Any]) -> np.ndarray:
    """An object's mask, [height, width], true and false."""
    from faster_coco_eval.core import mask as run_lengths

    encoded = found["segmentation"]
    return run_lengths.decode({**encoded, "counts": encoded["counts"].encode()}).astype(bool)


def for_tracker(
    picture: Image.Image, image: int, found: ImageDetections, truth: Mapping[str, Any]
) -> dict[str, Any]:
    """A picture with the boxes found and those to find, in the form that W&B draws.

    `truth` is COCO's dictionary, in which the picture has the id `image`.
    """
    names = {at: str(each["name"]) for at, each in enumerate(truth["categories"])}
    labels = {each["id"]: at for at, each in enumerate(truth["categories"])}
    answers = [
        _box(box, names, label, score)
        for box, label, score in zip(found.boxes_xyxy, found.label, found.score, strict=True)
        if score >= TRACKED_SCORE
    ]
    wanted = []
    for note in truth["annotations"]:
        if note["image_id"] == image:
            x, y, width, height = note["bbox"]
            box = (x, y, x + width, y + height)
            wanted.append(_box(box, names, labels[note["category_id"]]))
    sets = {"found": answers, "truth": wanted}
    boxes = {key: {"box_data": rows, "class_labels": names} for key, rows in sets.items() if rows}
    return {"image": picture, "boxes": boxes}


def _box(
    box_xyxy: Sequence[float], names: Mapping[int, str], label: int, score: float | None = None
) -> dict[str, Any]:
    edges = zip(("minX", "minY", "maxX", "maxY"), box_xyxy, strict=True)
    box: dict[str, Any] = {
        "position": {name: float(edge) for name, edge in edges},
        "domain": "pixel",
        "class_id": int(label),
        "box_caption": names[int(label)],
    }
    return box if score is None else {**box, "scores": {"score": float(score)}}
