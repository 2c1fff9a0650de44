"""Outlines, polygons and run lengths alike, are held against their boxes, and have an area."""

import numpy as np
import pytest
from test_detection_checks import checked, only_warning

from vit.data.annotations.segments import (
    bounds,
    decoded,
    outline_fault,
    run_lengths_of_mask,
    without_area,
)

HEIGHT, WIDTH = 30, 40  # of the pictures of coco_files
FLAT = {
    "one point": [[5, 6] * 20_000],
    "an upright line": [[5, 6, 5, 12, 5, 9, 5, 6]],
    "a slanted line": [[2.1, 3.3, 4.2, 6.6, 6.3, 9.9, 8.4, 13.2]],
    "two lines": [[2, 3, 8, 3, 2, 3], [2, 3, 2, 9, 2, 5]],
    "no run": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    "runs of nothing": {"size": [HEIGHT, WIDTH], "counts": [600, 0, 600]},
    "text of no run": run_lengths_of_mask(np.zeros((HEIGHT, WIDTH), dtype=bool)),
}


def covering(box_xywh):
    """The mask of a box."""
    x, y, wide, tall = box_xywh
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y : y + tall, x : x + wide] = True
    return mask


def as_counts(mask):
    flat = mask.flatten(order="F")
    changes = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0, append=0)).tolist()
    ends = [*changes, flat.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends]).tolist()}


@pytest.fixture(params=["polygons", "text", "counts"])
def form(request):
    """From a box to an outline of one form that covers it."""

    def made(box_xywh):
        x, y, w, h = box_xywh
        if request.param == "polygons":
            return [[x, y, x + w, y, x + w, y + h, x, y + h]]
        mask = covering(box_xywh)
        return run_lengths_of_mask(mask) if request.param == "text" else as_counts(mask)

    return made


def fitted(files, form):
    for content in files.content.values():
        for one in content["annotations"]:
            one["segmentation"] = form(one["bbox"])


@pytest.mark.parametrize("masks", [False, True])
def test_a_box_elsewhere_than_its_outline_is_a_warning(coco_files, form, masks):
    fitted(coco_files, form)
    assert checked(coco_files, masks=masks)[:2] == ([], [])
    x, y, wide, tall = coco_files.annotations[2]["bbox"]
    coco_files.annotations[2]["segmentation"] = form([x + 2, y + 1, wide, tall])
    assert checked(coco_files, masks=masks)[:2] == ([], [])  # as by rounding
    coco_files.annotations[4]["segmentation"] = form([30, 20, 9, 9])
    warning = only_warning(coco_files, masks=masks)[0]
    assert "1 of 9 boxes looked at lie elsewhere than their `segmentation`" in warning
    assert "ann 201." in warning


@pytest.mark.parametrize("outline", FLAT.values(), ids=FLAT)
def test_an_outline_without_area_is_reported(coco_files, form, outline):
    fitted(coco_files, form)
    coco_files.annotations[0]["segmentation"] = outline
    warning, data = only_warning(coco_files)
    assert "1 of 9 `segmentation`s looked at have no area; their boxes are kept: ann 100" in warning
    assert data.describe()["train"]["objects"] == 9
    warning, data = only_warning(coco_files, masks=True)
    assert "the `segmentation` has no area, dropped: ann 100 (1 in all)" in warning
    assert data.describe()["train"]["objects"] == 8


def test_small_and_crossed_polygons_have_an_area(coco_files):
    for outline in (
        [[5, 5, 5.2, 5, 5, 5.1]],
        [[2, 3, 8, 8, 8, 3, 2, 8]],
        [[0, 0] * 9 + [0, 5, 5, 5]],
    ):
        assert not without_area(outline, HEIGHT, WIDTH)


def test_bounds_are_those_of_the_decoded_pixels():
    draw = np.random.default_rng(0)
    for turn in range(200):
        mask = draw.random((HEIGHT, WIDTH)) < draw.choice([0.001, 0.01, 0.9])
        x, y = draw.integers(0, [WIDTH, HEIGHT])
        mask |= covering([x, y, *draw.integers(1, 30, 2)])
        outline = as_counts(mask) if turn % 2 else run_lengths_of_mask(mask)
        assert outline_fault(outline, HEIGHT, WIDTH) == ""
        assert (decoded(outline, HEIGHT, WIDTH) == mask).all()
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        wanted = (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1)
        assert bounds(outline, HEIGHT) == wanted
