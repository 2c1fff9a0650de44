"""What `vit attend` leaves: pictures, attend.json, and attend.html, which needs no other file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vit.runs.links import refuse_links

SCHEMA_VERSION = 1
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; max-width: 75rem }
img { max-width: 100%; image-rendering: pixelated; background: #fff }
table { border-collapse: collapse } td, th { padding: .15rem .5rem; text-align: right }
th:first-child { text-align: left } .map td { text-align: center; min-width: 1.4rem }
.scroll { overflow-x: auto } .soft { opacity: .7 } svg { background: #8881 }
"""
COLOURS = ("#d1495b", "#2a7fba", "#3a9a5b", "#888888", "#c08a2b")


def write(
    out: Path, content: dict[str, Any], drawn: Sequence[dict[str, Image.Image]] = ()
) -> dict[str, Any]:
    """Writes all into the folder; answers with what attend.json holds.

    `drawn` are the pictures of each of the content's images, `sheet` among them; their files'
    names are added to the content, relative to the folder.
    """
    refuse_links(out)
    out.mkdir(parents=True, exist_ok=True)
    sheets = []
    for number, (row, own) in enumerate(zip(content.get("images", []), drawn, strict=True)):
        row["files"] = {name: f"{number:03d}-{name}.png" for name in own}
        for name, picture in own.items():
            picture.save(out / row["files"][name])
        sheets.append((out / row["files"]["sheet"]).read_bytes())
    record = {"schema_version": SCHEMA_VERSION, **content, "page": str(out / "attend.html")}
    (out / "attend.html").write_text(page(record, sheets), encoding="utf-8")
    text = json.dumps(record, indent=1, ensure_ascii=False)
    part = out / "attend.json.part"
    part.write_text(text, encoding="utf-8")
    part.replace(out / "attend.json")
    return record


def page(record: dict[str, Any], sheets: Sequence[bytes]) -> str:
    """One HTML file without a script; all that came from outside is escaped. Sheets are PNG."""
    parts = [
        _image(row, sheet) for row, sheet in zip(record.get("images", []), sheets, strict=True)
    ]
    parts += [_text(row) for row in record.get("texts", [])]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    title = f"What {html.escape(Path(record['run']).name)} looks at"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _image(row: dict[str, Any], sheet: bytes) -> str:
    words = [f"<h2>{html.escape(row['path'])}</h2>"]
    if "class" in row:
        words.append(f"<p>{html.escape(row['class'])}, {row['probability']:.1%}</p>")
    if "objects" in row:
        count = len(row["objects"])
        words.append(f"<p>{count} object{'s' * (count != 1)} above the threshold</p>")
    source = f"data:image/png;base64,{base64.b64encode(sheet).decode()}"
    words.append(f'<img alt="" loading="lazy" src="{source}">')
    if "faithfulness" in row:
        words.append(_curves(row["faithfulness"]))
    return f"<section>{''.join(words)}</section>"


def _curves(found: dict[str, Any]) -> str:
    rows = "".join(
        f'<tr><th style="color:{colour}">{html.escape(name)}</th>'
        f"<td>{own['deletion_area']:.3f}</td><td>{own['insertion_area']:.3f}</td></tr>"
        for (name, own), colour in zip(found.items(), COLOURS, strict=False)
    )
    table = (
        "<table><tr><th>order of the patches</th><th>deletion (low is faithful)</th>"
        f"<th>insertion (high is faithful)</th></tr>{rows}</table>"
    )
    return "".join(_plot(found, kind) for kind in ("deletion", "insertion")) + table


def _plot(found: dict[str, Any], kind: str) -> str:
    lines = []
    for own, colour in zip(found.values(), COLOURS, strict=False):
        values = own[kind]
        points = " ".join(
            f"{10 + 240 * at / (len(values) - 1):.1f},{130 - 120 * value:.1f}"
            for at, value in enumerate(values)
        )
        lines.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
        )
    return (
        f'<svg width="260" height="150" role="img" aria-label="{kind}">{"".join(lines)}'
        f'<text x="10" y="146" font-size="11" fill="currentColor">{kind}: probability over the '
        "share of patches</text></svg> "
    )


def _text(row: dict[str, Any]) -> str:
    words = [f"<h2>{html.escape(row['input'])}</h2>"]
    if "class" in row:
        words.append(f"<p>{html.escape(row['class'])}, {row['probability']:.1%}</p>")
    if "text" in row:
        words.append(f"<p>→ {html.escape(row['text'])}</p>")
    for each in row["maps"]:
        table = _table(each["rows"], each["columns"], each["values"])
        words.append(f'<h3>{html.escape(each["name"])}</h3><div class="scroll">{table}</div>')
    return f"<section>{''.join(words)}</section>"


def _table(rows: list[str], columns: list[str], values: list[list[float]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = []
    for name, own in zip(rows, values, strict=True):
        most = max(max(own), 1e-12)
        cells = "".join(
            f'<td style="background:rgba(230,120,30,{max(value, 0) / most:.2f})" '
            f'title="{value:.4g}">&nbsp;</td>'
            for value in own
        )
        body.append(f"<tr><th>{html.escape(name)}</th>{cells}</tr>")
    return f'<table class="map"><tr><th></th>{head}</tr>{"".join(body)}</table>'
