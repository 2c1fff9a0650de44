"""vit evaluate RUN_DIR: the selected checkpoint's numbers on a split, class by class."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path
from typing import Any

from vit.cli.compose import compose
from vit.faults import Fault, Refused, did_you_mean
from vit.runs import process
from vit.runs.counted import BEFORE, differing, way, ways
from vit.runs.directory import RunFolder
from vit.runs.environment import FromEnvironment
from vit.runs.left_out import left_out_summary
from vit.runs.trust import require_trusted, without_fetching

ABOUT = """Measure a trained run on its test split (val where it has none), or on other data.

  vit evaluate runs/digits-1a2b3c4d
  vit evaluate RUN_DIR --split val
  vit evaluate RUN_DIR data=folder data.root=other_photos     the same classes, other images
  vit evaluate RUN_DIR data.eval_batch_size=512 --json"""
MEANINGS = {
    "macro_f1": "F1, mean over the classes",
    "perplexity": "of a token: as if so many were equally likely, 1 is best",
    "token_accuracy": "of the next token, given the right ones before it",
    "exact_match": "texts written by itself that are right to the last token",
    "bleu": "BLEU by sacrebleu's defaults, 0 to 100; chrf: of characters",
    "rouge_1": "F1 of single words; rouge_2: of pairs; rouge_l: longest common sequence",
    "ece": "calibration error: confidence against accuracy, 0 is best",
    "overconfidence": "mean confidence minus accuracy, 0 is best, below 0 too modest",
    "ap": "precision, mean over recall, classes and overlaps (IoU) of 0.50 to 0.95",
    "ap50": "the same where an overlap of 0.50 is enough",
    "ap75": "of 0.75",
    "ap_small": "of objects below 32×32 pixels; medium: up to 96×96",
    "ar1": "recall with 1 answer an image; ar10, ar100: with so many",
}
COLUMNS = {
    "class_accuracy": "accuracy",
    "class_ap": "AP",
    "class_ap50": "AP50",
    "class_iou": "IoU",
    "class_pq": "PQ",
}
PERCENT = ("accuracy", "top5", "token_accuracy", "exact_match", "miou", "pq", *COLUMNS)
# COCO's twelve numbers, of boxes or masks.
COCOS = re.compile(r"(mask_)?a[pr](\d+|_small|_medium|_large)?")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit evaluate",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="data.key=value")
    parser.add_argument("--split", choices=["val", "test"])
    parser.add_argument("--checkpoint", default="best", help="best, last or a file")
    parser.add_argument("--device", default="auto", help="cpu, cuda, …; auto takes the GPU")
    parser.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_intermixed_args(argv)
    config = without_fetching(RunFolder(arguments.run_dir).config())
    allowed = require_trusted(config, arguments.allow_target)
    process.warm_up()
    data = changed_data(config, arguments.overrides, allowed)
    result = process.call(
        "vit.jobs.evaluation:evaluate",
        str(arguments.run_dir),
        data,
        arguments.split,
        arguments.checkpoint,
        arguments.device,
        allowed,
    )
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _show(result)
        _tell_other_ways(RunFolder(arguments.run_dir).results(), result)
    return 0


def changed_data(
    config: dict[str, Any], overrides: list[str], allowed: tuple[str, ...]
) -> dict[str, Any] | None:
    """The run's data with the overrides applied; another kind starts from its own config."""
    if not overrides:
        return None
    wrong = [word for word in overrides if word.lstrip("+~").split("=")[0].split(".")[0] != "data"]
    wrong = [word for word in wrong if not word.startswith("data/")]
    if wrong:
        raise Refused([Fault(word, "only data can differ here") for word in wrong])
    if any(word.startswith("data=") for word in overrides):
        return compose(overrides, allowed)["data"]
    unknown = [
        Fault(word, f"no such key.{did_you_mean(key, config['data'])}")
        for word in overrides
        if (key := word.removeprefix("data.").split("=")[0].split(".")[0]) not in config["data"]
    ]
    if unknown:
        raise Refused(unknown)
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    frozen = OmegaConf.create(_plain(config["data"]))
    OmegaConf.set_struct(frozen, True)
    try:
        change = OmegaConf.from_dotlist([word.removeprefix("data.") for word in overrides])
        OmegaConf.resolve(change)
        merged = OmegaConf.merge(frozen, change)
    except OmegaConfBaseException as error:
        raise Refused([Fault("data", str(error).splitlines()[0])]) from error
    # What the run's file has was resolved when it was frozen: a `${…}` in it is just text.
    plain = OmegaConf.to_container(merged, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): _named_again(value, config["data"].get(key)) for key, value in plain.items()}


def _plain(node: Any) -> Any:
    """The same with values from the environment as text: OmegaConf takes no other kind of it."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return str(node) if isinstance(node, FromEnvironment) else node


def _named_again(node: Any, before: Any) -> Any:
    """The reverse, where a value is still the one that it was."""
    if isinstance(node, dict) and isinstance(before, dict):
        return {key: _named_again(value, before.get(key)) for key, value in node.items()}
    if isinstance(node, list) and isinstance(before, list) and len(node) == len(before):
        return [_named_again(*pair) for pair in zip(node, before, strict=True)]
    return before if isinstance(before, FromEnvironment) and before == node else node


def _tell_other_ways(results: dict[str, Any], result: dict[str, Any]) -> None:
    before, now = ways(results.get("counted")), ways(result.get("counted"))
    if results and (other := differing(before, now, result["metrics"])):
        first = way(before, other[0]) or BEFORE
        print(f"in the run's own files {', '.join(other)} stand as they were counted then, {first}")


def _show(result: dict[str, Any]) -> None:
    from rich.text import Text

    from vit.cli.screen import plain_console
    from vit.console import PlainTable

    console = plain_console()
    unit = result["unit"]
    left_out = left_out_summary({result["split"]: result.get("left_out")}, unit)
    remark = f" (left out: {left_out})" if left_out else ""
    console.print(f"{result['images']:,} {result['split']} {unit}s{remark}", markup=False)
    for key, value in result["metrics"].items():
        name = key.split("/")[-1]
        share = math.isfinite(value) and (name in PERCENT or COCOS.fullmatch(name))
        shown = f"{value:.2%}" if share else f"{value:.4f}"
        meaning = f"   {MEANINGS[name]}" if name in MEANINGS else ""
        console.print(f"  {key:<22}{shown}{meaning}", markup=False)
    tables = result["tables"]
    if "classes" not in tables:
        return
    columns = {key: tables[key] for key in ("images", *COLUMNS) if key in tables}
    titles = {**COLUMNS, "images": f"{unit}s"}
    table = PlainTable()
    table.add_column("class")
    for key in columns:
        table.add_column(titles[key], justify="right")
    for name, *values in zip(tables["classes"], *columns.values(), strict=True):
        cells = [_cell(key, value) for key, value in zip(columns, values, strict=True)]
        table.add_row(Text(name), *cells)
    console.print(table)
    for true, guess, count in tables.get("most_confused", [])[:3]:
        samples = unit if count == 1 else f"{unit}s"
        console.print(f"{count} {samples} of class {true} taken for {guess}", markup=False)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if key in PERCENT else f"{value:,}"
