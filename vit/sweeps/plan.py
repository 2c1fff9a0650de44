"""From composed and checked configs to the trials of a sweep."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vit.faults import Fault
from vit.runs.identity import group_id, trial_id
from vit.sweeps.roles import Trial

LONGEST_LABEL = 60


def trial_of(
    config: dict[str, Any],
    varies: dict[str, str],
    report: dict[str, Any],
    sweep_dir: Path,
    *,
    own_run_dir: Path | None = None,
    point: int = 0,
    name: str | None = None,
) -> Trial:
    """Gives a checked config its id, its name (after `name`), folder and W&B group."""
    identity = trial_id(config, str(report["data"].get("fingerprint")))
    label = f"{readable(varies)}-{identity[:8]}"
    if name:
        label = f"{readable({'': name})}-{label}"
    tracking = dict(config["tracking"])
    if "group" in tracking and tracking["group"] is None:
        tracking["group"] = sweep_dir.name
    named = {**config, "name": label, "tracking": tracking}
    return Trial(
        id=identity,
        group=group_id(config),
        label=label,
        run_dir=own_run_dir or sweep_dir / label,
        config=named,
        varies=varies,
        report=report,
        point=point,
    )


def readable(varies: dict[str, str]) -> str:
    """`depth_4-seed_0`: letters that any shell and file system takes as they are."""
    parts = []
    for key, value in varies.items():
        short = re.split(r"[./]", key.split("@")[0].lstrip("+~"))[-1]
        value = f"{float(value):.4g}" if re.fullmatch(r"-?\d+\.\d{4,}(e-?\d+)?", value) else value
        parts.append(re.sub(r"[^A-Za-z0-9._]+", "_", f"{short}_{value}").strip("_."))
    return "-".join(parts)[:LONGEST_LABEL].rstrip("-_.") or "trial"


def merged(trials: list[Trial]) -> tuple[list[Trial], list[str]]:
    """Each trial once, and a line for each that stood for the same numbers as one before."""
    kept: dict[str, Trial] = {}
    lines = []
    for trial in trials:
        if trial.id in kept:
            words = " ".join(f"{key}={value}" for key, value in trial.varies.items())
            lines.append(f"{words or trial.label} is the same run as {kept[trial.id].label}")
        else:
            kept[trial.id] = trial
    several = {line: lines.count(line) for line in lines}
    return list(kept.values()), [f"{n} × {line}" if n > 1 else line for line, n in several.items()]


def summarize_faults(faults: list[tuple[str, list[Fault]]]) -> list[Fault]:
    """Each fault once, with the trials that have it, where that is not all of them."""
    where: dict[Fault, list[str]] = {}
    for label, of_trial in faults:
        for fault in of_trial:
            where.setdefault(fault, []).append(label)
    summary = []
    for fault, labels in where.items():
        if len(labels) == len(faults):
            summary.append(fault)
            continue
        more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
        message = f"{fault.message} [{'; '.join(labels[:3])}{more}]"
        summary.append(Fault(fault.where, message))
    return summary
