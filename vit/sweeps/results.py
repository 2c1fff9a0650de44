"""results.csv: a row a trial, rewritten whole whenever one ends."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from vit.runs.directory import RunFolder
from vit.runs.files import read_json
from vit.runs.shapes import STAMP
from vit.runs.writing import write_text
from vit.sweeps.ledger import Ledger, best_validation
from vit.sweeps.roles import Objective


def write_results(ledger: Ledger, rows: list[dict[str, Any]], objective: Objective) -> None:
    """Overrides, seed, state, metrics, seconds, hardware and commit of every trial."""
    axes = list(dict.fromkeys(key for row in rows for key in row["overrides"] if key != "seed"))
    told = [_told(row, axes, objective) for row in rows]
    metrics = sorted({key for row in told for key in row["metrics"]})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    facts = ["epochs", "train_seconds", "attempts", "adapted", "hardware", "torch", "commit"]
    writer.writerow(["trial", *axes, "seed", "state", *metrics, *facts])
    for row in told:
        values = [row["metrics"].get(key, "") for key in metrics]
        known = [row.get(key, "") for key in facts]
        writer.writerow([row["label"], *row["axes"], row["seed"], row["state"], *values, *known])
    write_text(ledger.results_file, buffer.getvalue())


def _told(row: dict[str, Any], axes: list[str], objective: Objective) -> dict[str, Any]:
    folder = RunFolder(Path(row["run_dir"]))
    stamp = read_json(folder.stamp_file, STAMP) or {}
    hardware = stamp.get("hardware") or {}
    metrics, epochs = row["metrics"], row["epochs"]
    if not metrics and (best := best_validation(folder, objective)):
        metrics = {k: v for k, v in best.metrics.items() if k.startswith("val/")}
        epochs = best.epoch + 1
    seconds = row["train_seconds"]
    return {
        "label": row["label"],
        "axes": [_plain(row["overrides"].get(key, "")) for key in axes],
        "seed": row["seed"],
        "state": row["state"] if row["kind"] is None else f"{row['state']} ({row['kind']})",
        "metrics": metrics,
        "epochs": epochs,
        "train_seconds": round(seconds, 1) if seconds else "",
        "attempts": row["attempts"],
        "adapted": " ".join(f"{key}={value}" for key, value in row["adapted"].items()),
        "hardware": ", ".join(hardware.get("gpus") or [])
        or f"{hardware.get('cores')} cores of {hardware.get('cpu')}",
        "torch": stamp.get("packages", {}).get("torch", ""),
        "commit": ((stamp.get("git") or {}).get("commit") or "")[:12],
    }


def _plain(value: str) -> str:
    """A spreadsheet must not take an override for a formula."""
    return f"'{value}" if value[:1] in ("=", "+", "@") else value
