"""How the commands speak: rich on a terminal, plain text elsewhere, refusals on stderr."""

from __future__ import annotations

import os
import sys
from typing import Any

from vit.faults import Refused
from vit.terminal import printable, steerable

NAMES_SHOWN = 12  # of classes
BARS = " ▁▂▃▄▅▆▇█"


def refuse(refused: Refused) -> int:
    """Prints every fault and returns the exit code 2."""
    count = len(refused.faults)
    head = "refused" if count == 1 else f"refused, {count} faults"
    print(f"{_red(head)}:", file=steerable(sys.stderr), flush=True)
    for fault in refused.faults:
        print(printable(f"  {fault}"), file=sys.stderr)
    if refused.hint:
        print(printable(refused.hint), file=sys.stderr)
    return 2


def _red(text: str) -> str:
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[31m{text}\033[0m" if coloured else text


def plain_console() -> Any:
    """No wrapping at 80 columns where there is no terminal whose width one could know."""
    from vit.console import console

    return console()


def show_report(report: dict[str, Any]) -> None:
    """The check's table: what the run will be."""
    from rich.table import Table

    console = plain_console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, text in report_rows(report):
        table.add_row(label, text)
    console.print(table)
    if "groups" in report:
        console.print(_groups(report["groups"]))
    for warning in report["warnings"]:
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _groups(rows: list[dict[str, Any]]) -> Any:
    """The optimizer's groups, from the embeddings (depth 0) to the head."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), title="optimizer groups", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        cells = (f"{v:.3g}" if isinstance(v, float) else f"{v:,}" for v in row.values())
        table.add_row(*cells)
    return table


def report_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    splits = {name: told for name, told in report["data"].items() if isinstance(told, dict)}
    unit = report.get("unit", "image")
    rows = [
        ("data", f"{', '.join(_amount(*split) for split in splits.items())}; {_kind(report)}"),
        *_objects(splits),
        ("parameters", f"{report['parameters']:,}"),
        (f"per {unit}", f"{report['gflops_per_image']:.3g} GFLOPs forward"),
    ]
    if "tokens" in report:
        rows.append(("tokens", f"{report['tokens']}"))
    spread = (
        f" = {report['processes']} processes × {report['micro_batch_size']}"
        if report["micro_batch_size"] != report["batch_size"]
        else ""
    )
    schedule = report["schedule"]
    if memory := report.get("memory"):
        parts = ", ".join(f"{scaled(n)}B {name}" for name, n in memory.items() if n)
        each = " a process" if report["processes"] > 1 else ""
        rows.append(("memory", f"{parts.replace(' total', f' in all{each}')}"))
    if told := report.get("communication"):
        rows += _between_processes(told, report["processes"])
    if said := report.get("deterministic"):
        rows.append(("exactness", said))
    return [
        *rows,
        ("batch", f"{report['batch_size']} {unit}s{spread}"),
        ("epoch", f"{report['batches_per_epoch']} batches, {report['steps_per_epoch']} steps"),
        ("training", f"{report['steps']:,} steps"),
        ("lr", f"{plot(schedule['lr_of_points'])}  up to {max(schedule['lr_of_points']):.3g}"),
    ]


def _amount(split: str, told: dict[str, Any]) -> str:
    """What a split holds, and whether nobody but us chose its samples."""
    origin = str(told.get("from", ""))
    aside = f" ({origin})" if origin.startswith("set aside") else ""
    return f"{told['images']:,} {split}{aside}"


def _objects(splits: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Of pictures with objects: how many, and which are marked by what name."""
    if "objects" not in splits["train"]:
        return []
    counts = ", ".join(f"{told['objects']:,} {name}" for name, told in splits.items())
    empty = sum(told["empty"] for told in splits.values())
    most = max(told["most_objects"] for told in splits.values())
    marked = splits["train"]["per_class"]
    names = [f"{name} {count:,}" for name, count in list(marked.items())[:NAMES_SHOWN]]
    more = [f"and {len(marked) - NAMES_SHOWN} more"] if len(marked) > NAMES_SHOWN else []
    return [
        ("objects", f"{counts}; up to {most} an image, {empty:,} images without"),
        ("of train", ", ".join([*names, *more])),
    ]


def _kind(report: dict[str, Any]) -> str:
    """What the samples are."""
    classes = f"{report['num_classes']} classes"
    if "max_tokens" in report:
        known = f"a vocabulary of {report['vocabulary']:,}"
        read = f"texts of up to {report['max_tokens']} tokens from {known}"
        wrote = f"texts of up to {report['max_target_tokens']}"
        return f"{read}, to {classes if report['num_classes'] else wrote}"
    (height, width), channels = report["image_size"], report["channels"]
    if "vocabulary" in report:
        classes = f"texts of up to {report['max_target_tokens']} tokens"
    return f"{classes}, {height}×{width} px, {channels} channel{'s' if channels > 1 else ''}"


def _between_processes(told: dict[str, Any], count: int) -> list[tuple[str, str]]:
    """What each process keeps of the weights, and what it sends in a step."""
    rows = []
    if "units" in told:
        kept = f"{told['units']} units gathered in turn; a process keeps 1/{count} of each"
        rows.append(("shards", f"{kept}, {scaled(told['shard_bytes'])}B of weights"))
    parts = [
        f"{scaled(told[f'{name}_bytes'])}B {name.replace('_', '-')}"
        for name in ("all_reduce", "all_gather", "reduce_scatter")
        if told[f"{name}_bytes"]
    ]
    sent = f"{scaled(told['sent_bytes'])}B sent by each process in a step"
    return [*rows, ("traffic", f"{sent}: {', '.join(parts)}")]


def plot(values: list[float]) -> str:
    """Values from 0 to their largest as one line of bars."""
    top = max(values) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)


def show_found(told: list[dict[str, Any]], names: list[str]) -> None:
    """What the finders suggest for each shape, and the words that take it."""
    from rich.text import Text

    console = plain_console()
    for row in told:
        unit = row["unit"]
        first, *others = (names[place] for place in row["places"])
        if first:
            more = f" and {len(others)} more of this shape" if others else ""
            console.print(Text(f"{first}{more}", style="bold"))
        if "lr_range" in row:
            said = "none found: the loss never fell"
            if row["lr"] is not None:
                low, high = row["lr_range"]
                said = (
                    f"optim.lr={row['lr']:.2g}  the loss falls fastest from {low:.1g} to {high:.1g}"
                )
            console.print(Text(f"  {said}"))
        if "throughput" in row:
            speeds = ", ".join(f"{size}: {speed:,.0f}" for size, speed in row["throughput"])
            console.print(
                Text(f"  {row['batch_size']} {unit}s at a time suffice; {unit}s/s at {speeds}")
            )
            if row["largest"] is not None:
                console.print(Text(f"  {row['largest']} is the most that fits the GPU"))
    if told:
        console.print("suggestions; nothing was changed", style="dim")


def scaled(value: int | float) -> str:
    """`3.82k`, `1.25G`: three digits and a power of a thousand."""
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{letter}"
    return f"{value:.3g}"
