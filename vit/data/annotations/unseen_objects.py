"""Objects of val or test whose class no object of train has."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vit.data.annotations.raw import ImageRecord
from vit.data.core.unseen_classes import UnseenClasses, left_out, refusal
from vit.faults import Fault

PARALLEL = ("ids", "class_refs", "boxes_xywh", "crowd", "outlines")  # an entry an object


def without_unseen_objects(
    splits: Mapping[str, list[ImageRecord]],
    origins: Mapping[str, str],
    names: Collection[str],
    how: UnseenClasses,
    faults: list[Fault],
    warnings: list[str],
) -> None:
    """Takes them out of `splits`: a fault for each split that has some, or with "skip" a warning.

    Their images stay. `names` are the classes of train, `origins` say where a split is from. What
    has no class at all is for another check.
    """
    for split, images in splits.items():
        found: list[tuple[str, str]] = []
        for image in images:
            at = [i for i, ref in enumerate(image.class_refs) if ref and str(ref) not in names]
            found += [(str(image.class_refs[i]), image.ids[i]) for i in at]
            for field in PARALLEL if at else ():
                entries = getattr(image, field)
                setattr(image, field, [each for i, each in enumerate(entries) if i not in at])
        if not found:
            continue
        classes = sorted({name for name, _ in found})
        if how == "error":
            message = refusal(classes, names, len(found), "box", found[0][1])
            faults.append(Fault(origins[split], message))
        else:
            warnings.append(f"{origins[split]}: {left_out(classes, len(found), 'box')}")
