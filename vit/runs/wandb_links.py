"""One `wandb/` folder for the runs of a sweep, as `wandb leet` wants it.

leet (of wandb 0.31) takes one folder, lists what is called `run-TIME-ID` in it by that name, and
opens `run-ID.wandb` therein. So each start of each run gets a folder of relative links, with the
run's own name as ID: the list is readable, and the folder can be moved.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from vit.runs.links import is_inside, links_out, refuse_links

START = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(.+)")
HASH = re.compile(r"(.+)-[0-9a-f]{8}")


def link_wandb(folder: Path) -> Path:
    """Links the W&B runs of all run folders in `folder`, and returns the folder of the links.

    Called again it adds what is new and removes links to what is gone; nothing else is touched.
    Where there are none, no folder is made. Raises Refused where `wandb/` is a link to elsewhere.
    """
    home = folder / "wandb"
    refuse_links(home, folder)
    wanted = dict(_named(folder))
    if wanted:
        home.mkdir(exist_ok=True)
    for name, start in wanted.items():
        with suppress(OSError):  # two who link at once
            _link_start(home / name, start)
    if home.is_dir():
        for old in home.iterdir():
            _forget(old, old.name in wanted)
    return home


def make_relative(home: Path) -> None:
    """Absolute links of W&B's to what lies in the run's own `wandb/`, so that it can be moved."""
    for link in home.glob("*run-*/logs/*.log"):
        with suppress(OSError):
            if not link.is_symlink() or not link.readlink().is_absolute():
                continue
            if not is_inside(link, home) or not is_inside(link.parent, home):
                continue
            staged = link.with_name(f".{link.name}.{os.getpid()}")
            staged.symlink_to(
                os.path.relpath(os.path.realpath(link), os.path.realpath(link.parent))
            )
            staged.replace(link)


def _named(folder: Path) -> list[tuple[str, Path]]:
    """What each start of each run is to be called, and where it is."""
    starts = [
        start
        for start in folder.glob("*/wandb/*run-*")
        if START.fullmatch(start.name)
        and is_inside(start.parent, folder)
        and not start.is_symlink()
        and not _is_ours(start)
    ]
    names = {start.parent.parent.name for start in starts}
    named = []
    for start in sorted(starts):
        time, _ = START.fullmatch(start.name).groups()  # type: ignore[union-attr]
        named.append((f"run-{time}-{_short(start.parent.parent.name, names)}", start))
    return named


def _short(name: str, names: set[str]) -> str:
    """A trial's folder without its hash, where it is still the only one of that name."""
    cut = HASH.fullmatch(name)
    if cut is None or sum(other.startswith(f"{cut[1]}-") for other in names) > 1:
        return name
    return cut[1]


def _link_start(link: Path, start: Path) -> None:
    link.mkdir(exist_ok=True)
    own = link.name.split("-", 2)[2]
    for file in start.glob("run-*.wandb"):
        if is_inside(file, start):
            _point(link / f"run-{own}.wandb", file)
    # Pictures in it may be links as well, which the viewer would follow.
    if (start / "files").is_dir() and not links_out(start / "files", start):
        _point(link / "files", start / "files")  # pictures and what was said


def _point(link: Path, to: Path) -> None:
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(to, link.parent), target_is_directory=to.is_dir())


def _is_ours(link: Path) -> bool:
    """Whether this is a folder that was made here: nothing but links."""
    entries = list(link.iterdir()) if link.is_dir() else []
    return bool(entries) and all(each.is_symlink() for each in entries)


def _forget(old: Path, wanted: bool) -> None:
    """Takes away a folder of ours whose run is gone, and the plain links of earlier versions."""
    if START.fullmatch(old.name) is None:
        return
    if old.is_symlink():
        if old.readlink().parts[0] == "..":
            old.unlink(missing_ok=True)
    elif not wanted and _is_ours(old):
        for each in old.iterdir():
            each.unlink(missing_ok=True)
        with suppress(OSError):
            old.rmdir()
