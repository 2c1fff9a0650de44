"""vit export RUN_DIR: the run's weights as a safetensors file."""

from __future__ import annotations

import argparse
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.trust import require_trusted
from vit.runs.writing import require_place

ABOUT = """Write a trained run's weights as one safetensors file: no pickle, no optimizer.

  vit export RUN_DIR                      RUN_DIR/model.safetensors, of the best state
  vit export RUN_DIR --checkpoint last --out a.safetensors
  vit export RUN_DIR --no-ema             the weights that were trained, not their average
  vit export RUN_DIR --timm               a timm backbone by timm's names, without the head
  vit export RUN_DIR --adapters           of tuning=lora the adapters and the head alone
  vit export RUN_DIR --as timm            RUN_DIR/timm, with a linear head where it has one:
                                          timm.create_model("local-dir:…/timm", pretrained=True)
  vit export RUN_DIR --as hf              RUN_DIR/hf, for transformers' AutoModel.from_pretrained

The header holds the class names, image size, mean, std and the run's config, as JSON. A run of
backbone=timm starts from such a file with backbone.checkpoint=FILE, whichever names it has."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit export", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="ends in .safetensors; of --as a folder"
    )
    parser.add_argument(
        "--as", dest="library", choices=("timm", "hf"), help="a folder that this library loads"
    )
    parser.add_argument("--checkpoint", default="best", help="best, last or a file; default: best")
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="averaged weights or trained ones; default: the average where the run has one",
    )
    parser.add_argument("--timm", action="store_true", help="the backbone alone, by timm's names")
    parser.add_argument(
        "--adapters", action="store_true", help="what tuning=lora trained, not what it left frozen"
    )
    parser.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
    arguments = parser.parse_args(argv)
    allowed = require_trusted(RunFolder(arguments.run_dir).config(), arguments.allow_target)
    if arguments.library:
        return _for_library(arguments, allowed)
    out: Path = arguments.out or arguments.run_dir / "model.safetensors"
    require_place(out, (".safetensors",))
    if arguments.adapters and arguments.timm:
        raise Refused([Fault("--adapters", "and --timm exclude one another; leave one out")])
    process.warm_up()
    result = process.call(
        "vit.jobs.export:export",
        str(arguments.run_dir),
        str(out),
        arguments.checkpoint,
        arguments.ema,
        arguments.timm,
        arguments.adapters,
        allowed,
    )
    kind = "averaged weights" if result["averaged"] else "weights as trained"
    size = f"{result['parameters']:,} parameters, {result['bytes'] / 1e6:.1f} MB"
    print(f"{result['file']}  {size}, {kind}, step {result['step']}")
    return 0


def _for_library(arguments: argparse.Namespace, allowed: tuple[str, ...]) -> int:
    out: Path = arguments.out or arguments.run_dir / arguments.library
    together = [name for name in ("ema", "timm", "adapters") if getattr(arguments, name)]
    if together or arguments.ema is False:
        named = f"--{(together or ['no-ema'])[0]}"
        raise Refused([Fault(named, "does not go with --as; leave one of them out")])
    if out.is_symlink() or (out.exists() and not (out.is_dir() and _is_ours(out))):
        message = f"{out} is there already and no folder of such an export; name another by --out"
        raise Refused([Fault("--out", message)])
    require_place(out)
    process.warm_up()
    words = (str(arguments.run_dir), str(out), arguments.checkpoint, arguments.library, allowed)
    said = process.call("vit.jobs.publishing:publish", *words)
    print(f"{out}  {said}")
    return 0


def _is_ours(folder: Path) -> bool:
    names = {each.name for each in folder.iterdir()}
    return names <= {"config.json", "model.safetensors", "preprocessor_config.json"}
