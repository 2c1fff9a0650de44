"""The pages that people read, taken apart for the tests of them."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping

ROOT = Path(__file__).parents[1]
GUIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [
    *GUIDE,
    ROOT / "CHANGELOG.md",
    ROOT / "vit/models/article.md",
    *sorted((ROOT / "experiments").glob("*/README.md")),
]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def fences(text):
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)


def prose(text):
    return re.sub(r"^```[^\n]*\n.*?^```", "", text, flags=re.M | re.S)


def spans(text):
    """What stands between backticks, a line break within it read as a blank."""
    return [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose(text))]


def links(text):
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "code", prose(text)))


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.M | re.S)


def as_notebook(page: Path) -> dict[str, Any]:
    """Runs the Python blocks of a page in order, as a notebook's cells; gives what they named.

    A block whose last line is an expression shows it, as a table or a picture where it can.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(python_blocks(page), start=1):
        cell = ast.parse(block)
        last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
        file = f"{page.name}, block {number}"
        exec(compile(cell, file, "exec"), names)
        if last is not None:
            shown = eval(compile(ast.Expression(last.value), file, "eval"), names)
            getattr(shown, "_repr_html_", shown.__repr__)()
    return names


@contextmanager
def module_of(page: str, name: str, folder: Path) -> Iterator[ModuleType]:
    """All Python blocks of `page`, as the module `name` in `folder`, without checks of types."""
    blocks = python_blocks(ROOT / "docs" / page)
    (folder / f"{name}.py").write_text("\n\n".join(blocks), encoding="utf-8")
    sys.path.insert(0, str(folder))
    checked = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)  # as outside of tests
    yield importlib.import_module(name)
    jaxtyping.config.update("jaxtyping_disable", checked)
    sys.path.remove(str(folder))
