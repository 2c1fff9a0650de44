"""How the commands speak: rich on a terminal, plain text elsewhere, refusals on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from vit.faults import Refused
from vit.runs.check_report import CheckReport, CostReport, RunReport, SplitReport, TrafficReport
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


def show_report(report: CheckReport) -> None:
    """The check's table: what the run will be."""
    from rich.text import Text

    from vit.console import PlainTable

    console = plain_console()
    table = PlainTable(show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, text in report_rows(report.sound):
        table.add_row(label, Text(text))  # paths and names may hold what rich takes for markup
    console.print(table)
    if report.sound.groups is not None:
        console.print(_groups(report.sound.groups))
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)


def _groups(rows: list[dict[str, Any]]) -> Any:
    """The optimizer's groups, from the embeddings (depth 0) to the head."""
    from vit.console import PlainTable

    table = PlainTable(title="optimizer groups", title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        cells = (f"{v:.3g}" if isinstance(v, float) else f"{v:,}" for v in row.values())
        table.add_row(*cells)
    return table


def _trained(cost: CostReport) -> str:
    """What `tuning` leaves to train; nothing where that is all."""
    if cost.trained is None:
        return ""
    return f", of which {cost.trained:,} ({cost.trained / cost.parameters:.2%}) are trained"


def report_rows(run: RunReport) -> list[tuple[str, str]]:
    training, cost, unit = run.training, run.cost, run.cost.unit
    splits = ", ".join(_amount(name, split) for name, split in run.data.splits.items())
    rows = [
        ("data", f"{splits}; {_kind(cost.facts)}"),
        *_objects(run.data.splits),
        *(run.settled or {}).items(),
        ("parameters", f"{cost.parameters:,}{_trained(cost)}"),
        *_init(run.init),
        (f"per {unit}", f"{cost.gflops_per_image:.3g} GFLOPs forward"),
    ]
    if cost.tokens is not None:
        rows.append(("tokens", f"{cost.tokens}"))
    spread = (
        f" = {training.processes} processes × {training.micro_batch_size}"
        if training.micro_batch_size != training.batch_size
        else ""
    )
    if run.memory is not None:
        parts = ", ".join(f"{scaled(n)}B {name}" for name, n in run.memory.to_plain().items() if n)
        each = " a process" if training.processes > 1 else ""
        rows.append(("memory", f"{parts.replace(' total', f' in all{each}')}"))
    if run.traffic is not None:
        rows += _between_processes(run.traffic, training.processes)
    if run.determinism is not None and run.determinism.summary:
        rows.append(("exactness", run.determinism.summary))
    rates = run.schedule.lr_of_points
    return [
        *rows,
        ("batch", f"{training.batch_size} {unit}s{spread}"),
        ("epoch", f"{training.batches_per_epoch} batches, {training.steps_per_epoch} steps"),
        ("training", f"{training.steps:,} steps"),
        ("lr", f"{plot(rates)}  up to {max(rates):.3g}"),
        *([("extended", run.extension)] if run.extension else []),
    ]


def _init(init: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The weights that it starts from, and what of them does not fit."""
    if init is None:
        return []
    return [("init", printable(f"{init['run']}, {init['checkpoint']}: {init['summary']}"))]


def _amount(name: str, split: SplitReport) -> str:
    """What a split holds, and whether nobody but us chose its samples."""
    origin = split.origin or ""
    aside = f" ({origin})" if origin.startswith("set aside") else ""
    return f"{split.images:,} {name}{aside}"


def _objects(splits: dict[str, SplitReport]) -> list[tuple[str, str]]:
    """Of pictures with objects: how many, and which are marked by what name."""
    if "objects" not in splits["train"].further:
        return []
    further = {name: split.further for name, split in splits.items()}
    counts = ", ".join(f"{of_split['objects']:,} {name}" for name, of_split in further.items())
    empty = sum(of_split["empty"] for of_split in further.values())
    most = max(of_split["most_objects"] for of_split in further.values())
    marked = splits["train"].per_class or {}
    names = [f"{name} {count:,}" for name, count in list(marked.items())[:NAMES_SHOWN]]
    more = [f"and {len(marked) - NAMES_SHOWN} more"] if len(marked) > NAMES_SHOWN else []
    return [
        ("objects", f"{counts}; up to {most} an image, {empty:,} images without"),
        ("of train", ", ".join([*names, *more])),
    ]


def _kind(facts: Mapping[str, Any]) -> str:
    """What the samples are, by AnyFacts.summary()."""
    classes = f"{facts['num_classes'] or 'no'} classes"
    if "max_tokens" in facts:
        known = f"a vocabulary of {facts['vocabulary']:,}"
        read = f"texts of up to {facts['max_tokens']} tokens from {known}"
        wrote = f"texts of up to {facts['max_target_tokens']}"
        return f"{read}, to {classes if facts['num_classes'] else wrote}"
    (height, width), channels = facts["image_size"], facts["channels"]
    if "vocabulary" in facts:
        classes = f"texts of up to {facts['max_target_tokens']} tokens"
    return f"{classes}, {height}×{width} px, {channels} channel{'s' if channels > 1 else ''}"


def _between_processes(traffic: TrafficReport, count: int) -> list[tuple[str, str]]:
    """What each process keeps of the weights, and what it sends in a step."""
    rows = []
    if traffic.units is not None and traffic.shard_bytes is not None:
        kept = f"{traffic.units} units gathered in turn; a process keeps 1/{count} of each"
        rows.append(("shards", f"{kept}, {scaled(traffic.shard_bytes)}B of weights"))
    collectives = {
        "all-reduce": traffic.all_reduce_bytes,
        "all-gather": traffic.all_gather_bytes,
        "reduce-scatter": traffic.reduce_scatter_bytes,
    }
    parts = [f"{scaled(size)}B {name}" for name, size in collectives.items() if size]
    sent = f"{scaled(traffic.sent_bytes)}B sent by each process in a step"
    return [*rows, ("traffic", f"{sent}: {', '.join(parts)}")]


def plot(values: list[float]) -> str:
    """Values from 0 to their largest as one line of bars."""
    top = max(values) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)


def show_suggestions(rows: list[dict[str, Any]], names: list[str]) -> None:
    """What the finders suggest for each shape, and the words that take it."""
    from rich.text import Text

    console = plain_console()
    for row in rows:
        unit = row["unit"]
        first, *others = (names[place] for place in row["places"])
        if first:
            more = f" and {len(others)} more of this shape" if others else ""
            console.print(Text(f"{first}{more}", style="bold"))
        if "lr_range" in row:
            line = "none found: the loss never fell"
            if row["lr"] is not None:
                low, high = row["lr_range"]
                line = (
                    f"optim.lr={row['lr']:.2g}  the loss falls fastest from {low:.1g} to {high:.1g}"
                )
            console.print(Text(f"  {line}"))
        if "throughput" in row:
            speeds = ", ".join(f"{size}: {speed:,.0f}" for size, speed in row["throughput"])
            console.print(
                Text(f"  {row['batch_size']} {unit}s at a time suffice; {unit}s/s at {speeds}")
            )
            if row["largest"] is not None:
                console.print(Text(f"  {row['largest']} is the most that fits the GPU"))
    if rows:
        console.print("suggestions; nothing was changed", style="dim")


def scaled(value: int | float) -> str:
    """`3.82k`, `1.25G`: three digits and a power of a thousand."""
    value = float(f"{value:.3g}")  # 999,999 is 1M, not 1e+03k
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{letter}"
    return f"{value:.3g}"
