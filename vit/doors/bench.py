"""vit bench: our speed beside other libraries', measured in turns on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vit.faults import Fault, Refused, did_you_mean

if TYPE_CHECKING:
    from vit.bench import loop, models

ABOUT = """Compare speeds on this machine: models, the training loop, or both (no word).

  vit bench models                    ViT-Ti/16 of five libraries, forward and training step
  vit bench models --compile --step   the training step under torch.compile
  vit bench models --size s --device cuda --precision bf16 --batch 256
  vit bench loop                      what the training loop costs beyond bare PyTorch

All are measured in the same rounds of one process, so that what else the machine does slows them
alike, and compared round by round. The other libraries: pip install 'vit-experiments[bench]'."""
ABOUT_MODELS = """One vision transformer from each library: the same products on the same batch.

"of gemm" is the share of the rate of plain matrix products, measured in the same rounds; "ours"
how many times as fast our model is: the median, and where the middle 80 % of the rounds lie.
On a CPU with one thread the clock runs only while the process does."""
ABOUT_LOOP = """A toy model trained by a bare PyTorch loop, by Lightning without and with five
self.log a step, and by our task with five recorded metrics and the callbacks of `vit train`."""
SIZES = ("ti", "s", "b")
PRECISIONS = ("fp32", "bf16")
LIBRARIES = ("timm", "torchvision", "vit-pytorch", "transformers")


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.bench in ("models", None):
        _models(arguments)
    if arguments.bench in ("loop", None):
        _loop(arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="vit bench", description=ABOUT, formatter_class=raw)
    parser.set_defaults(size="ti", batch=8, rounds=None, threads=1, device="cpu")
    parser.set_defaults(precision="fp32", compile=False, works=None, against=LIBRARIES, json=False)
    benches = parser.add_subparsers(dest="bench", metavar="[models|loop]")
    models = benches.add_parser("models", description=ABOUT_MODELS, formatter_class=raw)
    models.add_argument("--size", choices=SIZES, default="ti", help="of the model, patch 16")
    models.add_argument("--batch", type=int, default=8, help="images in a batch (8)")
    models.add_argument("--rounds", type=int, help="times that each is measured (20)")
    models.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    models.add_argument("--device", default="cpu", help="cpu (the default), cuda or cuda:N")
    models.add_argument("--precision", choices=PRECISIONS, default="fp32", help="bf16: autocast")
    models.add_argument("--compile", action="store_true", help="torch.compile them all; minutes")
    only = models.add_mutually_exclusive_group()
    for work in ("forward", "step"):
        only.add_argument(
            f"--{work}", dest="works", action="store_const", const=(work,), help=f"the {work} alone"
        )
    models.add_argument(
        "--against", nargs="+", default=LIBRARIES, metavar="LIBRARY", help=", ".join(LIBRARIES)
    )
    loop = benches.add_parser("loop", description=ABOUT_LOOP, formatter_class=raw)
    loop.add_argument("--rounds", type=int, help="times that each is measured (15)")
    for bench in (models, loop):
        bench.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _models(arguments: argparse.Namespace) -> None:
    faults = [
        Fault(f"--{name}", f"is {getattr(arguments, name)}; wanted at least 1")
        for name in ("batch", "rounds", "threads")
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1
    ]
    faults += [
        Fault("--against", f"no library {name!r} here.{did_you_mean(name, LIBRARIES)}")
        for name in arguments.against
        if name not in LIBRARIES
    ]
    if faults:
        raise Refused(faults)
    from vit.bench.models import compare

    _require_device(arguments.device)
    result = compare(
        arguments.size,
        libraries=arguments.against,
        works=arguments.works or ("forward", "step"),
        batch=arguments.batch,
        rounds=arguments.rounds or 20,
        threads=arguments.threads,
        device=arguments.device,
        precision=arguments.precision,
        compiled=arguments.compile,
        tell=_tell,
    )
    if arguments.json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        _show_models(result)


def _require_device(device: str) -> None:
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise Refused([Fault("--device", f"is {device!r}; wanted cpu, cuda or cuda:N")])
    if kind == "cuda" and not torch.cuda.is_available():
        raise Refused([Fault("--device", "torch sees no GPU on this machine; take --device cpu")])
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise Refused([Fault("--device", f"is {device}; this machine has {count} GPUs, from 0")])


def _loop(arguments: argparse.Namespace) -> None:
    if arguments.rounds is not None and arguments.rounds < 1:
        raise Refused([Fault("--rounds", f"is {arguments.rounds}; wanted at least 1")])
    from vit.bench.loop import compare

    result = compare(rounds=arguments.rounds or 15, tell=_tell)
    if arguments.json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        _show_loop(result)


def _tell(line: str) -> None:
    """What is going on, for whoever waits; the result alone goes to stdout."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def _show_models(result: models.Result) -> None:
    _tell("")
    plural = "s" if result.threads > 1 else ""
    print(
        f"ViT-{result.size.capitalize()}/16, batch {result.batch}, {result.precision}, "
        f"{'compiled' if result.compiled else 'eager'}, {result.rounds} rounds; torch "
        f"{result.torch} on {result.machine}, "
        + (f"{result.threads} thread{plural}" if result.device == "cpu" else result.device)
        + f"\nplain matrix products: {result.gemm_gflops:,.0f} GFLOP/s\n"
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
                f"{ratio.median:.2f}×  ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "",
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


def _show_loop(result: loop.Result) -> None:
    _tell("")
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


FIGURES = ("images/s", "of gemm", "ms a step")
