"""Pictures of what configurations get wrong, as their runs have kept them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from vit.review.configurations import Configuration
from vit.runs.mistake_gallery import picture_content, read_album

MOST_BYTES = 3_000_000  # of all pictures on a page
SPLITS = ("test", "val")  # the first that a run has pictures of


def pictures(configurations: list[Configuration]) -> list[dict[str, Any]]:
    """Of each configuration those of one finished run, the one with the lowest seed.

    `id`, `label`, `seed`, `split`, `step` (None at the selected checkpoint), `legend`, and
    `pictures`: `file`, `words`, `sample`.
    """
    found = []
    for each in configurations:
        done = [run for run in each.runs if run.state == "done"]
        for run in sorted(done, key=lambda run: run.seed):
            albums = (read_album(run.path, split) for split in SPLITS)
            album = next((album for album in albums if album and album["pictures"]), None)
            if album:
                found.append({"id": each.id, "label": each.label, "seed": run.seed, **album})
                break
    return found


def embedded(rows: list[dict[str, Any]], most: int = MOST_BYTES) -> list[dict[str, Any]]:
    """The same with the files' content as `source`, a data: address, and their sizes.

    A file that is no picture is left out; so are those for which there is no room, counted in
    `left_out`. All configurations have the same room.
    """
    found = []
    for row in rows:
        room, kept, left_out = most // len(rows), [], 0
        for picture in row["pictures"]:
            content = picture_content(Path(picture["file"]))
            if content is None:
                continue
            kind, told, (width, height) = content
            room -= len(told)
            if room < 0:
                left_out += 1
                continue
            source = f"data:{kind};base64,{base64.b64encode(told).decode()}"
            words = {"words": picture["words"], "sample": picture["sample"]}
            kept.append({**words, "source": source, "width": width, "height": height})
        found.append({**row, "pictures": kept, "left_out": left_out})
    return found
