"""What is wrong with annotations as raw, and what is odd: by file, number and count.

Faults stop the training; of what is odd it is said what became of it. All of it is done with
arrays: a hundred thousand annotations take a second or so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np

from vit.data.annotations.raw import RawAnnotations
from vit.data.annotations.segments import bounds, outline_fault, without_area
from vit.faults import Fault, shorten

FARTHEST = 1e9  # pixels; a box beyond that is none
OVERRUN = 0.5  # pixels by which a box leaves its image before it is worth a word; rounding does so
NEARLY_ALL = 0.95  # share of the boxes that says what all were meant as
SMALLEST = 2  # pixels of an image's side, up to which pixels and fractions look alike
LOOKED_AT = 2000  # outlines a split whose bounds are compared with their boxes
ROUNDED = 2  # pixels by which a box may leave the bounds of its outline
SAME_BOX = 0.5  # of the area of both, shared by a box and the bounds of its outline
MANY_OVERRUN = 0.2  # share of the boxes from which on they look like xyxy


@dataclass
class Validation:
    """What was found, which objects are kept, and their boxes within their images."""

    keep: np.ndarray  # [objects], bool
    boxes_xyxy: np.ndarray  # [objects, 4] pixels
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def validate(raw: RawAnnotations, masks: bool = False) -> Validation:
    """Every fault and every oddity of a split's annotations; outlines only where `masks`."""
    low, sides = raw.boxes_xywh[:, :2], raw.boxes_xywh[:, 2:]
    boxes_xyxy = np.concatenate([low, low + sides], axis=1)
    validation = Validation(np.ones(len(low), dtype=bool), boxes_xyxy)
    _numbers(raw, validation)
    _references(raw, validation)
    if not _wrong_format(raw, validation):
        _places(raw, validation)
    _repeated_boxes(raw, validation)
    if masks:
        _outlines(raw, validation)
    _elsewhere(raw, validation)
    empty = sum(outline == [] for outline in raw.outlines)
    if empty:
        validation.warnings.append(
            f"{raw.origin}: {empty} annotations have an empty `segmentation`, as those without one."
        )
    crowds = int(raw.crowd.sum())
    if crowds:
        validation.warnings.append(
            f"{raw.origin}: {crowds} crowds; they are not trained on, and the metric knows of them."
        )
    bare = len(raw.names) - len(np.unique(raw.image_of[validation.keep]))
    if bare:
        validation.warnings.append(
            f"{raw.origin}: {bare} of {len(raw.names)} images have no object; they "
            "are kept, to learn what is none."
        )
    return validation


def _numbers(raw: RawAnnotations, validation: Validation) -> None:
    """Numbers that come twice, and boxes that are no numbers."""
    twice = _twice(raw.image_ids)
    if twice:
        message = "two or more images have the same id; all but one would be lost"
        validation.faults.append(_fault(raw, message, [f"image {one}" for one in twice]))
    twice = _twice(raw.ids)
    if twice:
        message = "two or more annotations have the same id; all but one would be lost"
        validation.faults.append(_fault(raw, message, [f"ann {one}" for one in twice]))
    # A number that no image has would overflow in what is computed from it.
    broken = ~(np.abs(raw.boxes_xywh) < FARTHEST).all(axis=1)
    if broken.any():
        message = "the box is not four finite numbers"
        validation.faults.append(_fault(raw, message, _named(raw, broken)))
    validation.keep &= ~broken


def _references(raw: RawAnnotations, validation: Validation) -> None:
    """Annotations of images and of classes that are not there."""
    lost = np.flatnonzero(raw.image_of < 0)
    if len(lost):
        refs = [raw.image_refs[row] for row in lost]
        examples = [f"ann {raw.ids[row]}: image {raw.image_refs[row]!r}" for row in lost]
        message = "the image is not listed"
        known = {str(number): number for number in raw.image_ids}
        kin = next((ref for ref in refs if known.get(str(ref), ref) != ref), None)
        if kin is not None:
            message += (
                f" (ids of images and in annotations must be alike: {kin!r} is not "
                f"{known[str(kin)]!r})"
            )
        validation.faults.append(_fault(raw, message, examples))
    unlisted = np.flatnonzero(raw.class_of < 0)
    if len(unlisted):
        examples = [f"ann {raw.ids[row]}: {raw.class_refs[row]!r}" for row in unlisted]
        validation.faults.append(_fault(raw, "the category is not listed", examples))
    validation.keep &= (raw.image_of >= 0) & (raw.class_of >= 0)


