"""What composing hands on: plain values, nothing of Hydra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Composed:
    """One run to be: its frozen config and its folder."""

    config: dict[str, Any]
    run_dir: Path
    overrides: list[str]
    policy: Any = None  # the `sweep` part: how a sweep of such runs is run
    experiment: str = "run"
    own_name: str | None = None  # where the user gave one
    own_folder: bool = False  # whether the user chose hydra.sweep.subdir
    sweep_dir: Path = Path()  # of a point of a sweep
    parent: Path | None = None  # the run that it makes longer (`extend`)
