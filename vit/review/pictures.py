"""Pictures of what configurations get wrong, as their runs have kept them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vit.review.configurations import Configuration
from vit.review.looks import LooksOfRun
from vit.review.picture import Picture
from vit.review.plain import as_plain
from vit.runs.mistake_gallery import picture_content, read_album

MOST_BYTES = 3_000_000  # of all pictures on a page
SPLITS = ("test", "val")  # the first that a run has pictures of


@dataclass(frozen=True)
class PicturesOfRun:
    """Of one run of a configuration: samples that it got wrong."""

    id: str
    label: str
    seed: int
    split: str
    step: int | None  # None at the selected checkpoint
    legend: list[tuple[str, str]]  # words, and the colour that means them
    pictures: list[Picture]


def pictures(configurations: list[Configuration]) -> list[PicturesOfRun]:
    """Of each configuration those of one finished run, the one with the lowest seed."""
    rows = []
    for each in configurations:
        done = [run for run in each.runs if run.state == "done"]
        for run in sorted(done, key=lambda run: run.seed):
            albums = (read_album(run.path, split) for split in SPLITS)
            album = next((album for album in albums if album and album["pictures"]), None)
            if album:
                shown = [Picture(**picture) for picture in album.pop("pictures")]
                rows.append(PicturesOfRun(each.id, each.label, run.seed, **album, pictures=shown))
                break
    return rows


def embedded(
    rows: Sequence[PicturesOfRun | LooksOfRun], most: int = MOST_BYTES
) -> list[dict[str, object]]:
    """As plain values, with the files' content as `source`, a data: address, and their sizes.

    A file that is no picture is left out; so are those for which there is no room, counted in
    `left_out`. All configurations have the same room.
    """
    plain_rows = []
    for row in rows:
        room, kept, left_out = most // len(rows), [], 0
        for picture in row.pictures:
            content = picture_content(Path(picture.file))
            if content is None:
                continue
            kind, encoded, (width, height) = content
            room -= len(encoded)
            if room < 0:
                left_out += 1
                continue
            source = f"data:{kind};base64,{base64.b64encode(encoded).decode()}"
            words = {"words": picture.words, "sample": picture.sample}
            kept.append({**words, "source": source, "width": width, "height": height})
        plain_rows.append({**as_plain(row), "pictures": kept, "left_out": left_out})
    return plain_rows
