"""vit features RUN_DIR|WEIGHTS data=…: a frozen backbone's vectors of a data set, as a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vit.cli.frozen_words import add_arguments, asked_of, several
from vit.faults import Fault, Refused
from vit.probes.places import require_file
from vit.runs import process

ABOUT = """Write what a frozen backbone makes of a data set's images, for other tools.

  vit features RUN_DIR                               of the run's own data, all splits
  vit features RUN_DIR --split test --out test.npz   NumPy's form, by the ending
  vit features RUN_DIR data=folder data.root=photos
  vit features timm:vit_small_patch14_dinov2.lvd142m data=folder data.root=photos
  vit features file:weights/model.safetensors data=folder data.root=photos --pool cls --blocks 4

Images are prepared as for evaluation, not augmented, at the size, mean and std of the run or the
weights; data.image_size=… says otherwise. A vector is what the run's head would pool; of weights
the class token, or without one the mean of the patches. --pool and --blocks choose: cls, mean,
cls+mean (as linear probes read them), head.

The file is features.safetensors, in RUN_DIR or here, or what --out names; .npz is NumPy's. It holds
train_features, train_labels, train_index and train_ids, and so on for each split: the samples'
places and names. Vectors are kept in ~/.cache/vit/features, so that the next command is quick."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit features",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument("--blocks", default="1", help="join those of the last blocks; 1")
    parser.add_argument("--out", type=Path, metavar="FILE", help="ends in .safetensors or .npz")
    arguments = parser.parse_intermixed_args(argv)
    blocks = several(arguments.blocks, "--blocks", int, "a whole number from 1 on") or (1,)
    if len(blocks) > 1:
        raise Refused([Fault("--blocks", f"is {arguments.blocks}; wanted one number here")])
    asked = asked_of(arguments)
    out = arguments.out or _usual_file(arguments.source)
    require_file(out)  # before anything is imported that takes seconds
    process.warm_up()
    splits = [arguments.split] if arguments.split else []
    given = asked, splits, arguments.pool, blocks[0], str(out)
    result = process.call("vit.jobs.probing:write_features", *given)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _show(result)
    return 0


def _usual_file(source: str) -> Path:
    return (Path(source) if Path(source).is_dir() else Path()) / "features.safetensors"


def _show(result: dict[str, Any]) -> None:
    for remark in result["remarks"]:
        print(remark)
    for split, own in result["splits"].items():
        how = "from the cache" if own["cached"] else f"{own['seconds']:.1f} s"
        print(f"  {split:<6}{own['samples']:,} images  {how}")
    joined = f"{result['pool']} of {result['blocks']} block{'s' if result['blocks'] > 1 else ''}"
    print(
        f"{result['file']}  {result['dim']} numbers an image ({joined}), "
        f"{result['bytes'] / 1e6:.1f} MB"
    )
