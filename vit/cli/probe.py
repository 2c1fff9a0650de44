"""vit probe RUN_DIR|WEIGHTS data=…: kNN, linear and logistic readers on frozen features."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vit.cli.frozen_words import add_arguments, asked_of, several
from vit.faults import Fault, Refused, did_you_mean
from vit.runs import process

ABOUT = """What a frozen backbone is worth: three readers of its features, measured on val and test.

  vit probe RUN_DIR                              the run's own data
  vit probe RUN_DIR data=folder data.root=photos other data, with classes of their own
  vit probe timm:vit_small_patch14_dinov2.lvd142m data=folder data.root=photos
  vit probe file:weights/model.safetensors data=digits data.image_size=28 --json
  vit probe RUN_DIR --probes knn --neighbours 20
  vit probe RUN_DIR --blocks 1,4 --rates 0.001,0.01,0.1 --held-out 0.2

  knn       the nearest training images vote, weighed by exp(cosine / 0.07)
  linear    a linear classifier: learning rates × last blocks × pools, trained side by side
  logistic  logistic regression with an L2 penalty, over a grid of C

The choice among k, rates and C is made on a stratified part of train that is held out; what was
chosen learns from all of train and is measured once on the splits that are shown. Images are
prepared as for evaluation, at the run's or the weights' own size. Figures go into RUN_DIR/probes/,
of weights into ./probes/; features are kept in ~/.cache/vit/features, by a hash of weights,
transform and data."""
READERS = ("knn", "linear", "logistic")
TITLES = {"neighbours": "k", "rate": "rate", "pool": "pool", "blocks": "blocks", "C": "C"}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit probe", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--probes", default=",".join(READERS), help="knn,linear,logistic")
    parser.add_argument("--neighbours", metavar="K,…", help="10,20,100,200")
    parser.add_argument("--temperature", type=float, default=0.07, help="of kNN's votes (0.07)")
    parser.add_argument("--rates", metavar="RATE,…", help="for batches of 256; 1e-5 to 1")
    parser.add_argument("--blocks", metavar="N,…", help="of how many last blocks; 1,4")
    parser.add_argument("--strengths", metavar="C,…", help="of the regression; 1e-6 to 1e5")
    parser.add_argument("--held-out", type=float, default=0.1, help="share of train to choose by")
    parser.add_argument("--seed", type=int, default=0, help="of that part and of the start")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the figures")
    arguments = parser.parse_intermixed_args(argv)
    settings = _settings(arguments)
    asked = asked_of(arguments)
    if arguments.out is not None and arguments.out.exists() and not arguments.out.is_dir():
        raise Refused([Fault("--out", f"{arguments.out} is no folder")])
    process.warm_up()
    out = None if arguments.out is None else str(arguments.out)
    result = process.call("vit.jobs.probing:run_probes", asked, settings, arguments.split, out)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _show(result)
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Fields of `vit.probes.probing.Grid`; None where the command names none. Raises Refused."""
    readers = tuple(dict.fromkeys(arguments.probes.split(",")))
    for reader in readers:
        if reader not in READERS:
            wanted = f"wanted some of {', '.join(READERS)}.{did_you_mean(reader, READERS)}"
            raise Refused([Fault("--probes", f"names {reader!r}; {wanted}")])
    if not 0 < arguments.temperature < float("inf"):
        raise Refused([Fault("--temperature", f"is {arguments.temperature}; wanted above 0")])
    if not 0 < arguments.held_out < 1:
        message = (
            f"is {arguments.held_out}; wanted a share between 0 and 1: the choice is made on it"
        )
        raise Refused([Fault("--held-out", message)])
    if arguments.seed < 0:
        raise Refused([Fault("--seed", f"is {arguments.seed}; wanted 0 or more")])
    whole = "whole numbers from 1 on, as in 10,20"
    above = "numbers above 0, as in 0.01,0.1"
    return {
        "readers": readers,
        "neighbours": several(arguments.neighbours, "--neighbours", int, whole),
        "temperature": arguments.temperature,
        "rates": several(arguments.rates, "--rates", float, above),
        "blocks": several(arguments.blocks, "--blocks", int, whole),
        "strengths": several(arguments.strengths, "--strengths", float, above),
        "pool": arguments.pool,
        "held_out": arguments.held_out,
        "seed": arguments.seed,
    }


def _show(result: dict[str, Any]) -> None:
    from vit.cli.screen import plain_console
    from vit.console import PlainTable

    console = plain_console()
    for split, own in result["features"].items():
        how = "from the cache" if own["cached"] else f"{own['seconds']:.1f} s"
        console.print(f"features of {own['samples']:,} {split} images: {how}", markup=False)
    table = PlainTable()
    table.add_column("probe")
    table.add_column("chosen")
    table.add_column("held out", justify="right")
    for split in result["reported"]:
        table.add_column(split, justify="right")
    table.add_column(f"log loss, {[*result['reported']][-1]}", justify="right")
    table.add_column("seconds", justify="right")
    for each in result["probes"]:
        chosen = ", ".join(
            f"{TITLES[key]} {_short(value)}" for key, value in each["chosen"].items()
        )
        figures = [f"{own['accuracy']:.2%}" for own in each["splits"].values()]
        losses = [own["log_loss"] for own in each["splits"].values() if "log_loss" in own]
        loss = f"{losses[-1]:.4f}" if losses else "–"
        seconds = f"{each['seconds']:.1f}"
        held_out = f"{each['held_out_accuracy']:.2%}"
        table.add_row(each["reader"], chosen, held_out, *figures, loss, seconds)
    console.print(table)
    for reader, names in result["at_the_edge"].items():
        which = " and ".join(TITLES[name] for name in names)
        console.print(f"{reader}: {which} at the edge of what was tried", markup=False)
    for remark in result["remarks"]:
        console.print(remark, markup=False)
    if "file" in result:
        console.print(f"written: {result['file']}", markup=False)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
