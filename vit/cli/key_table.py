"""How keys are shown: on a terminal of any width, in Markdown, as plain values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from vit.console import console

NARROW = 76  # columns of a terminal; below it a key is a paragraph
ADDED = "+"


@dataclass
class Key:
    """One setting."""

    key: str
    type: str
    default: Any
    about: str = ""
    choices: list[str] = field(default_factory=list)
    added: bool = False  # by a plus: its class takes it, and no file sets it
    required: bool = False

    @property
    def shown(self) -> str:
        return f"{ADDED}{self.key}" if self.added else self.key

    @property
    def value(self) -> str:
        if self.required:
            return "must be given"
        if isinstance(self.default, str) and (self.added or self.default):
            return self.default
        return json.dumps(self.default, ensure_ascii=False)


@dataclass
class Section:
    """The keys of one part of a config, or of its top."""

    path: str
    about: str
    keys: list[Key]
    target: str | None = None  # the class
    group: str | None = None
    chosen: str | None = None
    choices: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        chosen = f"{self.group}={self.chosen}" if self.group else self.path
        return chosen if not self.target else f"{chosen}: {self.target}"


def as_plain(section: Section) -> dict[str, Any]:
    return asdict(section)


def as_markdown(sections: list[Section]) -> str:
    lines = []
    for section in sections:
        lines += [f"### {section.title.replace(': ', ': `', 1)}{'`' * bool(section.target)}", ""]
        lines += [section.about, ""] if section.about else []
        if section.choices:
            lines += [f"Choices of `{section.group}`: {_ticked(section.choices)}", ""]
        if section.keys:
            lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
            lines += [
                f"| `{key.shown}` | {_cell(key.type)} | `{_cell(key.value)}` | {_cell(key.about)} |"
                for key in section.keys
            ]
            lines.append("")
    return "\n".join(lines).rstrip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _ticked(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def show(sections: list[Section]) -> None:
    """On standard output; a row a key, or where that is too narrow a paragraph."""
    from vit.console import PlainTable

    out = console(markup=False)
    for number, section in enumerate(sections):
        if number:
            out.print()
        out.print(section.title, style="bold")
        if section.about:
            out.print(section.about)
        if section.choices:
            out.print(f"choices of {section.group}: {', '.join(section.choices)}")
        if out.width < NARROW:
            for key in section.keys:
                out.print(f"\n{key.shown}", style="cyan")
                out.print(f"  {key.type}, default {key.value}")
                if key.about:
                    out.print(f"  {key.about}")
            continue
        if not section.keys:
            continue
        table = PlainTable(header_style="dim")
        table.add_column(
            "key", style="cyan", overflow="fold", max_width=max(out.width * 2 // 5, 30)
        )
        table.add_column("type", overflow="fold", max_width=out.width // 5)
        table.add_column("default", overflow="fold", max_width=out.width // 5)
        table.add_column("what it is", overflow="fold", ratio=1)
        for key in section.keys:
            table.add_row(key.shown, key.type, key.value, key.about)
        out.print(table)
