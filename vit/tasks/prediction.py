"""Images of a person's own through a trained run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import Image

from vit.faults import Fault, Refused
from vit.trained import load

IMAGES_AT_ONCE = 64


def predict(
    run_dir: str,
    paths: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
) -> dict[str, Any]:
    """Plain values: every class of every image, the most probable first.

    All files are opened before the model is loaded: one text file among them is told at once.
    """
    _require_images(paths)
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    told = []
    for start in range(0, len(paths), IMAGES_AT_ONCE):
        part = paths[start : start + IMAGES_AT_ONCE]
        images = []
        for path in part:
            with Image.open(path) as opened:
                opened.load()
                images.append(opened.copy())
        for path, row in zip(part, trained.probabilities(images).tolist(), strict=True):
            ranked = sorted(zip(row, trained.class_names, strict=True), reverse=True)
            classes = [{"class": name, "probability": value} for value, name in ranked]
            told.append({"path": path, "class": classes[0]["class"], "classes": classes})
    return {"schema_version": 1, "run": run_dir, "images": told}


def _require_images(paths: list[str]) -> None:
    faults = []
    for path in paths:
        try:
            with Image.open(path) as image:
                image.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0].replace(repr(path), "").strip()
            faults.append(Fault(path, f"is no image that can be read ({reason})"))
    if faults:
        raise Refused(faults)
