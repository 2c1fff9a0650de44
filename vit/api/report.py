"""`vit.report`: the page of `vit report`, from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vit.api.command import require_success, run_command
from vit.api.run import Runs
from vit.faults import Fault, Refused
from vit.terminal import in_html

MOST_EMBEDDED = 8_000_000  # bytes of a page that a notebook keeps a copy of


@dataclass(frozen=True)
class ReportPage:
    """The page at `path`; a notebook shows it. `tables` is what `vit report` prints as JSON."""

    path: Path
    tables: dict[str, Any] = field(repr=False)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, whose script reaches nothing of the notebook's."""
        near = os.path.relpath(self.path)
        link = f'<a href="./{quote(os.fsencode(near))}" target="_blank">{in_html(near)}</a>'
        try:
            size = self.path.stat().st_size
            page = self.path.read_text(encoding="utf-8") if size <= MOST_EMBEDDED else ""
        except OSError as error:
            return f"<p>{link}: {in_html(str(error.strerror))}</p>"
        frame = "width:100%;height:40em;border:1px solid #8884"
        inside = (
            f'<iframe sandbox="allow-scripts" style="{frame}" srcdoc="{escape(page)}"></iframe>'
        )
        return f"<p>{link}</p>{inside if page else ''}"


def report(
    *sources: str | os.PathLike[str] | Runs,
    out: str | os.PathLike[str] = "report.html",
    metric: str | None = None,
    mode: str | None = None,
    baseline: str | None = None,
    tag: str | Iterable[str] | None = None,
    search: str | None = None,
    log: str | None = None,
    workspace: str | None = None,
    force: bool = False,
    no_cache: bool = False,
) -> ReportPage:
    """`vit report`: compares runs, and writes one page that opens anywhere; a notebook shows it.

    `sources` are folders (`runs` if none is named), a `Run`, `Runs`, or "ENTITY/PROJECT" of W&B.
    `metric` and `mode` (max or min) say what is better, by default the runs' own
    checkpoint.monitor; `baseline` is a configuration or a run; `out` the page's file. `tag` leaves
    only runs with it, or with each of several, `search` only those with all of its words in name,
    note or tags. `log` and `workspace` name a W&B project to send the page to, or a workspace made
    of it; `force` replaces a page of other runs, or whatever file is there; `no_cache` reads
    everything anew. Runs in a process of its own. Raises Refused with the command's own faults.

    >>> vit.report("runs/digits-depth", out="depth.html", metric="val/accuracy")
    """
    given = {"metric": metric, "mode": mode, "baseline": baseline, "log": log}
    given |= {"workspace": workspace, "out": os.fspath(out), "search": search}
    options = [f"--{name}={value}" for name, value in given.items() if value is not None]
    tags = [tag] if isinstance(tag, str) else list(tag or ())
    options += [f"--tag={each}" for each in tags]
    options += ["--json", *(["--no-cache"] * no_cache), *(["--force"] * force)]
    ended = run_command(["report", *options, "--", *_folders(sources or ("runs",))])
    said = require_success(ended.code, ended.output, ended.errors)
    return ReportPage(Path(out), json.loads(said))


def _folders(sources: tuple[Any, ...]) -> Iterator[str]:
    for source in sources:
        if isinstance(source, Runs):
            yield from (str(run.path) for run in source)
        elif isinstance(source, str | os.PathLike) and str(source):
            yield os.fspath(source)
        else:
            wanted = "wanted a folder, a Run, Runs, or ENTITY/PROJECT of W&B"
            raise Refused([Fault("vit.report", f"got {source!r:.80}; {wanted}")])
