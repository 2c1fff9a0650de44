"""vit predict RUN_DIR IMAGE…: the classes of images, from files, folders or globs."""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.pictures.nothing_found import nothing_found
from vit.runs import process
from vit.runs.directory import RunFolder
from vit.runs.links import kind_of_path, refuse_links
from vit.runs.trust import require_trusted

ABOUT = """What a trained run says of images, sounds or texts.

  vit predict RUN_DIR photo.jpg
  vit predict RUN_DIR folder/ 'more/*.png'
  vit predict RUN_DIR folder/ --json > classes.json
  vit predict RUN_DIR word.wav
  vit predict RUN_DIR --split test           samples of the run's own, as in its splits.json
  vit predict RUN_DIR --text "forty two" --text "seven"
  vit predict RUN_DIR --file texts.txt                 a text a line; .tsv, .jsonl and .gz too
  vit predict RUN_DIR folder/ --features     the backbone's vectors, too

A detector's answers are drawn too: pictures, and results.json as COCO's tools read it, in
RUN_DIR/predictions or where --out says, as features.safetensors is. Photos are turned upright as
their EXIF says; boxes and pictures are of the upright image."""
VECTORS = "features.safetensors"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vit predict",
        description=ABOUT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="files (.wav of a run on sounds), folders or globs",
    )
    parser.add_argument("--text", action="append", default=[], help="of a run that reads texts")
    parser.add_argument("--file", type=Path, help="texts: .txt a line each, .tsv, .jsonl; .gz too")
    parser.add_argument("--split", help="the samples of the run's own train, val or test")
    parser.add_argument("--top", type=int, default=3, help="classes to show for each image")
    parser.add_argument("--checkpoint", default="best", help="best, last or a file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--allow-target", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--skip-bad", action="store_true", help="leave out what is no image")
    parser.add_argument("--json", action="store_true", help="print JSON, all classes")
    parser.add_argument("--features", action="store_true", help="write the backbone's vectors, too")
    parser.add_argument("--out", type=Path, help="folder for pictures; RUN_DIR/predictions")
    parser.add_argument(
        "--threshold", type=float, default=0.3, help="lowest score of an object to show (0.3)"
    )
    arguments = parser.parse_args(argv)
    if arguments.top < 1:
        raise Refused([Fault("--top", f"is {arguments.top}; wanted at least 1")])
    if not 0 <= arguments.threshold <= 1:
        raise Refused([Fault("--threshold", f"is {arguments.threshold}; wanted 0 to 1")])
    of_text = bool(arguments.text or arguments.file)
    if of_text + bool(arguments.images) + (arguments.split is not None) != 1:
        wanted = "wanted images, or --text or --file of a run on texts, or --split"
        raise Refused([Fault("IMAGE", wanted)])
    config = RunFolder(arguments.run_dir).config()
    allowed = require_trusted(config, arguments.allow_target)
    if arguments.file:
        arguments.text += _texts_in(arguments.file, config["data"])
    paths = image_files(arguments.images)
    out = require_folder(arguments.out, arguments.run_dir, "predictions")
    vectors = str(out / VECTORS) if arguments.features else None
    process.warm_up()
    if of_text:
        asked = str(arguments.run_dir), arguments.text, arguments.checkpoint, arguments.device
        return _show_texts(
            process.call("vit.jobs.prediction:predict_texts", *asked, allowed, vectors), arguments
        )
    function = "vit.jobs.prediction:predict"
    given: Any = [str(path) for path in paths]
    last: tuple[Any, ...] = (None, vectors)  # images are opened as the run's data open them
    if arguments.split is not None:
        function, given = "vit.jobs.split_prediction:predict_split", arguments.split
        last = (vectors,)
    result = process.call(
        function,
        str(arguments.run_dir),
        given,
        arguments.checkpoint,
        arguments.device,
        allowed,
        arguments.skip_bad,
        str(out),
        arguments.threshold,
        *last,
    )
    if "texts" in result:
        return _show_texts(result, arguments)
    for bad in result["left_out"]:
        print(f"left out: {bad}", file=sys.stderr)
    for odd in result.get("warnings", ()):
        print(f"warning: {odd}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        _show(result, arguments.top)
        if "pictures" in result:
            print(f"drawn in {result['pictures']}")
        _tell_features(result)
    if hint := _nothing_shown(result, arguments.threshold):
        print(hint, file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _texts_in(file: Path, data: dict[str, Any]) -> list[str]:
    """Of a table the column that the run itself reads."""
    from vit.data.formats.text_files import texts_of

    try:
        return texts_of(file.expanduser(), data.get("input_column", 0), data.get("header", False))
    except ValueError as fault:
        raise Refused([Fault("--file", str(fault))]) from None


def _show_texts(result: dict[str, Any], arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(result, indent=1, ensure_ascii=False))
        return 0
    for row in result["texts"]:
        ranked = row.get("classes", [])[: arguments.top]
        likely = ", ".join(f"{item['class']} {item['probability']:.1%}" for item in ranked)
        print(f"{row['input']}  →  {row.get('text', likely or ', '.join(_named_values(row)))}")
    _tell_features(result)
    return 0


def _tell_features(result: dict[str, Any]) -> None:
    if "features" in result:
        print(f"features in {result['features']}")


def image_files(words: list[str]) -> list[Path]:
    """The files meant, in the order given, each once. Raises Refused for what is not there."""
    faults: list[Fault] = []
    found: dict[Path, None] = {}
    for word in words:
        path = _expanded(word)
        if not word:
            faults.append(Fault("IMAGE", "is empty; wanted a file, a folder or a glob"))
        elif path.is_dir():
            every = sorted(path.rglob("*"))
            inside = [p for p in every if p.suffix.lower() in SUFFIXES]
            inside = inside or [p for p in every if p.suffix.lower() == ".wav"]
            inside = [p for p in inside if not p.is_dir()]
            if not inside:
                faults.append(Fault(word, "holds no images and no .wav files"))
            faults += _no_files(inside)
            found.update(dict.fromkeys(inside))
        elif os.path.lexists(path):
            faults += _no_files([path])
            found[path] = None
        else:
            named = glob.glob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            matches = [match for match in sorted(map(Path, named)) if not match.is_dir()]
            if not matches:
                faults.append(Fault(word, "no such file, folder or match"))
            faults += _no_files(matches)
            found.update(dict.fromkeys(matches))
    if faults:
        raise Refused(faults)
    return list(found)


def _expanded(word: str) -> Path:
    try:
        return Path(word).expanduser()
    except RuntimeError:  # no such user
        return Path(word)


def _no_files(paths: list[Path]) -> list[Fault]:
    """Pipes, devices, and links to nothing: opening some of them would never end."""
    return [
        Fault(str(path), f"is {kind_of_path(path)}; wanted a file")
        for path in paths
        if not path.is_file()
    ]


def require_folder(out: Path | None, run_dir: Path, name: str) -> Path:
    """Where pictures go: `out`, or a folder of the run. Raises Refused where that is no folder, or
    something in it leads out of it."""
    place = out or run_dir / name
    if os.path.lexists(place) and not place.is_dir():
        raise Refused([Fault("--out" if out else str(place), f"{place} is no folder")])
    refuse_links(place, None if out else run_dir)
    return place


def _show(result: dict[str, Any], top: int) -> None:
    from rich.text import Text

    from vit.cli.screen import plain_console
    from vit.console import PlainTable

    console = plain_console()
    table = PlainTable()
    sounds = any(row["path"].lower().endswith(".wav") for row in result["images"])
    table.add_column("sound" if sounds else "image", overflow="fold")
    if result["images"] and "objects" in result["images"][0]:
        table.add_column("objects", justify="right")
        table.add_column("which, with the best score of each class", overflow="fold")
        for row in result["images"]:
            table.add_row(Text(row["path"]), str(len(row["objects"])), Text(_listed(row)))
        console.print(table)
        return
    if result["images"] and "shares" in result["images"][0]:
        table.add_column("share of the image", overflow="fold")
        for row in result["images"]:
            shares = [f"{name} {share:.1%}" for name, share in row["shares"].items()]
            table.add_row(Text(row["path"]), Text(", ".join(shares)))
        console.print(table)
        return
    if result["images"] and "text" in result["images"][0]:
        table.add_column("text", overflow="fold")
        for row in result["images"]:
            table.add_row(Text(row["path"]), Text(row["text"]))
        console.print(table)
        return
    if result["images"] and "classes" not in result["images"][0]:
        table.add_column("what the run's own task says", overflow="fold")
        for row in result["images"]:
            table.add_row(Text(row["path"]), Text(", ".join(_named_values(row))))
        console.print(table)
        return
    table.add_column("class")
    table.add_column("probability", justify="right")
    table.add_column("then")
    for row in result["images"]:
        ranked = row["classes"][:top]
        first, rest = ranked[0], ranked[1:]
        table.add_row(
            Text(row["path"]),
            Text(first["class"]),
            f"{first['probability']:.2%}",
            Text(", ".join(f"{item['class']} {item['probability']:.1%}" for item in rest)),
        )
    console.print(table)


def _named_values(row: dict[str, Any]) -> list[str]:
    """What a task of anybody's own says, by its own names; numbers to four digits."""
    return [
        f"{name} {f'{value:.4g}' if isinstance(value, float) else json.dumps(value)}"
        for name, value in row.items()
        if name not in ("path", "input")
    ]


def _nothing_shown(result: dict[str, Any], threshold: float) -> str | None:
    """What to say of images in which no object scores enough; None where each has one."""
    if (below := result.get("below_threshold")) is None:
        return None
    hidden, highest = below["images"], below["highest_score"]
    return nothing_found(hidden, len(result["images"]), highest, threshold, "--threshold ")


def _listed(row: dict[str, Any]) -> str:
    """`7 ×2 (91%), 3 (45%)`, the surest class first."""
    scores: dict[str, list[float]] = {}
    for found in row["objects"]:
        scores.setdefault(found["class"], []).append(found["score"])
    return ", ".join(
        f"{name}{f' ×{len(own)}' if len(own) > 1 else ''} ({max(own):.0%})"
        for name, own in sorted(scores.items(), key=lambda item: -max(item[1]))
    )
