"""`extend=N`: a finished run goes on for N epochs more, as a run of its own that names its parent.

The finished run is left as it is: its config, its record, its selected checkpoint. The longer one
has a folder beside it, which begins with a copy of the parent's record and checkpoints (links,
where the file system knows them) and goes on from its last state, as a run that was cut off does;
so killing and resuming it is exact, and the best of all epochs is selected.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.continuity import GO_ON, changed_code, changed_data
from vit.runs.directory import RunFolder, content_of
from vit.runs.files import lines_of, read_json
from vit.runs.identity import differences
from vit.runs.links import refuse_links
from vit.runs.record import read_records, record_of
from vit.runs.writing import is_alive, write_json

WHERE = "extend"
TESTED = "test/"


def asks_for_more(config: Mapping[str, Any]) -> bool:
    """Whether a config has `extend`, of a kind that can be counted; the schema tells of others."""
    epochs = config.get("extend")
    return isinstance(epochs, int) and not isinstance(epochs, bool) and epochs > 0


def parent_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the same words without `extend`, whose epochs are not yet added."""
    return {**config, "extend": None, "extend_lr_scale": None}


def with_epochs_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is frozen: `trainer.max_epochs` counts all epochs, `extend` those of them that came on.

    Raises Refused where the training does not end by its epochs.
    """
    trainer = config.get("trainer")
    epochs = trainer.get("max_epochs") if isinstance(trainer, Mapping) else None
    if not isinstance(trainer, Mapping) or type(epochs) is not int or epochs < 1:
        message = f"adds epochs, and trainer.max_epochs is {epochs!r}; wanted a number from 1 on"
        raise Refused([Fault(WHERE, message)])
    if trainer.get("max_steps", -1) not in (None, -1) or trainer.get("fast_dev_run"):
        key = "fast_dev_run" if trainer.get("fast_dev_run") else "max_steps"
        message = f"adds epochs, and this training ends by trainer.{key}={trainer[key]}"
        raise Refused([Fault(WHERE, f"{message}; wanted one that ends by trainer.max_epochs")])
    return {**config, "trainer": {**trainer, "max_epochs": epochs + config["extend"]}}


def without_epochs_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """The way back, to the parent's config."""
    trainer = config["trainer"]
    before = {**trainer, "max_epochs": trainer["max_epochs"] - config["extend"]}
    return parent_config({**config, "trainer": before})


def suffix(config: Mapping[str, Any]) -> str:
    """What its name has after the parent's: `-extend10`, `-extend10-lr0.1`."""
    scale = config.get("extend_lr_scale")
    return f"-extend{config['extend']}" + ("" if scale is None else f"-lr{scale}")


def require_parent(parent: RunFolder, folder: RunFolder, config: dict[str, Any]) -> None:
    """Raises Refused where there is no finished run to go on with, or no way to go on.

    Of a longer run that has begun only its own folder is asked.
    """
    if folder.config_file.exists():
        if not folder.is_done() and not folder.last_checkpoint.exists():
            message = f"lost its {folder.last_checkpoint.name}. Remove the folder: the same command"
            raise Refused([Fault(str(folder.path), f"{message} begins again from {parent.path}")])
        return
    if problem := _why_not(parent, without_epochs_added(config)):
        raise Refused([Fault(WHERE, problem)])
    if folder.path.is_dir() and any(folder.path.iterdir()):
        message = "is not empty, and holds no run; wanted a new folder for the longer run"
        raise Refused([Fault(str(folder.path), message)])


def _why_not(parent: RunFolder, config: dict[str, Any]) -> str | None:
    """Why a run cannot be gone on with, in words; `config` is what it should be of."""
    where = parent.path
    same = "the same words without extend"
    if not parent.config_file.exists():
        return (
            f"goes on with a finished run, and there is none in {where}, the folder that {same} "
            f"name. Train it first: {same} do"
        )
    if problem := parent.problem():
        return str(problem)
    if (where / "trial.json").exists():
        return (
            f"{where} is a trial of a sweep, whose plan says how long its trials train. Make the "
            f"sweep longer (trainer.max_epochs), or begin a run from its weights: init={where}"
        )
    if differing := differences(parent.config(), config):
        return f"{where} holds a run of another config; it differs in {'; '.join(differing)}"
    if not parent.is_done():
        return _unfinished(parent, same)
    if parent.state().cleaned or not parent.last_checkpoint.is_file():
        gone = f"{parent.last_checkpoint} is gone"
        if parent.state().cleaned:
            gone = f"{where} was cleaned (vit clean), which keeps weights and no optimizer's state"
        return (
            f"{gone}, and nothing can be gone on with. Begin a run from its selected weights "
            f"instead: init={where}, without extend"
        )
    return _ended_early(parent, config)


