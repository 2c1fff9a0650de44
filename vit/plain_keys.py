"""The keys of a config that no part takes: their types."""

from __future__ import annotations

import typing
from typing import Any

PLAIN: dict[str, Any] = {
    "schema_version": int,
    "name": str,
    "note": str | None,
    "tags": list[str] | None,
    "seed": int,
    "threads": int,
    "compile": bool,
    "init": str | None,
    "extend": int | None,
    "extend_lr_scale": float | None,
    "allow_targets": list[str],
}
CHECKPOINT: dict[str, Any] = {
    "monitor": str,
    "mode": typing.Literal["max", "min"],
    "every_n_steps": int | None,
    "patience": int | None,
    "keep_last": int,
    "keep_best": int,
    "keep_every_n_steps": int | None,
    "keep_every_n_epochs": int | None,
    "asynchronous": bool,
    "sharded": bool,
}
