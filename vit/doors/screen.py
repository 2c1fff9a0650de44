"""How the doors speak: rich on a terminal, plain text elsewhere, refusals on stderr."""

from __future__ import annotations

import sys
from typing import Any

from vit.faults import Refused

BARS = " ▁▂▃▄▅▆▇█"


def refuse(refused: Refused) -> int:
    """Prints every fault and returns the exit code 2."""
    count = len(refused.faults)
    head = "refused" if count == 1 else f"refused, {count} faults"
    print(f"{_red(head)}:", file=sys.stderr)
    for fault in refused.faults:
        print(f"  {fault}", file=sys.stderr)
    return 2


def _red(text: str) -> str:
    import os

    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return f"\033[31m{text}\033[0m" if coloured else text


def show_report(report: dict[str, Any]) -> None:
    """The check's table: what the run will be."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
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
    height, width = report["image_size"]
    splits = {name: told for name, told in report["data"].items() if isinstance(told, dict)}
    rows = [
        (
            "data",
            ", ".join(f"{told['images']:,} {name}" for name, told in splits.items())
            + f"; {report['num_classes']} classes, {height}×{width} px, "
            + f"{report['channels']} channel{'s' if report['channels'] > 1 else ''}",
        ),
        ("parameters", f"{report['parameters']:,}"),
        ("per image", f"{report['gflops_per_image']:.3g} GFLOPs forward"),
    ]
    if "tokens" in report:
        rows.append(("tokens", f"{report['tokens']}"))
    spread = (
        f" = {report['processes']} processes × {report['micro_batch_size']}"
        if report["micro_batch_size"] != report["batch_size"]
        else ""
    )
    schedule = report["schedule"]
    return [
        *rows,
        ("batch", f"{report['batch_size']} images{spread}"),
        ("epoch", f"{report['batches_per_epoch']} batches, {report['steps_per_epoch']} steps"),
        ("training", f"{report['steps']:,} steps"),
        ("lr", f"{plot(schedule['lr_of_points'])}  up to {max(schedule['lr_of_points']):.3g}"),
    ]


def plot(values: list[float]) -> str:
    """Values from 0 to their largest as one line of bars."""
    top = max(values) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)
