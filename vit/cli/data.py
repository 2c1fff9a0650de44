"""vit data: what a folder holds; or a picture of what the model would be shown, and the splits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vit.cli.compose import add_compose_arguments, compose_runs
from vit.cli.recognised import are_places, show_places
from vit.faults import Fault, Refused

if TYPE_CHECKING:
    from vit.data.core.samples import SampleData

ABOUT = """Say what a folder or file is, and by which words it is read; or draw what they give.

  vit data photos                    which layout it is, how sure that is, what is odd in it, and
                                     the commands that check it and train on it; reads names and
                                     heads of files alone
  vit data labels.csv                likewise of a table, an archive, a file of annotations
  vit data photos --json             for programs; exit code 2: nothing was recognised

With words of a config: augmented training images with their targets as a picture, or texts
printed, and the splits counted.

  vit data data=digits
  vit data experiment=cifar10 data/augment=randaugment --count 64 --out augmented.png
  vit data data=folder data.root=photos data.image_size=224 --split val"""
LARGEST_COUNT = 1024


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit data", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_compose_arguments(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: data-SPLIT.png")
    parser.add_argument(
        "--split", choices=("train", "val"), default="train", help="default: train (augmented)"
    )
    parser.add_argument("--count", type=int, default=32, help="number of samples, default: 32")
    parser.add_argument("--json", action="store_true", help="of a PATH: what it is, as JSON")
    arguments = parser.parse_intermixed_args(argv)
    if are_places(arguments.overrides):
        return show_places(arguments.overrides, arguments.json)
    out: Path = arguments.out or Path(f"data-{arguments.split}.png")
    faults = []
    if arguments.json:
        faults.append(Fault("--json", "is for a folder or file: vit data PATH --json"))
    if not 1 <= arguments.count <= LARGEST_COUNT:
        faults.append(Fault("--count", f"is {arguments.count}; wanted 1 to {LARGEST_COUNT}"))
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        faults.append(Fault("--out", f"is {out}; wanted a name that ends in .png"))
    if not out.absolute().parent.is_dir():
        faults.append(Fault("--out", f"there is no folder {out.absolute().parent}"))
    if faults:
        raise Refused(faults)
    data = _data(compose_runs(arguments)[0].config)

    from vit.data.kinds.text import TextData
    from vit.pictures.sheets import sample_sheet

    if isinstance(data, TextData):
        _show_splits(data)
        for line in data.sample_lines(arguments.split, arguments.count):
            print(line)
        return 0
    images: Any = data
    try:
        sample_sheet(images, arguments.split, arguments.count).save(out)
    except (ValueError, OSError) as error:
        raise Refused([Fault(str(out), str(error))]) from error
    _show_splits(data)
    print(out)
    return 0


def _data(config: dict[str, Any]) -> SampleData:
    """The data set of a config, or Refused with all that is wrong with it."""
    from vit.build import build_slot
    from vit.schema import slot_faults

    # Only this part is checked: looking at the others would import Lightning, for seconds.
    allowed, seed = config["allow_targets"], config["seed"]
    faults = slot_faults("data", config["data"], allowed)
    if not isinstance(seed, int):
        faults.append(Fault("seed", f"is {seed!r}; wanted a whole number"))
    if not faults:
        try:
            data = build_slot("data", config, allowed, seed=seed)
            faults = data.faults()
        except (ValueError, TypeError, ImportError, OSError) as error:
            faults = [Fault("data", str(error))]
    if faults:
        raise Refused(faults)
    return data


def _show_splits(data: SampleData) -> None:
    from vit.console import PlainTable

    facts = data.facts
    kind = "labels, several an image" if facts.multi_label else "classes"
    table = PlainTable(header_style="dim")
    of_classes = ["per class"] if facts.num_classes else []
    for heading in ("split", f"{data.unit}s", *of_classes, "from"):
        table.add_column(heading, justify="left" if heading in ("split", "from") else "right")
    for split, counts in data.describe().items():
        spans = [_span(list(counts["per_class"].values()))] if of_classes else []
        table.add_row(split, f"{counts['images']:,}", *spans, counts["from"])
    from vit.console import console as plain_console

    console = plain_console(markup=False)  # a folder may be called [red]
    console.print(table)
    summary = facts.summary()
    if "image_size" in summary:
        colour = "grey" if facts.channels == 1 else "RGB"
        height, width = facts.image_size
        unsorted = "texts" if "vocabulary" in summary else "no classes"
        what = f"{facts.num_classes} {kind}" if facts.num_classes else unsorted
        console.print(f"{what}, {height}×{width} pixels, {colour}")
    else:
        if facts.num_classes:
            del summary["max_target_tokens"]  # there are no texts to write
        else:
            del summary["num_classes"]
        console.print(", ".join(f"{key.replace('_', ' ')} {summary[key]:,}" for key in summary))
    for line in data.warnings():
        console.print(f"warning: {line}")


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