def _wrong_format(raw: RawAnnotations, validation: Validation) -> bool:
    """Whether the boxes as a whole are something else than x, y, width, height in pixels."""
    rows = np.flatnonzero(validation.keep)
    sizes = raw.sizes[raw.image_of[rows]]
    large = sizes.min(axis=1, initial=10) > SMALLEST
    rows, sizes = rows[large], sizes[large]
    if not len(rows):
        return False
    boxes = raw.boxes_xywh[rows]
    # Corners that count from 1, as VOC's, begin below 0 where they are fractions.
    within = (boxes <= 1).all(axis=1) | (boxes[:, :2] + boxes[:, 2:] <= 1).all(axis=1)
    small = int((within & (boxes[:, :2] >= -1).all(axis=1)).sum())
    if small >= NEARLY_ALL * len(rows):
        message = (
            f"{small} of {len(rows)} boxes are within 0 to 1: this looks normalised; wanted pixels"
        )
    else:
        far = sizes[:, ::-1]
        over = (boxes[:, :2] + boxes[:, 2:] > far + OVERRUN).any(axis=1)
        corners = (boxes[:, 2:] >= boxes[:, :2]).all(axis=1)
        corners &= (boxes[:, 2:] <= far + OVERRUN).all(axis=1)
        if over.mean() < MANY_OVERRUN or corners.mean() < NEARLY_ALL:
            return False
        message = (
            f"{int(over.sum())} of {len(rows)} boxes leave their image, and as corners they fit: "
            "this looks like xyxy; wanted x, y, width, height in pixels"
        )
    validation.faults.append(Fault(raw.origin, message + "."))
    validation.keep[rows] = False
    return True


def _places(raw: RawAnnotations, validation: Validation) -> None:
    """Boxes without a size, outside of their image or partly so; what is kept is clipped."""
    low, high = validation.boxes_xyxy[:, :2], validation.boxes_xyxy[:, 2:]
    flat = validation.keep & (raw.boxes_xywh[:, 2:] <= 0).any(axis=1)
    if flat.any():
        examples = []
        for row in np.flatnonzero(flat).tolist():
            width, height = raw.boxes_xywh[row, 2:].tolist()
            side = f"width {width:g}" if width <= 0 else f"height {height:g}"
            examples.append(f"ann {raw.ids[row]}: {side}")
        validation.warnings.append(_warning(raw, "no area, dropped", examples))
    validation.keep &= ~flat
    rows = np.flatnonzero(validation.keep)
    far = raw.sizes[raw.image_of[rows]][:, ::-1]
    known = far.min(axis=1, initial=1) > 0  # where nobody says the size, it stays open
    gone = known & ((high[rows] <= 0) | (low[rows] >= far)).any(axis=1)
    if gone.any():
        examples = [f"ann {raw.ids[row]}" for row in rows[gone]]
        message = "wholly outside of the image, dropped"
        validation.warnings.append(_warning(raw, message, examples))
    validation.keep[rows[gone]] = False
    over = (low[rows] < -OVERRUN) | (high[rows] > far + OVERRUN)
    over = over.any(axis=1) & known & ~gone
    if over.any():
        examples = [f"ann {raw.ids[row]}" for row in rows[over]]
        message = "partly outside of the image, clipped"
        validation.warnings.append(_warning(raw, message, examples))
    rows, far = rows[known], far[known]
    validation.boxes_xyxy[rows] = np.clip(validation.boxes_xyxy[rows], 0, np.tile(far, 2))


def _repeated_boxes(raw: RawAnnotations, validation: Validation) -> None:
    rows = np.flatnonzero(validation.keep)
    keys = np.column_stack([raw.image_of[rows], raw.class_of[rows], raw.boxes_xywh[rows]])
    order = np.lexsort(keys.T)
    again = np.zeros(len(rows), dtype=bool)
    again[order[1:]] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    if again.any():
        examples = [f"ann {raw.ids[row]}" for row in rows[again]]
        message = "the same box and category as another of its image, kept"
        validation.warnings.append(_warning(raw, message, examples))


