"""vit bench: our speed beside other libraries', measured in turns on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from vit.cli.bench_screen import (
    show_ap,
    show_detectors,
    show_loop,
    show_models,
    show_sequences,
)
from vit.faults import Fault, Refused, did_you_mean
from vit.terminal import printable, steerable

ABOUT = """Compare speeds on this machine: models and the training loop (no word), or one of these.

  vit bench models                    ViT-Ti/16 of five libraries, forward and training step
  vit bench models --compile --step   the training step under torch.compile
  vit bench models --size s --device cuda --precision bf16 --batch 256
  vit bench detectors                 our detector against RF-DETR, and AP; some minutes
  vit bench sequences                 our encoder–decoder against nn.Transformer, and writing
  vit bench loop                      what the training loop costs beyond bare PyTorch

All are measured in the same rounds of one process, so that what else the machine does slows them
alike, and compared round by round. The other libraries: pip install 'vit-experiments[bench]'."""
ABOUT_MODELS = """One vision transformer from each library: the same products on the same batch.

"of gemm" is the share of the rate of plain matrix products, measured in the same rounds; "ours"
how many times as fast our model is: the median, and where the middle 80 % of the rounds lie.
On a CPU with one thread the clock runs only while the process does."""
ABOUT_DETECTORS = """Our detector with head=deformable against RF-DETR of transformers: the same
sizes, images and objects. A forward pass has one group of queries, a training step all of them.

"ours" is how many times as fast our model is: the median, and where the middle 80 % of the rounds
lie. Then: how much of our training step matching and losses take, and how many times as long as
faster-coco-eval alone our AP takes. On a CPU with one thread the clock runs only while the
process does."""
ABOUT_SEQUENCES = """Our encoder–decoder against torch.nn.Transformer with embeddings, sinusoidal
positions and a projection tied to the embeddings: the same sizes, texts, masks of padding and
dropout; both normalise first. --size: ti has 2 + 2 layers of 128, s 3 + 3 of 256, b is the base
of "Attention is all you need", 6 + 6 of 512 with 37,000 tokens (minutes on a CPU).

