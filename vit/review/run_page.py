"""README.md and results.png of a run that is done: what one looks for in its folder, at a glance.

Both are made from the folder's small files alone, and carry a mark of their own: a file of that
name that somebody else has put there is left as it is.
"""

from __future__ import annotations

import io
import logging
import math
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from vit.faults import Refused
from vit.metrics.headlines import HEADLINES
from vit.review.markdown import code, one_line, text
from vit.review.results_picture import results_picture
from vit.review.run import inside
from vit.runs.directory import RunFolder
from vit.runs.files import read_json, reading
from vit.runs.left_out import left_out_summary
from vit.runs.mistake_gallery import read_album
from vit.runs.record import read_records
from vit.runs.remarks import MOST_OF_NOTE, note_of, tags_of
from vit.runs.secrets import without_secrets
from vit.runs.shapes import STAMP, TRIAL
from vit.runs.writing import write_bytes, write_text

MARK = "<!-- Written by vit when the run was done; it is written anew when it ends again. -->"
PICTURE_MARK = b"tEXtSoftware\x00vit"
PICTURE = "results.png"
PAGE = "README.md"
MOST_CLASSES, MOST_METRICS, MOST_MISTAKES = 12, 8, 4
INPUTS = {"text": "--text TEXT", "sound": "FILE.wav"}
# What says most of a part, as its config has it.
SIZES = ("name", "dim", "depth", "heads", "patch_size")
log = logging.getLogger("vit")


def write_run_page(folder: RunFolder) -> None:
    """Writes both files; whatever goes wrong is said and not raised, since the run is done."""
    for name, write in ((PICTURE, _write_picture), (PAGE, _write_page)):
        try:
            write(folder)
        except (Refused, OSError) as error:
            log.warning("no %s: %s", name, error)
        except Exception:  # a bug is logged in full
            log.warning("%s could not be written", name, exc_info=True)


def has_run_page(folder: RunFolder) -> bool:
    return all(os.path.lexists(folder.path / name) for name in (PAGE, PICTURE))


def _write_picture(folder: RunFolder) -> None:
    picture = folder.path / PICTURE
    if _may_write(picture, PICTURE_MARK, 4096):
        records = read_records(folder.metrics_file)
        shown = results_picture(folder.written_config(), folder.results(), records)
        content, marks = io.BytesIO(), PngInfo()
        marks.add_text("Software", "vit")
        shown.save(content, "PNG", pnginfo=marks)
        write_bytes(picture, content.getvalue())


def _write_page(folder: RunFolder) -> None:
    page = folder.path / PAGE
    if _may_write(page, MARK.encode(), 1 << 20):
        write_text(page, run_page(folder, folder.written_config(), folder.results()))


def _may_write(path: Path, mark: bytes, most: int) -> bool:
    """Whether nothing lies there, or what was written here before."""
    try:
        with reading(path, most=1 << 30) as file:
            if mark in file.read(most):
                return True
    except FileNotFoundError:
        return True
    log.info("%s is not of vit's making, and is left as it is", path)
    return False


