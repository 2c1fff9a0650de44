"""Where vectors lie: the cache's usual folder, and which names their files may have. No torch."""

from __future__ import annotations

import os
from pathlib import Path

from vit.runs.writing import require_place

ENDINGS = (".safetensors", ".npz")


def default_root() -> Path:
    """$XDG_CACHE_HOME/vit/features, else in ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "vit" / "features"


def require_file(path: Path) -> None:
    """Raises Refused where vectors cannot be written to this file, which --out names."""
    require_place(path, ENDINGS)
