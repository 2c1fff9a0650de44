"""`vit evaluate`, from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from vit.api.command import require_success, run_command
from vit.api.words import words_of


def evaluated(
    run_dir: str | os.PathLike[str],
    words: Iterable[str],
    keys: dict[str, Any],
    *,
    split: str | None,
    device: str,
    checkpoint: str | os.PathLike[str] = "best",
    allow_targets: Iterable[str] = (),
) -> dict[str, Any]:
    """What `vit evaluate --json` says, in a process of its own. Raises Refused with its faults."""
    options = [f"--device={device}", f"--checkpoint={os.fspath(checkpoint)}", "--json"]
    options += [f"--allow-target={package}" for package in allow_targets]
    options += [f"--split={split}"] if split else []
    asked = ["evaluate", os.fspath(run_dir), *words_of(tuple(words), keys), *options]
    ended = run_command(asked)
    return json.loads(require_success(ended.code, ended.output, ended.errors))
