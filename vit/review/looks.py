"""What configurations look at: the pictures that they, or `vit attend`, have left in their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vit.review.configurations import Configuration
from vit.runs.files import read_json

FOLDERS = ("attend", "attend/val")  # by `vit attend`, which was asked; by the run itself
FILE = "attend.json"
SCHEMA_VERSION = 1
KINDS = ("image", "relevance", "rollout", "features")  # in this order, where a run has them
MOST_IMAGES = 6


def looks(configurations: list[Configuration]) -> list[dict[str, Any]]:
    """Of each configuration the pictures of one finished run, the one with the lowest seed.

    `id`, `label`, `seed`, and `pictures` (`file`, `words`, `sample`). Where several configurations
    have pictures, they are of the images that all of them were shown, in one order.
    """
    found = []
    for each in {each.id: each for each in configurations}.values():
        done = [run for run in each.runs if run.state == "done"]
        for run in sorted(done, key=lambda run: run.seed):
            images: dict[str, list[dict[str, str]]] = {}
            for folder in FOLDERS:
                images = {**_images(run.path, folder), **images}
            if images:
                found.append(({"id": each.id, "label": each.label, "seed": run.seed}, images))
                break
    if not found:
        return []
    first = found[0][1]
    common = [key for key in first if all(key in images for _, images in found)][:MOST_IMAGES]
    rows = []
    for who, images in found:
        rows.append({**who, "pictures": [picture for key in common for picture in images[key]]})
    return rows if common else []


def _images(run_dir: Path, within: str) -> dict[str, list[dict[str, str]]]:
    """Of each image, by its content's hash, the pictures that are there."""
    folder = run_dir / within
    told = read_json(folder / FILE, root=run_dir) or {}
    rows = told.get("images")
    if told.get("schema_version") != SCHEMA_VERSION or not isinstance(rows, list):
        return {}
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        files = row.get("files") if isinstance(row, dict) else None
        if not isinstance(files, dict):
            continue
        sample = Path(str(row.get("path"))).name
        words = {kind: kind for kind in KINDS} | {"relevance": f"relevance: {row.get('class')}"}
        # By its name alone: a file may come from anywhere, and is to lead nowhere else.
        found[str(row.get("sha256"))] = [
            {
                "file": str(folder / Path(str(files[kind])).name),
                "words": words[kind],
                "sample": sample,
            }
            for kind in KINDS
            if kind in files
        ]
    return found
