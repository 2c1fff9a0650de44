"""Python source as it lies there: what a name of a module stands for, wherever it is from."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

MOST_HOPS = 12  # from one module's import to the next one's


class Module:
    """A source file."""

    def __init__(self, name: str, path: Path):
        self.name = name
        text = path.read_text(encoding="utf-8")
        self.is_package = path.name == "__init__.py"
        self.lines = text.splitlines()
        self.tree = ast.parse(text)
        self.defined = {}
        for node in _statements(self.tree.body):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                self.defined[node.name] = node
        self.values = {
            target.id: node.value
            for node in _statements(self.tree.body)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def imported(self, name: str) -> Iterator[str]:
        """The dotted paths that a name of this module may stand for."""
        for node in _statements(self.tree.body):
            if isinstance(node, ast.ImportFrom):
                home = self._home(node)
                for alias in node.names:
                    if alias.name == "*" or (alias.asname or alias.name) == name:
                        yield f"{home}.{name if alias.name == '*' else alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        yield alias.name

    def _home(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = self.name.split(".")
        above = above[: len(above) - node.level + self.is_package]
        return ".".join([*above, *([node.module] if node.module else [])])

    def comment(self, node: ast.expr | ast.stmt | ast.arg) -> str:
        """What stands behind it on its last line."""
        line = self.lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].decode()
        found = re.match(r"[,\s)]*#\s*(?!noqa|type:)(.*)", line)
        return found[1].strip() if found else ""


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements at the top of a module, those behind an `if` or a `try` too."""
    for node in body:
        yield node
        for name in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try):
                yield from _statements(getattr(node, name, []))


@functools.cache
def module_of(name: str) -> Module | None:
    top, *below = name.split(".")
    try:
        spec = find_spec(top)  # of a package at the top, which imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    at = Path(next(iter(folders))).joinpath(*below) if folders else Path(spec.origin or "")
    if not folders and below:
        return None
    for path in (at / "__init__.py", at.with_name(f"{at.name}.py"), at):
        if path.is_file() and path.suffix == ".py":
            try:
                return Module(name, path)
            except (SyntaxError, ValueError, OSError):
                return None
    return None


def resolved(
    target: str, hops: int = MOST_HOPS
) -> tuple[Module, ast.ClassDef | ast.FunctionDef] | None:
    """The module and the node where a dotted path is defined, over imports of it elsewhere."""
    home, _, name = target.rpartition(".")
    module = module_of(home) if home else None
    if module is None or not hops:
        return None
    if name in module.defined:
        return module, module.defined[name]
    found = (resolved(path, hops - 1) for path in module.imported(name))
    return next((each for each in found if each is not None), None)


def lineage_of(module: Module, node: ast.ClassDef) -> Iterator[tuple[Module, ast.ClassDef]]:
    """A class, and those that it extends, the nearest first."""
    yield module, node
    for base in node.bases:
        found = named_in(module, base.value if isinstance(base, ast.Subscript) else base)
        if found is not None and isinstance(found[1], ast.ClassDef) and found[1] is not node:
            yield from lineage_of(found[0], found[1])


def named_in(
    module: Module, node: ast.expr
) -> tuple[Module, ast.ClassDef | ast.FunctionDef] | None:
    name = ast.unparse(node)
    if name in module.defined:
        return module, module.defined[name]
    first, _, rest = name.partition(".")
    for path in module.imported(first):
        if (found := resolved(f"{path}.{rest}" if rest else path)) is not None:
            return found
    return None


def settled(module: Module | None, hint: ast.expr | None) -> ast.expr | None:
    """Without quotes, and a name of the module's own as what it stands for."""
    if isinstance(hint, ast.Constant) and isinstance(hint.value, str):
        hint = ast.parse(hint.value, mode="eval").body
    if isinstance(hint, ast.Name) and module is not None:
        if hint.id in module.values:
            return settled(module, module.values[hint.id])
        for path in module.imported(hint.id):
            home, _, name = path.rpartition(".")
            other = module_of(home) if home.startswith("vit.") else None
            if other is not None and name in other.values:
                return settled(other, other.values[name])
    return hint
