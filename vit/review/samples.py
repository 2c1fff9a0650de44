"""How many samples a number was measured on, as far as a run has recorded that."""

from __future__ import annotations

from collections.abc import Iterable

from vit.review.run import Run, inside
from vit.runs.shapes import is_whole

SPLITS = ("val", "test")


def measured_on(run: Run, metric: str) -> int | None:
    """Samples of the split that a metric is of, without those that could not be read.

    None where it is not known: of a training's running means, of runs that W&B alone has recorded,
    and where the trainer took a part of the split.
    """
    split = metric.partition("/")[0]
    if split not in SPLITS:
        return None
    trainer = inside(run.config, "trainer")
    if inside(trainer, f"limit_{split}_batches") not in (None, 1.0) or inside(
        trainer, "fast_dev_run"
    ):
        return None
    count = inside(run.stamp, "data", split, "images")
    left_out = inside(run.results, "left_out", split) or 0
    if not (is_whole(count) and is_whole(left_out)) or count <= left_out:
        return None
    return int(count - left_out)


def sizes(runs: Iterable[Run], metric: str) -> list[int]:
    """Each that some run has, ascending: one in most cases, none where nothing is known."""
    known = {measured_on(run, metric) for run in runs if run.state == "done"}
    return sorted(size for size in known if size is not None)


def unit_of(runs: Iterable[Run]) -> str:
    """What a sample is called: `image`, where no two runs disagree."""
    units = {unit for run in runs if isinstance(unit := run.results.get("unit"), str)}
    return units.pop() if len(units) == 1 else "sample"


def seeds_and_samples(seeds: int, samples: list[int], unit: str) -> str:
    """`5 seeds, 360 images`; without the samples where they are not known."""
    said = _many(str(seeds), "seed", seeds == 1)
    return f"{said}, {_many(span(samples), unit, samples == [1])}" if samples else said


def span(samples: list[int]) -> str:
    """`360`, or `196 to 360` where runs differ."""
    return " to ".join(f"{size:,}" for size in dict.fromkeys((samples[0], samples[-1])))


def _many(count: str, word: str, one: bool) -> str:
    return f"{count} {word}" if one else f"{count} {word}s"