def run_page(folder: RunFolder, config: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """The text of README.md: one screen of Markdown, in which all words of others are escaped."""
    stamp = read_json(folder.stamp_file, STAMP) or {}
    trial = read_json(folder.path / "trial.json", TRIAL) or {}
    unit = text(results.get("unit", "image"))
    parts = [
        f"# {text(results.get('name') or folder.path.name)}",
        _headline(results),
        f"![curves of the training, and how it did on each class]({PICTURE})",
        "\n".join(f"- {line}" for line in _facts(config, results, stamp, trial, unit)),
        _numbers(results, stamp, unit),
        _mistakes(folder.path),
        code(_command(stamp, trial)),
        "To go on with it:",
        code(_next(folder.path, unit)),
        MARK,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(results: Mapping[str, Any]) -> str:
    metrics = results["metrics"]
    for split in ("test", "val"):
        if names := [name for name in HEADLINES if f"{split}/{name}" in metrics]:
            shown = [f"{HEADLINES[n]} {_figure(n, metrics[f'{split}/{n}'])}" for n in names[:3]]
            return f"**{split}: {', '.join(shown)}**"
    return ""


def _facts(
    config: Mapping[str, Any],
    results: Mapping[str, Any],
    stamp: Mapping[str, Any],
    trial: Mapping[str, Any],
    unit: str,
) -> list[str]:
    """Lines of data, model, selection and training."""
    lines = [f"**data**: {_data(config, stamp, unit)}{_names(results)}"]
    facts = inside(stamp, "facts") or inside(trial, "facts") or {}
    count = inside(facts, "parameters")
    size = f", {count:,} parameters" if isinstance(count, int) else ""
    lines.append(
        f"**model**: {text(_class(config, 'task'))} by {text(_part(config, 'backbone'))} and "
        f"{text(_part(config, 'head'))}{size}"
    )
    best, monitor = results.get("best") or {}, inside(config, "checkpoint", "monitor")
    if isinstance(best.get("epoch"), int):
        way = "lowest" if inside(config, "checkpoint", "mode") == "min" else "highest"
        at = f"epoch {best['epoch'] + 1}, step {text(best.get('step'))}"
        chosen = f"{at}, for the {way} {text(monitor)}"
    else:
        chosen = "the last"
    lines.append(f"**selected checkpoint**: {chosen}")
    lines.append(f"**trained**: {_ended(config, results, stamp)}")
    if left_out := left_out_summary(results.get("left_out"), unit):
        lines.append(f"**left out**: {text(left_out)}")
    if note := note_of(config):
        lines.append(f"**note**: {text(note, MOST_OF_NOTE)}")
    if tags := tags_of(config):
        lines.append(f"**tags**: {', '.join(map(text, tags))}")
    return lines


def _data(config: Mapping[str, Any], stamp: Mapping[str, Any], unit: str) -> str:
    counts = {split: _images(stamp, split) for split in ("train", "val", "test")}
    sizes = [f"{count:,} {split}" for split, count in counts.items() if count is not None]
    settings = config["data"]
    place = next((settings[key] for key in ("root", "path") if settings.get(key)), None)
    of = f" ({text(place)})" if place else ""
    return f"{text(_class(config, 'data'))}{of}: {', '.join(sizes) or 'some'} {unit}s"


def _names(results: Mapping[str, Any]) -> str:
    names = inside(results, "tables", "classes")
    if not isinstance(names, list) or not names:
        return ""
    more = f", and {len(names) - MOST_CLASSES:,} more" if len(names) > MOST_CLASSES else ""
    shown = ", ".join(text(name, 40) for name in names[:MOST_CLASSES])
    return f"; {len(names):,} class{'es' if len(names) != 1 else ''}: {shown}{more}"


def _ended(config: Mapping[str, Any], results: Mapping[str, Any], stamp: Mapping[str, Any]) -> str:
    epochs, steps = results.get("epochs") or 0, results.get("steps") or 0
    seconds = inside(results, "timing", "train_seconds")
    spent = f" in {_duration(seconds)}" if isinstance(seconds, int | float) else ""
    count = math.prod(int(config["trainer"].get(key) or 1) for key in ("devices", "num_nodes"))
    device = str(results.get("device") or "")
    if device == "cpu":
        threads = config.get("threads")
        device = str(inside(stamp, "hardware", "cpu") or "CPU")
        device += f" ({threads} thread{'s' if threads != 1 else ''})"
    device = f"{count} × {device}" if count > 1 and device else device
    on = f" on {text(device)}" if device else ""
    length = f"{epochs:,} epoch{'s' if epochs != 1 else ''}, {steps:,} steps"
    return f"{length}{spent}{on}, seed {text(config['seed'])}"


def _numbers(results: Mapping[str, Any], stamp: Mapping[str, Any], unit: str) -> str:
    """A table of the selected checkpoint's metrics, a column a split."""
    metrics = results["metrics"]
    splits = [split for split in ("val", "test") if any(k.startswith(f"{split}/") for k in metrics)]
    names = list(dict.fromkeys(key.split("/", 1)[1] for key in metrics if "/" in key))
    names.sort(key=lambda name: (name not in HEADLINES, name != "loss"))
    if not splits:
        return ""
    counts = {split: _images(stamp, split) for split in splits}
    heads = [f"{s} ({counts[s]:,} {unit}s)" if counts[s] is not None else s for s in splits]
    rows = [f"| selected checkpoint | {' | '.join(heads)} |", f"|---|{'---:|' * len(splits)}"]
    for name in names[:MOST_METRICS]:
        cells = [_figure(name, metrics.get(f"{split}/{name}")) for split in splits]
        rows.append(f"| {text(HEADLINES.get(name, name))} | {' | '.join(cells)} |")
    more = len(names) - MOST_METRICS
    note = f"\n\n{more} more in [metrics.json](metrics.json)." if more > 0 else ""
    return "\n".join(rows) + note


def _mistakes(run_dir: Path) -> str:
    """The worst of the test split, or of val, in words: `vit evaluate` renames the pictures."""
    for split in ("test", "val"):
        album = read_album(run_dir, split)
        if album and album["pictures"]:
            rows = album["pictures"][:MOST_MISTAKES]
            told = [f"- {text(row['sample'])}: {text(row['words'])}" for row in rows]
            place = f"pictures/{split}"
            return "\n".join([f"The worst on {split}, drawn in [{place}]({place}):", "", *told])
    return ""


def _command(stamp: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    command = str(stamp.get("command") or "vit train (its stamp.json is gone)")
    overrides = without_secrets(trial.get("overrides") or {})
    words = [one_line(f"{key}={value}") for key, value in overrides.items()]
    return f"{command}\n# of this sweep the trial with {' '.join(words)}" if words else command


def _next(run_dir: Path, unit: str) -> str:
    where = shlex.quote(str(_shortest(run_dir)))
    steps = {
        f"vit predict {where} {INPUTS.get(unit, 'IMAGE')}": f"what it says of your own {unit}s",
        f"vit evaluate {where}": "its numbers again, class by class",
        f"vit report {where}": "one page of all that it has recorded",
        f"vit export {where}": "its weights as a safetensors file",
        f"vit clean {where} --dry-run": "the disk that only going on would need",
    }
    width = max(map(len, steps))
    return "\n".join(f"{step:<{width}}  # {purpose}" for step, purpose in steps.items())


def _shortest(path: Path) -> Path:
    """From the folder that the command was given in, where the run lies there."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path


def _images(stamp: Mapping[str, Any], split: str) -> int | None:
    count = inside(stamp, "data", split, "images")
    return count if isinstance(count, int) else None


def _class(config: Mapping[str, Any], part: str) -> str:
    return str(inside(config, part, "_target_") or part).rpartition(".")[2]


def _part(config: Mapping[str, Any], part: str) -> str:
    settings = inside(config, part) or {}
    known = [key for key in SIZES if settings.get(key) is not None]
    sizes = ", ".join(f"{key.removesuffix('_size')} {settings[key]}" for key in known)
    return f"{_class(config, part)} ({sizes})" if sizes else _class(config, part)


def _figure(name: str, value: object) -> str:
    """Numbers that JSON has no name for are text there already."""
    if not isinstance(value, int | float):
        return "–" if value is None else text(value)
    return f"{value:.2%}" if name in HEADLINES else f"{value:.4f}"


def _duration(seconds: float | int) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