"ours" is how many times as fast our model is: the median, and where the middle 80 % of the rounds
lie. Then: our model writes 128 tokens greedily, with the keys and values of earlier tokens kept
and with all computed again for each token, and how many tokens come out alike. On a CPU with one
thread the clock runs only while the process does.

  vit bench sequences
  vit bench sequences --generate --batch 1 --rounds 10
  vit bench sequences --size b --step --device cuda --precision bf16 --batch 64"""
ABOUT_LOOP = """A toy model trained by a bare PyTorch loop, by Lightning without and with five
self.log a step, and by our task with five recorded metrics and the callbacks of `vit train`."""
SIZES = ("ti", "s", "b")
PRECISIONS = ("fp32", "bf16")
LIBRARIES = ("timm", "torchvision", "vit-pytorch", "transformers")


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.bench in ("models", None):
        _models(arguments)
    if arguments.bench == "detectors":
        _detectors(arguments)
    if arguments.bench == "sequences":
        _sequences(arguments)
    if arguments.bench in ("loop", None):
        _loop(arguments)
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="vit bench", description=ABOUT, formatter_class=raw)
    parser.set_defaults(size="ti", batch=8, rounds=None, threads=1, device="cpu")
    parser.set_defaults(precision="fp32", compile=False, works=None, against=LIBRARIES, json=False)
    benches = parser.add_subparsers(dest="bench", metavar="[models|detectors|sequences|loop]")
    models = benches.add_parser("models", description=ABOUT_MODELS, formatter_class=raw)
    _add_conditions(models, size="ti", batch=8, rounds=20)
    models.add_argument("--compile", action="store_true", help="torch.compile them all; minutes")
    _add_works(models, "forward", "step")
    models.add_argument(
        "--against", nargs="+", default=LIBRARIES, metavar="LIBRARY", help=", ".join(LIBRARIES)
    )
    detectors = benches.add_parser("detectors", description=ABOUT_DETECTORS, formatter_class=raw)
    _add_conditions(detectors, size="s", batch=2, rounds=10)
    detectors.add_argument("--groups", type=int, default=13, help="of queries, in training (13)")
    _add_works(detectors, "forward", "step", "ap")
    sequences = benches.add_parser("sequences", description=ABOUT_SEQUENCES, formatter_class=raw)
    _add_conditions(
        sequences, size="s", of="the transformer", batch=8, samples="texts", rounds="20, 3 to write"
    )
    _add_works(sequences, "forward", "step", "generate")
    loop = benches.add_parser("loop", description=ABOUT_LOOP, formatter_class=raw)
    loop.add_argument("--rounds", type=int, help="times that each is measured (15)")
    for bench in (models, detectors, sequences, loop):
        bench.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _add_conditions(
    bench: argparse.ArgumentParser,
    *,
    size: str,
    batch: int,
    rounds: int | str,
    of: str = "the backbone, patch 16",
    samples: str = "images",
) -> None:
    bench.add_argument("--size", choices=SIZES, default=size, help=f"of {of} ({size})")
    bench.add_argument("--batch", type=int, default=batch, help=f"{samples} in a batch ({batch})")
    bench.add_argument("--rounds", type=int, help=f"times that each is measured ({rounds})")
    bench.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    bench.add_argument("--device", default="cpu", help="cpu (the default), cuda or cuda:N")
    bench.add_argument("--precision", choices=PRECISIONS, default="fp32", help="bf16: autocast")


def _add_works(bench: argparse.ArgumentParser, *works: str) -> None:
    only = bench.add_mutually_exclusive_group()
    for work in works:
        only.add_argument(
            f"--{work}", dest="works", action="store_const", const=(work,), help=f"the {work} alone"
        )


def _too_small(arguments: argparse.Namespace, *names: str) -> list[Fault]:
    return [
        Fault(f"--{name}", f"is {getattr(arguments, name)}; wanted at least 1")
        for name in names
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1
    ]


def _conditions(arguments: argparse.Namespace, rounds: int) -> dict[str, Any]:
    """What every bench of models is given; refuses a device that is not there."""
    _require_device(arguments.device)
    return {
        "batch": arguments.batch,
        "rounds": arguments.rounds or rounds,
        "threads": arguments.threads,
        "device": arguments.device,
        "precision": arguments.precision,
        "tell": _tell,
    }


def _models(arguments: argparse.Namespace) -> None:
    faults = _too_small(arguments, "batch", "rounds", "threads")
    faults += [
        Fault("--against", f"no library {name!r} here.{did_you_mean(name, LIBRARIES)}")
        for name in arguments.against
        if name not in LIBRARIES
    ]
    if faults:
        raise Refused(faults)
    from vit.bench.models import compare

    result = compare(
        arguments.size,
        libraries=arguments.against,
        works=arguments.works or ("forward", "step"),
        compiled=arguments.compile,
        **_conditions(arguments, 20),
    )
    if arguments.json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        _tell("")
        show_models(result)


def _detectors(arguments: argparse.Namespace) -> None:
    faults = _too_small(arguments, "batch", "rounds", "threads", "groups")
    if faults:
        raise Refused(faults)
    from vit.bench import average_precision, detectors

    works = arguments.works or ("forward", "step", "ap")
    models = [work for work in works if work != "ap"]
    report: dict[str, Any] = {"schema_version": 1, "bench": "detectors"}
    result = ap = None
    conditions = _conditions(arguments, 10)
    if models:
        result = detectors.compare(
            arguments.size, works=models, groups=arguments.groups, **conditions
        )
        report |= result.as_json()
    if "ap" in works:
        ap = average_precision.compare(rounds=arguments.rounds or 5, tell=_tell)
        report["ap"] = ap.as_json()
    if arguments.json:
        print(json.dumps(report, indent=1))
        return
    _tell("")
    if result is not None:
        show_detectors(result)
    if ap is not None:
        show_ap(ap)


def _sequences(arguments: argparse.Namespace) -> None:
    if faults := _too_small(arguments, "batch", "rounds", "threads"):
        raise Refused(faults)
    from vit.bench.sequences import compare

    result = compare(
        arguments.size,
        works=arguments.works or ("forward", "step", "generate"),
        generation_rounds=arguments.rounds or 3,
        **_conditions(arguments, 20),
    )
    if arguments.json:
        print(json.dumps(result.as_json(), indent=1))
    else:
        _tell("")
        show_sequences(result)


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
        _tell("")
        show_loop(result)


def _tell(line: str) -> None:
    """What is going on, for whoever waits; the result alone goes to stdout."""
    if sys.stderr.isatty():
        print(f"\r\033[K{printable(line)}", end="", file=steerable(sys.stderr), flush=True)
