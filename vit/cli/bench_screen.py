"""What the benches found, as text for the screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vit.bench import average_precision, detectors, loop, models, sequences
    from vit.bench.measure import Ratio
    from vit.bench.side_by_side import Conditions

FIGURES = ("images/s", "texts/s", "of gemm", "ms a step")


def show_models(result: models.Result) -> None:
    print(
        f"ViT-{result.size.capitalize()}/16, batch {result.batch}, {result.precision}, "
        f"{'compiled' if result.compiled else 'eager'}, {_where(result)}"
        f"\nplain matrix products: {result.gemm_gflops:,.0f} GFLOP/s\n"
    )
    rows = []
    for row in result.rows:
        ratio = row.ours_is_faster
        rows.append(
            (
                row.work,
                f"{row.library} {row.version}",
                f"{row.images_per_second:,.1f}",
                f"{row.gemm_fraction:.2f}",
                _times(ratio) if ratio else "",
            )
        )
    _table(("work", "library", "images/s", "of gemm", "ours"), rows)
    print()
    for work in dict.fromkeys(row.work for row in result.rows):
        best = result.closest_peer(work)
        if best is not None and best.ours_is_faster is not None:
            print(
                f"{work}: ours runs at {best.ours_is_faster.median:.2f} times the speed of the "
                f"closest other, {best.library}"
            )
    for name, command in result.skipped.items():
        print(f"skipped {name}, which is not installed: {command}")


def show_detectors(result: detectors.Result) -> None:
    shape = result.shape
    print(
        f"ViT-{result.size.capitalize()}/{shape.patch_size} at {shape.image_size} pixels, "
        f"{shape.queries} queries, {shape.layers} layers, {shape.groups} groups in training, "
        f"{shape.objects} objects an image, batch {result.batch}, {result.precision}, "
        f"{_where(result)}\n"
    )
    rows = []
    for row in result.rows:
        ratio = row.ours_is_faster
        rows.append(
            (
                row.work,
                f"{row.library} {row.version}",
                f"{row.images_per_second:,.2f}",
                _times(ratio) if ratio else "",
            )
        )
    _table(("work", "library", "images/s", "ours"), rows)
    if result.losses_share is not None:
        share = result.losses_share.median
        print(f"\nmatching and losses take {100 * share:.1f} % of our step")
    for name, command in result.skipped.items():
        print(f"skipped {name}, which is not installed: {command}")


def show_ap(result: average_precision.Result) -> None:
    print(
        f"AP of {result.images:,} images x {result.detections} detections x {result.classes} "
        f"classes: {result.our_seconds:.2f} s, {_times(result.times_as_long)} as long as "
        f"faster-coco-eval alone ({result.alone_seconds:.2f} s)"
    )


def show_sequences(result: sequences.Result) -> None:
    shape, written = result.shape, result.generation
    print(
        f"{shape.layers} + {shape.layers} layers of {shape.dim}, {shape.heads} heads, hidden "
        f"{shape.hidden:,}, {shape.vocabulary:,} tokens known; {shape.source} tokens read and "
        f"{shape.target} written, batch {result.batch}, {result.precision}, {_where(result)}\n"
    )
    if result.rows:
        rows = [
            (
                row.work,
                f"{row.library} {row.version}",
                f"{row.texts_per_second:,.1f}",
                _times(row.ours_is_faster) if row.ours_is_faster else "",
            )
            for row in result.rows
        ]
        _table(("work", "library", "texts/s", "ours"), rows)
    if written is not None:
        print("" if not result.rows else "\n", end="")
        alike = "all" if written.same_tokens == 1 else f"{written.same_tokens:.1%}"
        print(
            f"writing {shape.written} tokens, {written.rounds} rounds: "
            f"{written.texts_per_second:,.2f} texts/s with keys and values kept, "
            f"{written.texts_per_second_without:,.2f} without, {_times(written.times_as_fast)} "
            f"as fast; {alike} of the tokens alike"
        )


def show_loop(result: loop.Result) -> None:
    print(
        f"one training step of a toy model on one CPU thread, {result.rounds} rounds of "
        f"{result.steps} steps\n"
    )
    rows = [
        (
            row.loop,
            f"{row.step_ms:.2f}",
            f"{row.over_bare.median:+.2f}  ({row.over_bare.low:+.2f} to {row.over_bare.high:+.2f})",
            f"{row.over_stock.median:+.2f}  "
            f"({row.over_stock.low:+.2f} to {row.over_stock.high:+.2f})",
        )
        for row in result.rows
    ]
    _table(("loop", "ms a step", "beyond bare PyTorch", "beyond Lightning"), rows)


def _where(result: Conditions) -> str:
    plural = "s" if result.threads > 1 else ""
    place = f"{result.threads} thread{plural}" if result.device == "cpu" else result.device
    return f"{result.rounds} rounds; torch {result.torch} on {result.machine}, {place}"


def _times(ratio: Ratio) -> str:
    return f"{ratio.median:.2f}×  ({ratio.low:.2f} to {ratio.high:.2f})"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """In plain columns, not cut to the width of the terminal: it is meant to be kept."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.rjust(width) if title in FIGURES else cell.ljust(width)
            for title, cell, width in zip(head, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())
