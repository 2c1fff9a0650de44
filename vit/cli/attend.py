"""vit attend RUN_DIR IMAGE…: what a trained run looks at, as pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from vit.cli.predict import image_files, require_folder
from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.trust import require_trusted

ABOUT = """What a trained run looks at, and whether the maps can be believed.

  vit attend RUN_DIR photo.jpg folder/
  vit attend RUN_DIR photo.jpg --class cat --layers=0,-1
  vit attend RUN_DIR --text "forty two"

A sheet for each image: attention of every layer and head, as far as the answer is read from it;
attention rollout; gradient-weighted relevance; the patches' features as colours that mean the same
in all images given. Of a detector also what each detection looked at. Deletion and insertion curves
say whether a map names what the answer came from: a deletion lower and an insertion higher than
those of a random order of the patches, and of one from the centre outwards. All in RUN_DIR/attend
or where --out says: open attend.html; vit report shows the pictures of runs that have them."""
HOW_TO_READ = (
    "areas below the curves of the class's probability: a map that names what the answer came from "
    "has a lower deletion and a higher insertion than random and centre"
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit attend",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="files, folders or globs")
    parser.add_argument("--text", action="append", default=[], help="of a run that reads texts")
    parser.add_argument("--out", type=Path, help="folder for all files; RUN_DIR/attend")
    parser.add_argument("--json", action="store_true", help="print attend.json: maps and areas")
    parser.add_argument("--checkpoint", default="best", help="best, last or a file")
    parser.add_argument("--layers", default="", help="which to draw, as 0,5,-1; all")
    parser.add_argument("--class", dest="class_name", help="asked about; else the likeliest")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="lowest score of a detection (0.3)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.threshold <= 1:
        raise Refused([Fault("--threshold", f"is {arguments.threshold}; wanted 0 to 1")])
    if bool(arguments.text) == bool(arguments.images):
        raise Refused([Fault("IMAGE", "wanted images, or --text of a run that reads texts")])
    layers = _numbers(arguments.layers)
    allowed = require_trusted(RunFolder(arguments.run_dir).config(), arguments.allow_target)
    paths = [str(path) for path in image_files(arguments.images)]
    out = require_folder(arguments.out, arguments.run_dir, "attend")
    process.warm_up()
    of_texts = bool(arguments.text)
    threshold = () if of_texts else (arguments.threshold,)
    result = process.call(
        "vit.explain.texts:attend_texts" if of_texts else "vit.explain.attend:attend",
        str(arguments.run_dir),
        arguments.text if of_texts else paths,
        arguments.checkpoint,
        arguments.device,
        allowed,
        str(out),
        layers,
        arguments.class_name,
        *threshold,
    )
    if arguments.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        _show(result, arguments.threshold)
    return 0


def _numbers(words: str) -> list[int]:
    try:
        return [int(word) for word in words.split(",") if word.strip()]
    except ValueError:
        message = f"is {words!r}; wanted numbers of blocks, as --layers=0,5,-1"
        raise Refused([Fault("--layers", message)]) from None


def _show(result: dict[str, Any], threshold: float) -> None:
    for row in result.get("texts", []):
        print(f"{row['input']}  →  {row.get('text', row.get('class'))}")
    warned = False
    for row in result.get("images", []):
        if "objects" in row:
            count = len(row["objects"])
            few = f" that score {threshold:g} or more (--threshold)" if not count else ""
            print(f"{row['path']}: {count} object{'s'[: count != 1]}{few}")
            continue
        if "class" not in row:
            print(f"{row['path']}: attention and features; of classes of pixels there is no more")
            continue
        print(f"{row['path']}: {row['class']} {row['probability']:.1%}")
        for name, own in row["faithfulness"].items():
            areas = f"deletion {own['deletion_area']:.3f}, insertion {own['insertion_area']:.3f}"
            print(f"  {name:<12} {areas}")
        warned = True
    if warned:
        print(HOW_TO_READ)
    print(f"drawn in {result['page']}")
