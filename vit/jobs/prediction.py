"""Images of a person's own through a trained run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from vit.data.core.deep_images import Deep, deep_in, remarks_on
from vit.facts import TextFacts
from vit.faults import Fault, Refused
from vit.pictures.answers import Drawing
from vit.tasks.inputs import AT_ONCE, answered, bad_files, opener
from vit.trained import load

INSTEAD = "--text TEXT, or --file FILE with a text a line"


def predict(
    run_dir: str,
    paths: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
    skip_bad: bool = False,
    out: str | None = None,
    threshold: float = 0.0,
    opened: Callable[[Path], Image.Image] | None = None,
) -> dict[str, Any]:
    """Plain values: of each image what the run's task says of it, the best first.

    All files are opened before the model is loaded: one text file among them is refused at once,
    or left out with `skip_bad`. Images are turned upright as EXIF says, as training reads them;
    boxes and masks are in pixels of the upright image. Objects are drawn into the folder `out`,
    and listed, where they score `threshold` or more; results.json there has them all. Of images
    in which none does, `below_threshold` says how many, and the highest score in them. `opened`
    gives the image of a path, where it is no file.
    """
    opened = opened or opener(run_dir, allow_targets, INSTEAD)
    faults = bad_files(paths, opened)
    bad = {fault.where for fault in faults}
    paths = [path for path in paths if path not in bad]
    if faults and not (skip_bad and paths):
        hint = "" if skip_bad or not paths else "--skip-bad leaves such files out"
        raise Refused(faults, hint=hint)
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    rows: list[dict[str, Any]] = []
    drawing: Drawing | None = None
    deep: list[Deep] = []
    missed: list[float] = []  # of images in which nothing is shown the highest score, or -1
    for start in range(0, len(paths), AT_ONCE):
        part = paths[start : start + AT_ONCE]
        images = [opened(Path(path)) for path in part]
        deep += [found for image in images if (found := deep_in(image))]
        for path, image, row in zip(part, images, answered(trained, images), strict=True):
            if out is not None and ("objects" in row or "class_map" in row):
                drawing = drawing or Drawing(Path(out), trained.facts)
                scores = [found["score"] for found in row.get("objects", ())]
                row = drawing.add(path, image, row, threshold)
                if row.get("objects") == []:
                    missed.append(max(scores, default=-1.0))
            row.pop("class_map", None)  # a file, and none of the words
            rows.append({"path": path, **row})
    left_out = [str(fault) for fault in faults]
    more: dict[str, Any] = {} if drawing is None else {"pictures": str(drawing.finish())}
    white = getattr(trained.transform, "white", None)
    if warnings := remarks_on(deep, f"{len(deep)} of {len(paths)} images", white):
        more["warnings"] = warnings
    if missed:
        highest = max(missed) if max(missed) >= 0 else None
        more["below_threshold"] = {"images": len(missed), "highest_score": highest}
    return {"schema_version": 1, "run": run_dir, "images": rows, "left_out": left_out, **more}


def predict_texts(
    run_dir: str,
    texts: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
) -> dict[str, Any]:
    """Plain values: of each text what the run's task says of it."""
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    if not isinstance(trained.facts, TextFacts):
        raise Refused([Fault(run_dir, "reads no texts; wanted files")])
    if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise Refused([Fault("--text", f"number {empty[0]} is empty")])
    answers = zip(texts, answered(trained, texts), strict=True)
    rows = [{"input": text, **row} for text, row in answers]
    return {"schema_version": 1, "run": run_dir, "texts": rows}
