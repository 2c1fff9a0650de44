"""What a run's folder should hold and cannot be read from: whoever compares it has to say so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vit.faults import Refused
from vit.runs.directory import RunFolder
from vit.runs.files import json_of, lines_of
from vit.runs.fingerprints import is_line, lines_file
from vit.runs.record import record_of
from vit.runs.shapes import RESULTS, STAMP, STATE, Shape


def missing_files(run: Path, config: dict[str, Any]) -> list[str]:
    """A line for each file that is not there though the run has come so far, that is cut, leads
    out of the folder or has lines that nobody wrote."""
    folder = RunFolder(run)
    state, lines = _small(folder.state_file, STATE, False)
    done = state.get("state") == "done"
    results = _small(folder.results_file, RESULTS, done)[1]
    trained = done or (not results and os.path.lexists(folder.results_file))
    trained = trained or folder.last_checkpoint.exists()
    lines += [] if os.path.lexists(folder.state_file) or not trained else [_gone(folder.state_file)]
    lines += results
    lines += _small(folder.stamp_file, STAMP, True)[1]
    lines += _appended(folder.metrics_file, lambda line: record_of(line) is not None, trained)
    watch = config.get("watch")
    watched = trained and isinstance(watch, dict) and bool(watch.get("fingerprints"))
    return lines + _appended(lines_file(run, 0), is_line, watched)


def without_curves(run: Path) -> str:
    """The same of metrics.jsonl alone, for whoever draws it; nothing where it is there."""
    file = RunFolder(run).metrics_file
    return "" if os.path.lexists(file) else _gone(file)


def _small(file: Path, shape: Shape, wanted: bool) -> tuple[dict[str, Any], list[str]]:
    try:
        content = json_of(file, shape)
    except Refused as refused:
        return {}, [str(fault) for fault in refused.faults]
    return content or {}, [_gone(file)] if content is None and wanted else []


def _appended(file: Path, is_ours: Callable[[bytes], bool], wanted: bool) -> list[str]:
    if not os.path.lexists(file):
        return [_gone(file)] if wanted else []
    try:
        # The last is empty, or was cut off by a kill, as no other is.
        lines = lines_of(file)[:-1]
    except Refused as refused:
        return [str(fault) for fault in refused.faults]
    unreadable = [
        number for number, line in enumerate(lines, 1) if line.strip() and not is_ours(line)
    ]
    if not unreadable:
        return []
    count, first = len(unreadable), unreadable[0]
    return [f"{file}: {count} of {len(lines)} lines cannot be read, such as line {first}"]


def _gone(file: Path) -> str:
    return f"{file} is not there"
