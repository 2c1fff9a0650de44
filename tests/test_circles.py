"""No two modules need one another, however late or for whatever reason they import."""

import ast
from pathlib import Path

import vit

HOME = Path(vit.__file__).parent
# From the top: a room imports from those below it, and from the ground, which is all the rest.
STOREYS = (
    {"api"},
    {"cli"},
    {"jobs"},
    {"check", "bench", "explain", "review"},
    {"trained"},
    {"sweeps"},
    {"tasks"},
    {"callbacks"},
    {"pictures", "probes"},
    {"models", "losses", "metrics", "optim"},
    {"data"},
)
HEIGHT = {room: len(STOREYS) - at for at, storey in enumerate(STOREYS) for room in storey}


def modules(home):
    """Name → source, of every module of a package."""
    named = {}
    for file in home.rglob("*.py"):
        parts = file.relative_to(home.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file.read_text()
    return named


def imports(source, known):
    """The known modules that a source imports, also inside of functions and for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not followed here"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                target = inside if inside in known else node.module
                if target in known:
                    yield target


def circles(sources):
    """Sets of modules of which each leads to all others."""
    below = {name: set(imports(source, sources)) - {name} for name, source in sources.items()}
    reached = {}
    for name in below:
        seen, left = set(), [name]
        while left:
            for other in below[left.pop()] - seen:
                seen.add(other)
                left.append(other)
        reached[name] = seen
    joined = {
        frozenset({name, *(other for other in seen if name in reached[other])})
        for name, seen in reached.items()
        if name in seen
    }
    return [set(one) for one in joined]


def test_no_modules_import_one_another_in_a_circle():
    assert [sorted(one) for one in circles(modules(HOME))] == []


def test_imports_inside_of_functions_and_for_types_are_followed():
    sources = {
        "a": "import b",
        "b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from c import C",
        "c": "def f():\n    import a",
        "d": "import a",
    }
    assert circles(sources) == [{"a", "b", "c"}]


def height(module):
    return HEIGHT.get([*module.split("."), ""][1], 0)


def rising(sources):
    """The imports that lead from a room to one above it; `vit` itself offers what is wherever."""
    return [
        f"{name} imports {other}"
        for name, source in sources.items()
        for other in imports(source, sources)
        if name not in ("vit", "vit.__main__") and height(other) > height(name)
    ]


def test_rooms_import_from_below_only():
    assert rising(modules(HOME)) == []
    assert rising({"vit.data.x": "from vit.tasks import y", "vit.tasks": ""}) != []
