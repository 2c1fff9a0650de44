"""The report as one HTML file: nothing is fetched, and nothing that a run has logged can execute.

The page's policy lets run exactly one script and one style sheet, by their hashes; the script makes
every element from values, never from markup. It draws its own SVG: the whole program is 40 kB,
where a plotting library would bring 5 MB to every report, and policies it could not keep.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from dataclasses import dataclass
from pathlib import Path
from string import Template

from vit.review.board import Board
from vit.review.configurations import Configuration
from vit.review.curves import MOST_NUMBERS, curves
from vit.review.page_file import STEPS, identity
from vit.review.pictures import MOST_BYTES, embedded
from vit.review.plain import as_plain
from vit.review.report import Report

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (
    *("dom", "table", "chart", "curves", "leaderboard", "mattered", "mistakes", "sections"),
    *("images", "pictures", "precision", "per_image", "looks"),
    "boards",
    *("main", "follow"),
)
BESIDE_IT = " 'self' file:"  # in the policy: pictures alone, which run nothing


@dataclass(frozen=True)
class Follow:
    """What a page that is being kept fresh looks at: a picture beside it, and its own number."""

    file: str
    number: int
    steps: int = STEPS


def page(report: Report, follow: Follow | None = None) -> str:
    """The whole file as text; with `follow` it loads itself again when there is a later one."""
    title = ", ".join(Path(source).resolve().name for source in report.sources)
    known = {each.id: each for each in report.configurations}
    boards = _tables(report)
    about = report.about_boards
    content = {
        "title": title,
        "created": report.created,
        "about": about,
        "notes": report.overall.notes if about else [],
        "follow": as_plain(follow),
        "boards": [_drawn(board, tables, known, len(boards)) for board, tables in boards],
    }
    parts = "\n".join((ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}\n}})();'
    style = (ASSETS / "page.css").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        f"img-src data:{'' if follow is None else BESIDE_IT}; "
        "base-uri 'none'; form-action 'none'"
    )
    template = Template((ASSETS / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        policy=policy,
        identity=identity(report.sources),
        title=html.escape(title),
        style=style,
        script=script,
        data=as_script_data(content),
    )


def _tables(report: Report) -> list[tuple[Board, dict[str, object]]]:
    """Each board, and as plain values."""
    if report.boards:
        return [(board, as_plain(board)) for board in report.boards]
    plain = report.to_plain()
    kept = {key: plain[key] for key in plain if key not in ("boards", "about_boards", "sources")}
    return [(report.overall, {**kept, "title": ""})]


def _drawn(
    board: Board, tables: dict[str, object], known: dict[str, Configuration], shared_by: int
) -> dict[str, object]:
    """The tables of a board with its curves and pictures; all boards have the same room."""
    configurations = [known[row.id] for row in board.configurations]
    return {
        **tables,
        "curves": as_plain(curves(configurations, board.metric, MOST_NUMBERS // shared_by)),
        "pictures": embedded(board.pictures, MOST_BYTES // shared_by),
        "looks": embedded(board.looks, MOST_BYTES // shared_by),
    }


def as_script_data(content: object) -> str:
    """JSON that cannot end the element it stands in; what JSON has no number for is null."""
    try:
        text = _json(content)
    except (ValueError, TypeError):  # a NaN, or a key that is no text: seldom, and slow to look for
        text = _json(_finite(content))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False, default=str)


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
