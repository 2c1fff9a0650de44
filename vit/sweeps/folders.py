"""Which folders the trials of a sweep have, and what lies in them already."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.runs.identity import WHOSE_COMMAND_IT_IS, differences, trial_id
from vit.runs.shapes import STAMP, TRIAL
from vit.sweeps.roles import Trial
from vit.sweeps.trial_row import TrialRow


def refuse_conflicts(trials: list[Trial], home: Path, allow_changed: bool) -> None:
    """Raises Refused where a folder is taken, lies elsewhere, or holds what would run otherwise.

    With `allow_changed` trials go on with the tracking and watching of this command, whatever
    their folders say. A folder that cannot be read stops nobody else's start: its trial fails when
    its turn comes.
    """
    folders = [trial.run_dir.absolute() for trial in trials]
    shared = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if shared:
        message = "would hold several runs of this sweep; let hydra.sweep.subdir differ"
        raise Refused([Fault(folder, message) for folder in shared])
    faults = []
    for trial in trials:
        if trial.run_dir.resolve().parent != home.resolve():
            message = f"lies not right inside of {home}; let hydra.sweep.subdir be one plain name"
            faults.append(Fault(str(trial.run_dir), message))
            continue
        if trial.folder.problem():
            continue
        adapted = (read_json(trial.run_dir / "trial.json", TRIAL) or {}).get("adapted")
        if not allow_changed and (changed := watched_otherwise(trial)):
            message = (
                f"was begun with something else: {'; '.join(changed)}. --allow-changed goes on "
                "with what this command says."
            )
            faults.append(Fault(str(trial.run_dir), message))
            continue
        try:
            if not adapted:
                trial.folder.refuse_conflicts(trial.config, idle=False)
        except Refused as refused:
            faults += refused.faults
    if faults:
        raise Refused(list(dict.fromkeys(faults)))


def watched_otherwise(trial: Trial) -> list[str]:
    """What an unfinished trial's folder says of tracking, watching and whose code may run."""
    if not trial.folder.config_file.is_file() or trial.folder.is_done():
        return []
    before = trial.folder.config()
    return [
        line
        for key in WHOSE_COMMAND_IT_IS
        if key in before
        for line in differences(before[key], trial.config.get(key), f"{key}.")
        if not line.endswith(": new")  # a key that came with an upgrade
    ]


def reuse_folders(
    trials: list[Trial], rows: dict[str, TrialRow], unreadable: list[Fault]
) -> list[str]:
    """The same run under another spelling (1e-3, 0.001) keeps the folder that it has.

    So does one whose trial.json was lost: its config and its data's fingerprint say which it is.
    Returns what is to be said of `unreadable` folders.
    """
    lost = _trials_without_record(unreadable)
    for trial in trials:
        if trial.id in rows:
            trial.run_dir = rows[trial.id].run_dir
            trial.label = rows[trial.id].label
        elif trial.id in lost:
            trial.run_dir = lost[trial.id]
            trial.label = trial.run_dir.name
        trial.config["name"] = trial.label
    known = {str(trial.run_dir.absolute()) for trial in trials if trial.id in lost}
    notes = []
    for fault in unreadable:
        mine = str(_run_dir_of(fault).absolute()) in known
        notes.append(f"{fault}{'; its config tells which trial it is' if mine else ''}")
    return notes


def _trials_without_record(unreadable: list[Fault]) -> dict[str, Path]:
    """Trial id → folder, of those whose trial.json alone cannot be read."""
    folders = {}
    for path in {_run_dir_of(fault) for fault in unreadable}:
        folder = RunFolder(path)
        stamp = read_json(folder.stamp_file, STAMP) or {}
        fingerprint = stamp.get("data", {}).get("fingerprint")
        with suppress(Refused):
            config = folder.config()
            if fingerprint and "data" in config and not folder.problem():
                folders[trial_id(config, str(fingerprint))] = path
    return folders


def _run_dir_of(fault: Fault) -> Path:
    """The folder of a trial, of which `where` names it or a file in it."""
    path = Path(fault.where)
    return path.parent if path.suffix == ".json" else path
