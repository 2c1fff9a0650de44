"""Whether a run goes on with what it was begun with; its stamp keeps what that was.

Other data make other numbers of the same run, so they are refused unless the user says otherwise.
Other code is noted only: mending it is why many a run is gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vit.faults import Fault, Refused
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, read_json
from vit.runs.writing import write_json

GO_ON = "--allow-changed"
PARTS = ("code", "data", "init")  # of a stamp, in which later starts may differ


def begun(folder: RunFolder) -> bool:
    """Whether something was trained in a folder, so that another start goes on with it."""
    return folder.last_checkpoint.exists() or folder.metrics_file.exists()


def changed_code(before: object, now: dict[str, Any]) -> list[str]:
    """What differs of two answers of `vit.runs.stamp.code`."""
    before = before if isinstance(before, dict) else {}
    changes = []
    for part in ("vit", "packages"):
        old, new = before.get(part), now.get(part)
        if old in (None, new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            differing = [key for key in new if old.get(key) != new[key]]
            named = ", ".join(f"{key} {old.get(key)} → {new[key]}" for key in differing)
            changes.append(f"packages: {named}")
        else:
            changes.append("the code of vit")
    return changes


def changed_data(old: object, new: object) -> list[str]:
    """The same for two fingerprints."""
    return [] if old in (None, new) else [f"the data (fingerprint {old} → {new})"]


def refuse_changed_data(folder: RunFolder, fingerprint: str, changes: Sequence[str] = ()) -> None:
    """Raises Refused where a run would go on with other data than it was begun with.

    `changes` say in what they differ, as far as splits.json can tell.
    """
    if not begun(folder) or folder.is_done():
        return
    try:
        stamp = json_of(folder.stamp_file) or {}
    except Refused as refused:
        (fault,) = refused.faults
        message = f"{fault.message}. It tells what the run was begun with; {GO_ON} goes on "
        raise Refused([Fault(fault.where, message + "all the same")]) from refused
    if changed := changed_data(_fingerprint(stamp), fingerprint):
        known = f": {'; '.join(changes)}" if changes else ""
        message = (
            f"was begun with something else: {changed[0]}{known}. What it has learnt and measured "
            f"is of the data before. {GO_ON} goes on all the same; hydra.run.dir=… begins another."
        )
        raise Refused([Fault(str(folder.path), message)])


def other_data(folder: RunFolder, fingerprint: str) -> bool:
    """Whether a run was begun with other data, as far as its stamp can be read."""
    stamp = read_json(folder.stamp_file) or {}
    return begun(folder) and bool(changed_data(_fingerprint(stamp), fingerprint))


def lost_checkpoint(folder: RunFolder, seconds: float) -> str | None:
    """What to say where a run that was trained, for so many `seconds`, has nothing to go on from.

    None where it was never trained, or goes on.
    """
    if folder.last_checkpoint.exists():
        return None
    reached = recorded_step(folder)
    if not reached and not folder.best_checkpoint.exists() and not seconds:
        return None
    stood = f", though its record reaches step {reached:,}" if reached else ""
    kept = "; best.ckpt is of before, and is replaced" if folder.best_checkpoint.exists() else ""
    return (
        f"begins from step 0 again, since {folder.last_checkpoint} is not there{stood}{kept}. To "
        "go on where it was, stop it and put the file back"
    )


def lost_record(folder: RunFolder, step: int, due: int) -> str | None:
    """What to say where the record ends before step `due`; None where it does not.

    `step` is where the checkpoint stands, `due` the last step before it that was written down.
    """
    reached = recorded_step(folder)
    if reached >= due:
        return None
    name = folder.metrics_file.name
    gone = f"ends at step {reached:,}" if folder.metrics_file.exists() else "is not there"
    return (
        f"{name} {gone}, and the training stands at step {step:,}: what was measured between is "
        "lost, to the curves, and to the choice of the best epoch in metrics.json"
    )


def refuse_lost_record(folder: RunFolder, step: int, due: int) -> None:
    """Raises Refused where a run would go on with a hole in its record."""
    if loss := lost_record(folder, step, due):
        message = (
            f"{loss}. Put the file back; {GO_ON} goes on all the same; without "
            f"{folder.last_checkpoint.name} too it begins again from step 0"
        )
        raise Refused([Fault(str(folder.path), message)])


def recorded_step(folder: RunFolder) -> int:
    """The last step that metrics.jsonl tells of; 0 where there is none."""
    from vit.runs.record import read_records

    records = read_records(folder.metrics_file)
    return max((record.step for record in records), default=0)


def keep_stamp(folder: RunFolder, stamp: dict[str, Any]) -> list[str]:
    """Writes stamp.json at the first start; later ones add what has changed, and return it.

    What was stamped before then stands under `history`, the oldest first.
    """
    try:
        before = json_of(folder.stamp_file)
    except Refused as refused:
        kept = folder.stamp_file.with_name("stamp.unreadable.json")
        folder.stamp_file.replace(kept)  # git's state and history may still be read from it
        write_json(folder.stamp_file, stamp)
        return [f"{refused}; it is kept as {kept.name}"]
    if before is None:
        write_json(folder.stamp_file, stamp)
        return []
    changes = changed_data(_fingerprint(before), _fingerprint(stamp))
    changes += changed_code(before.get("code"), stamp.get("code") or {})
    changes += _changed_init(before.get("init"), stamp.get("init"))
    if changes:
        earlier = before.get("history")
        history = [*(earlier if isinstance(earlier, list) else []), _outdated(before, stamp)]
        now: dict[str, Any] = {key: stamp[key] for key in PARTS if key in stamp}
        write_json(folder.stamp_file, {**before, **now, "history": history})
    return changes


def _changed_init(before: object, now: object) -> list[str]:
    """Of the weights it starts from; a run that goes on reads none, and its stamp tells none."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return []
    old, new = before.get("content"), now.get("content")
    return [] if old == new else [f"the weights of init ({str(old)[:8]} → {str(new)[:8]})"]


def _outdated(before: dict[str, Any], stamp: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: before[key] for key in PARTS if key in before}
    return {**kept, "until": stamp.get("created"), "then": stamp.get("command")}


def _fingerprint(stamp: dict[str, Any]) -> Any:
    data = stamp.get("data")
    return data.get("fingerprint") if isinstance(data, dict) else None
