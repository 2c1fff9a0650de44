"""What a number depends on besides the config: code, versions, machine, data."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from vit.runs.directory import SCHEMA_VERSION
from vit.runs.secrets import blacked_out
from vit.version import __version__

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "wandb",
    "timm",
    "torchmetrics",
    "scikit-learn",
    "numpy",
    "pillow",
)
DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
DIFF_SWITCH = "VIT_STAMP_DIFF"
LEFT_OUT = f"left out ({DIFF_SWITCH}=0)"
LARGEST_DIFF = 1_000_000  # characters; beyond it the stamp says that it was cut


def stamp(command: list[str], data: dict[str, Any], gpus: list[str]) -> dict[str, Any]:
    """Plain values for stamp.json; `data` is what the data set tells of itself."""
    return {
        "schema_version": SCHEMA_VERSION,
        "vit": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": blacked_out(shlex.join(command)),
        "folder": str(Path.cwd()),
        "git": _git(),
        "python": platform.python_version(),
        "packages": _versions(),
        "code": code(),
        "hardware": {**_hardware(), "gpus": gpus},
        "data": data,
    }


@cache
def code() -> dict[str, Any]:
    """What would make the same config give other numbers: this package's source, and others'."""
    digest = hashlib.sha1()
    home = Path(__file__).parents[1]
    watching = {
        home / name for name in ("cli", "sweeps", "check", "bench", "review", "explain", "pictures")
    }  # nothing is trained
    files = [file for file in home.rglob("*.py") if not watching & set(file.parents)]
    for file in sorted(files):
        digest.update(file.relative_to(home).as_posix().encode() + b"\0" + file.read_bytes())
    known = _versions()
    packages = ("torch", "torchvision", "pytorch-lightning", "timm", "numpy", "torchmetrics")
    return {
        "vit": digest.hexdigest()[:12],
        "packages": {name: known[name] for name in packages if name in known},
    }


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _git() -> dict[str, Any] | None:
    """Commit and uncommitted changes of the folder that the command was given in.

    Keys and passwords in the changes are blacked out; VIT_STAMP_DIFF=0 leaves the changes out.
    """
    commit = _output("git", "rev-parse", "HEAD")
    if commit is None:
        return None
    harmless = _harmless()
    diff = _output("git", *DIFF, "HEAD", **harmless) or ""
    if diff and os.environ.get(DIFF_SWITCH) == "0":
        diff = LEFT_OUT
    others = _output("git", "ls-files", "--others", "--exclude-standard", **harmless)
    untracked = (others or "").splitlines()
    return {
        "commit": commit.strip(),
        "diff": blacked_out(diff[:LARGEST_DIFF]),
        "diff_was_cut": len(diff) > LARGEST_DIFF,
        "untracked": untracked[:200],
    }


def _harmless() -> dict[str, str]:
    """Environment for git in a repository whose own settings must not start a program.

    The folder may be one that was downloaded with its `.git`, and settings there name commands for
    watching files, showing differences, filtering content and fetching what is missing.
    """
    settings = [("core.fsmonitor", "false"), ("core.hooksPath", os.devnull)]
    filters = "config", "--show-scope", "--name-only", "--get-regexp", r"^filter\..*"
    for line in (_output("git", *filters) or "").splitlines():
        scope, _, name = line.partition("\t")
        if scope in ("local", "worktree"):  # the user's own, such as LFS, stay
            settings.append((name, "false" if name.endswith(".required") else ""))
    own = {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_ALLOW_PROTOCOL": "none"}
    for at, (name, value) in enumerate(settings):
        own |= {f"GIT_CONFIG_KEY_{at}": name, f"GIT_CONFIG_VALUE_{at}": value}
    return own


def _output(*command: str, **more: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **more}
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


def _hardware() -> dict[str, Any]:
    hardware: dict[str, Any] = {
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        hardware["cpu"] = names[0] if names else None
    return hardware
