"""Frees the disk that a sweep's checkpoints take."""

from __future__ import annotations

import shutil
from pathlib import Path

from vit.runs.directory import RunFolder
from vit.runs.links import is_inside
from vit.sweeps.ledger import Ledger
from vit.sweeps.outcomes import best_validation, finite
from vit.sweeps.roles import Objective
from vit.sweeps.trial_row import FINISHED


def free(ledger: Ledger, objective: Objective, keep_best: int, *, dry_run: bool = False) -> int:
    """Removes the checkpoints of ended trials but the best `keep_best`; returns the bytes freed.

    What can still go on keeps its checkpoints, and so does what lies behind a link (`linked`).
    """
    ranked = []
    for row in ledger.rows():
        if row.state in FINISHED:
            value = finite(row.metrics, objective.metrics[0])
            if value is None and (record := best_validation(row.folder, objective)):
                value = finite(record.metrics, objective.metrics[0])
            ranked.append((row.state == "done", value, row.folder))
    sign = 1 if objective.modes[0] == "max" else -1
    # Done before pruned, then by the metric; what has no number comes last.
    ranked.sort(
        key=lambda item: (item[0], item[1] is not None, sign * (item[1] or 0)), reverse=True
    )
    freed = 0
    for _, _, folder in ranked[keep_best:]:
        if linked(folder):
            continue
        files = [*folder.checkpoints.glob("*.ckpt*"), *folder.checkpoints.glob("shards/*/*")]
        stats = [file.stat() for file in files if file.is_file() and not file.is_symlink()]
        freed += sum({stat.st_ino: stat.st_size for stat in stats}.values())  # links count once
        if not dry_run:
            for file in files:
                if file.is_file() or file.is_symlink():
                    file.unlink(missing_ok=True)
            shutil.rmtree(folder.checkpoints / "shards", ignore_errors=True)
    return freed


def linked(folder: RunFolder) -> list[Path]:
    """What of a run's checkpoints lies elsewhere, behind a link: it is left alone."""
    shards = folder.checkpoints / "shards"
    places = [folder.checkpoints, shards, *shards.glob("*")]
    return [place for place in places if place.is_symlink() or not is_inside(place, folder.path)]
