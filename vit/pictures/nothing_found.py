"""What to say where a detector's threshold hides every object: the highest score, what to try."""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, Decimal


def nothing_found(
    hidden: int, count: int, highest: float | None, threshold: float, option: str
) -> str:
    """Of `count` images `hidden` have no object that scores `threshold`; `highest` of theirs.

    `option` is how the threshold is written, such as `--threshold ` or `threshold=`.
    """
    some = "in the image" if count == 1 else f"in {hidden} of {count} images"
    start = f"nothing above {threshold:g} {some}"
    if highest is None:
        return f"{start}; the model gave no object there at all"
    # Rounded down, or what has that score would still be left out.
    lower = Decimal(repr(highest)).normalize(Context(prec=1, rounding=ROUND_DOWN))
    return f"{start}; the highest score there is {highest:.2g}: {option}{float(lower):g}"
