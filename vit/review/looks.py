"""What configurations look at: the pictures that they, or `vit attend`, have left in their runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vit.review.configurations import Configuration
from vit.review.picture import Picture
from vit.runs.files import read_json

FOLDERS = ("attend", "attend/val")  # by `vit attend`, which was asked; by the run itself
FILE = "attend.json"
SCHEMA_VERSION = 1
KINDS = ("image", "relevance", "rollout", "features")  # in this order, where a run has them
MOST_IMAGES = 6


@dataclass(frozen=True)
class LooksOfRun:
    """Of one run of a configuration: where it looks in some images."""

    id: str
    label: str
    seed: int
    pictures: list[Picture]


def looks(configurations: list[Configuration]) -> list[LooksOfRun]:
    """Of each configuration the pictures of one finished run, the one with the lowest seed.

    Where several configurations have pictures, they are of the images that all of them were
    shown, in one order.
    """
    shown = []
    for each in {each.id: each for each in configurations}.values():
        done = [run for run in each.runs if run.state == "done"]
        for run in sorted(done, key=lambda run: run.seed):
            images: dict[str, list[Picture]] = {}
            for folder in FOLDERS:
                images = {**_images(run.path, folder), **images}
            if images:
                shown.append((each, run.seed, images))
                break
    if not shown:
        return []
    first = shown[0][2]
    common = [key for key in first if all(key in images for *_, images in shown)][:MOST_IMAGES]
    rows = []
    for each, seed, images in shown:
        of_common = [picture for key in common for picture in images[key]]
        rows.append(LooksOfRun(each.id, each.label, seed, of_common))
    return rows if common else []


def _images(run_dir: Path, within: str) -> dict[str, list[Picture]]:
    """Of each image, by its content's hash, the pictures that are there."""
    folder = run_dir / within
    listing = read_json(folder / FILE, root=run_dir) or {}
    rows = listing.get("images")
    if listing.get("schema_version") != SCHEMA_VERSION or not isinstance(rows, list):
        return {}
    by_content: dict[str, list[Picture]] = {}
    for row in rows:
        files = row.get("files") if isinstance(row, dict) else None
        if not isinstance(files, dict):
            continue
        sample = Path(str(row.get("path"))).name
        words = {kind: kind for kind in KINDS} | {"relevance": f"relevance: {row.get('class')}"}
        # By its name alone: a file may come from anywhere, and is to lead nowhere else.
        by_content[str(row.get("sha256"))] = [
            Picture(str(folder / Path(str(files[kind])).name), words[kind], sample)
            for kind in KINDS
            if kind in files
        ]
    return by_content