def _elsewhere(raw: RawAnnotations, validation: Validation) -> None:
    """Boxes that are not those of their outlines, among 2,000 objects, evenly spaced."""
    rows = np.flatnonzero(validation.keep & ~raw.crowd)
    if len(rows) > LOOKED_AT:
        rows = rows[np.linspace(0, len(rows) - 1, LOOKED_AT).round().astype(np.int64)]
    elsewhere, flat, outlines = [], [], 0
    for row in rows.tolist():
        outline = raw.outlines[row]
        height, width = raw.sizes[raw.image_of[row]].tolist()
        if not outline or outline_fault(outline, height, width):
            continue
        outlines += 1
        if without_area(outline, height, width):
            flat.append(f"ann {raw.ids[row]}")
            continue
        x, y, wide, tall = raw.boxes_xywh[row].tolist()
        box, covered = (x, y, x + wide, y + tall), bounds(outline, height)
        differ = max(map(abs, np.subtract(box, covered))) > ROUNDED
        if differ and _overlap(box, covered) < SAME_BOX:
            elsewhere.append(f"ann {raw.ids[row]}")
    if elsewhere:
        validation.warnings.append(
            f"{raw.origin}: {len(elsewhere)} of {outlines} boxes looked at lie elsewhere than "
            f"their `segmentation`; both are kept as they are: {shorten(elsewhere)}."
        )
    if flat:
        # Where masks are asked for, `_outlines` has dropped them.
        validation.warnings.append(
            f"{raw.origin}: {len(flat)} of {outlines} `segmentation`s looked at have no "
            f"area; their boxes are kept: {shorten(flat)}."
        )


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The area that both share, as a part of the area that they cover together."""
    wide = min(box[2], other[2]) - max(box[0], other[0])
    tall = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(wide, 0) * max(tall, 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return shared / (sum(areas) - shared) if sum(areas) > shared else 0.0


def _fractions(raw: RawAnnotations, validation: Validation) -> bool:
    """Whether the polygons as a whole are fractions of their images, and not pixels."""
    small = polygons = 0
    for row in np.flatnonzero(validation.keep).tolist():
        outline = raw.outlines[row]
        image = raw.sizes[raw.image_of[row]]
        if not isinstance(outline, list) or not outline or not image.min() > SMALLEST:
            continue
        polygons += 1
        small += all(
            isinstance(value, int | float) and 0 <= value <= 1
            for polygon in outline
            for value in (polygon if isinstance(polygon, list) else [polygon])
        )
    if not polygons or small < NEARLY_ALL * polygons:
        return False
    message = (
        f"{small} of {polygons} `segmentation`s are within 0 to 1: this looks normalised; wanted "
        "pixels."
    )
    validation.faults.append(Fault(raw.origin, message))
    return True


def _outlines(raw: RawAnnotations, validation: Validation) -> None:
    if _fractions(raw, validation):
        return
    missing, wrong, flat = [], [], []
    for row in np.flatnonzero(validation.keep).tolist():
        outline = raw.outlines[row]
        if outline is None:
            missing.append(f"ann {raw.ids[row]}")
            continue
        height, width = raw.sizes[raw.image_of[row]].tolist()
        fault = outline_fault(outline, height, width)
        if fault:
            wrong.append(f"ann {raw.ids[row]}: {fault}")
            validation.keep[row] = False
        elif outline and without_area(outline, height, width):
            flat.append(f"ann {raw.ids[row]}")
            validation.keep[row] = False
    if flat:
        message = "the `segmentation` has no area, dropped"
        validation.warnings.append(_warning(raw, message, flat))
    if missing:
        message = "there is no `segmentation`, which data.masks=true asks for"
        validation.faults.append(_fault(raw, message, missing))
    if wrong:
        validation.faults.append(_fault(raw, "the `segmentation` is broken", wrong))


def class_warnings(train: RawAnnotations, class_names: tuple[str, ...]) -> list[str]:
    """Classes that nothing is to be learnt of, such as the parents that some tools write."""
    counts = np.bincount(train.class_of[train.class_of >= 0], minlength=len(class_names))
    bare = [repr(name) for name, count in zip(class_names, counts, strict=True) if not count]
    if not bare:
        return []
    return [f"{train.origin}: no box is of the category {shorten(bare)}."]


def _twice(values: Iterable[Hashable]) -> list[Hashable]:
    return [value for value, count in Counter(values).items() if count > 1]


def _named(raw: RawAnnotations, which: np.ndarray) -> list[str]:
    return [f"ann {raw.ids[row]}" for row in np.flatnonzero(which).tolist()]


def _fault(raw: RawAnnotations, message: str, examples: list[str]) -> Fault:
    return Fault(raw.origin, f"{message}: {shorten(examples)} ({len(examples)} in all).")


def _warning(raw: RawAnnotations, message: str, examples: list[str]) -> str:
    return f"{raw.origin}: {message}: {shorten(examples)} ({len(examples)} in all)."