def _unfinished(parent: RunFolder, same: str) -> str:
    state = parent.state().name or "not begun"
    if state == "done":
        lost = parent.lost_results() or f"its {parent.last_checkpoint.name} is another now"
        return f"{parent.path} has ended, but {lost}; wanted a finished run as it ended"
    return f"{parent.path} is {state}; wanted a finished run. Finish it first: {same} do"


def _ended_early(parent: RunFolder, config: Mapping[str, Any]) -> str | None:
    """Of a run that was ended by its patience, which more epochs would not undo."""
    wanted, reached = config["trainer"]["max_epochs"], parent.results().get("epochs")
    instead = f"Begin a run from its weights instead: init={parent.path}, without extend"
    if reached not in (None, wanted):
        return f"{parent.path} ended after {reached} of {wanted} epochs (patience). {instead}"
    patience, best = config["checkpoint"].get("patience"), parent.results().get("best") or {}
    if patience is None:
        return None
    monitor, step = config["checkpoint"]["monitor"], best.get("step", 0)
    records = read_records(parent.metrics_file)
    since = sum(monitor in record.metrics and record.step > step for record in records)
    if since < patience:
        return None
    return f"{parent.path} has used up checkpoint.patience={patience} in its last epoch. {instead}"


def refuse_other_data(parent: RunFolder, fingerprint: str) -> None:
    """Raises Refused where the data are others than the finished run was trained on."""
    before = (read_json(parent.stamp_file) or {}).get("data")
    known = before.get("fingerprint") if isinstance(before, dict) else None
    if changed := changed_data(known, fingerprint):
        message = f"{parent.path} was trained on something else: {changed[0]}. What it has learnt "
        message += f"and measured is of the data before. {GO_ON} goes on all the same"
        raise Refused([Fault(WHERE, message)])


def begin(
    folder: RunFolder, parent: RunFolder, config: dict[str, Any], stamp: dict[str, Any]
) -> list[str]:
    """Makes the folder of the longer run, whole or not at all; says what has changed since.

    Raises Refused where somebody else made it meanwhile.
    """
    refuse_links(parent.path)
    home = folder.path
    home.parent.mkdir(parents=True, exist_ok=True)
    _forget_leftovers(home)
    made = RunFolder(home.with_name(f".{home.name}.{os.getpid()}.part"))
    before = read_json(parent.stamp_file) or {}
    changes = changed_code(before.get("code"), stamp.get("code") or {})
    try:
        made.freeze(config)
        made.set_state("planned", **parent.spent())
        write_json(made.stamp_file, {**stamp, "extends": _record(parent, before, changes)})
        _copy_record(parent.metrics_file, made.metrics_file)
        _link_all(parent.checkpoints, made.checkpoints)
        try:
            made.path.replace(home)
        except OSError as error:
            message = f"cannot be made: {error.strerror}; did another command make it meanwhile?"
            raise Refused([Fault(str(home), message)]) from error
    finally:
        shutil.rmtree(made.path, ignore_errors=True)
    return changes


def _record(parent: RunFolder, stamp: Mapping[str, Any], changes: list[str]) -> dict[str, Any]:
    """Of what run, and of which state of it; and what was another then."""
    results = parent.results()
    return {
        "run": str(parent.path),
        "epochs": results.get("epochs"),
        "steps": results.get("steps"),
        "checkpoint": content_of(parent.last_checkpoint),
        "created": stamp.get("created"),
        **({"code": stamp["code"], "changed": changes} if changes and "code" in stamp else {}),
    }


def _copy_record(source: Path, target: Path) -> None:
    """Without what was measured on test, which is of the parent's selected checkpoint."""
    kept = [line for line in lines_of(source) if line and not _is_test(line)]
    target.write_bytes(b"".join(line + b"\n" for line in kept))


def _is_test(line: bytes) -> bool:
    record = record_of(line)
    names = record.metrics if record is not None else {}
    return bool(names) and all(name.startswith(TESTED) for name in names)


def _link_all(source: Path, target: Path) -> None:
    """The same files under another folder; links take no room, and no write of ours is in place."""
    for file in sorted(source.rglob("*")):
        if not file.is_file() or file.name.endswith(".part"):
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        real = os.path.realpath(file)
        try:
            os.link(real, place)
        except OSError:  # no links on this file system
            shutil.copyfile(real, place)


def _forget_leftovers(home: Path) -> None:
    """Of a command that was killed while it made the folder."""
    for left in home.parent.glob(f".{home.name}.*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdigit() and not is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
