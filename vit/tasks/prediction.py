"""Images of a person's own through a trained run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from vit.faults import Fault, Refused
from vit.tasks.assembly import task_class
from vit.tasks.drawing import Drawing
from vit.trained import load

IMAGES_AT_ONCE = 64


def predict(
    run_dir: str,
    paths: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
    skip_bad: bool = False,
    out: str | None = None,
    threshold: float = 0.0,
) -> dict[str, Any]:
    """Plain values: of each image what the run's task says of it, the best first.

    All files are opened before the model is loaded: one text file among them is told at once,
    or left out with `skip_bad`. Objects are drawn into the folder `out`, and told, where they score
    `threshold` or more; results.json there has them all.
    """
    faults = _bad_images(paths)
    bad = {fault.where for fault in faults}
    paths = [path for path in paths if path not in bad]
    if faults and not (skip_bad and paths):
        hint = [] if skip_bad else [Fault("", "--skip-bad leaves such files out")]
        raise Refused([*faults, *hint])
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    kind = task_class(trained.config, allow_targets)
    told: list[dict[str, Any]] = []
    drawing: Drawing | None = None
    for start in range(0, len(paths), IMAGES_AT_ONCE):
        part = paths[start : start + IMAGES_AT_ONCE]
        images = []
        for path in part:
            with Image.open(path) as opened:
                opened.load()
                images.append(opened.copy())
        for path, image, row in zip(part, images, kind.predicted(trained, images), strict=True):
            if out is not None and ("objects" in row or "class_map" in row):
                drawing = drawing or Drawing(Path(out), trained.facts)
                row = drawing.add(path, image, row, threshold)
            row.pop("class_map", None)  # a file, and none of the words
            told.append({"path": path, **row})
    left_out = [str(fault) for fault in faults]
    more = {} if drawing is None else {"pictures": str(drawing.finish())}
    return {"schema_version": 1, "run": run_dir, "images": told, "left_out": left_out, **more}


def _bad_images(paths: list[str]) -> list[Fault]:
    faults = []
    for path in paths:
        try:
            with Image.open(path) as image:
                image.load()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            reason = str(error).splitlines()[0].replace(repr(path), "").strip()
            faults.append(Fault(path, f"is no image that can be read ({reason})"))
    return faults
