"""Images of a person's own through a trained run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vit.data.core.deep_images import Deep, deep_in, remarks_on
from vit.facts import TextFacts
from vit.faults import Fault, Refused
from vit.pictures.answers import Drawing
from vit.probes.vector_file import Table, write_vectors
from vit.tasks.features import features
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
    vectors: str | None = None,
) -> dict[str, Any]:
    """Plain values: of each image what the run's task says of it, the best first.

    All files are opened before the model is loaded: one text file among them is refused at once,
    or left out with `skip_bad`. Images are turned upright as EXIF says, as training reads them;
    boxes and masks are in pixels of the upright image. Objects are drawn into the folder `out`,
    and listed, where they score `threshold` or more; results.json there has them all. Of images
    in which none does, `below_threshold` says how many, and the highest score in them. `opened`
    gives the image of a path, where it is no file. With `vectors` the features of all images are
    written into a file of that name, and `features` says which.
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
    found: list[Tensor] = []
    missed: list[float] = []  # of images in which nothing is shown the highest score, or -1
    for start in range(0, len(paths), AT_ONCE):
        part = paths[start : start + AT_ONCE]
        images = [opened(Path(path)) for path in part]
        deep += [each for image in images if (each := deep_in(image))]
        found += [features(trained, images).vectors] if vectors else []
        for path, image, row in zip(part, images, answered(trained, images), strict=True):
            if out is not None and ("objects" in row or "class_map" in row):
                drawing = drawing or Drawing(Path(out), trained.facts)
                scores = [each["score"] for each in row.get("objects", ())]
                row = drawing.add(path, image, row, threshold)
                if row.get("objects") == []:
                    missed.append(max(scores, default=-1.0))
            row.pop("class_map", None)  # a file, and none of the words
            rows.append({"path": path, **row})
    left_out = [str(fault) for fault in faults]
    more: dict[str, Any] = {} if drawing is None else {"pictures": str(drawing.finish())}
    if vectors and found:
        _write_features(vectors, Table(torch.cat(found), paths), run_dir)
        more["features"] = vectors
    white = getattr(trained.transform, "white", None)
    if warnings := remarks_on(deep, f"{len(deep)} of {len(paths)} images", white):
        more["warnings"] = warnings
    if missed:
        highest = max(missed) if max(missed) >= 0 else None
        more["below_threshold"] = {"images": len(missed), "highest_score": highest}
    return {"schema_version": 1, "run": run_dir, "images": rows, "left_out": left_out, **more}


def _write_features(file: str, table: Table, run_dir: str) -> None:
    """Raises OSError as the system does."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    write_vectors(Path(file), {"": table}, {"schema_version": 1, "source": run_dir})


def predict_texts(
    run_dir: str,
    texts: list[str],
    checkpoint: str,
    device: str,
    allow_targets: Iterable[str] = (),
    vectors: str | None = None,
) -> dict[str, Any]:
    """Plain values: of each text what the run's task says of it; `vectors` as in `predict`."""
    trained = load(run_dir, checkpoint=checkpoint, device=device, allow_targets=allow_targets)
    if not isinstance(trained.facts, TextFacts):
        raise Refused([Fault(run_dir, "reads no texts; wanted files")])
    if empty := [number for number, text in enumerate(texts, start=1) if not text.strip()]:
        raise Refused([Fault("--text", f"number {empty[0]} is empty")])
    answers = zip(texts, answered(trained, texts), strict=True)
    rows = [{"input": text, **row} for text, row in answers]
    more = {}
    if vectors:
        _write_features(vectors, Table(features(trained, texts).vectors, texts), run_dir)
        more = {"features": vectors}
    return {"schema_version": 1, "run": run_dir, "texts": rows, **more}
