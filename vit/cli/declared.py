"""What a class takes, read from its source: importing parts takes torch, and so seconds.

Nothing of it is run, so anybody's class may be asked about. `inspect.signature` stays the schema
that the check holds configs against; a test holds this reader against it, class by class.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vit.cli.source import Module, lineage_of, resolved, settled

PLAIN = {"int": "int", "float": "float", "bool": "bool", "str": "text", "Path": "text"}
# In a docstring: the names of an entry, which may end in `…`, and its text with further lines.
ARGS = re.compile(r"^ {4}([\w…]+(?:, [\w…]+)*)(?: \([^)]*\))?: (.*(?:\n {6,}.*)*)", re.MULTILINE)
PLAIN |= {"Any": "any", "dict": "mapping", "Mapping": "mapping", "list": "[…]", "tuple": "[…]"}


@dataclass(frozen=True)
class Parameter:
    """One thing that a class takes. `default` is Python's text of it; None: it must be given."""

    name: str
    type: str  # as a YAML file sees it: int, float or null, 'crop' | 'squash', [int, int], part
    choices: tuple[str, ...]
    default: str | None
    keyword: bool  # behind the star: config, in a class of ours
    about: str  # the comment behind it, or what a docstring says of it


@dataclass(frozen=True)
class Declared:
    """A class or function, as its source declares it."""

    target: str
    about: str  # the first sentence of its docstring
    parameters: dict[str, Parameter]
    takes_any: bool
    decides: dict[str, frozenset[str]] = field(default_factory=dict)  # of parts passed to it

    def settings(self) -> dict[str, Parameter]:
        """What of it is config: of a class of ours what stands behind the star."""
        own = self.target.startswith("vit.")
        return {name: each for name, each in self.parameters.items() if each.keyword or not own}


@functools.cache
def declared(target: str) -> Declared | None:
    """What lies at a dotted path; None where there is no Python source of it to be read."""
    found = resolved(target)
    if found is None:
        return None
    module, node = found
    if isinstance(node, ast.FunctionDef):
        parameters, takes_any = _arguments(module, node, [])
        return Declared(target, _first_sentence(node), parameters, takes_any)
    lineage = list(lineage_of(module, node))
    parameters, takes_any = _constructor(lineage)
    names = {name: _decided(node, name) for name in parameters}
    return Declared(target, _first_sentence(node), parameters, takes_any, names)


def _constructor(
    lineage: list[tuple[Module, ast.ClassDef]],
) -> tuple[dict[str, Parameter], bool]:
    for at, (module, node) in enumerate(lineage):
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                return _arguments(module, each, lineage)
        if _dataclass(node) is not None:
            return _fields(lineage[at:]), False
    return {}, False


def _arguments(
    module: Module, node: ast.FunctionDef, lineage: list[tuple[Module, ast.ClassDef]]
) -> tuple[dict[str, Parameter], bool]:
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    behind: list[ast.expr | None] = list(given.defaults)
    defaults = [None] * (len(plain) - len(behind)) + behind
    rows = list(zip(plain, defaults, strict=True))[bool(lineage) :]  # without self
    found = {}
    docs = [*(ast.get_docstring(each) or "" for _, each in lineage), ast.get_docstring(node) or ""]
    for keyword, pairs in (
        (False, rows),
        (True, zip(given.kwonlyargs, given.kw_defaults, strict=True)),
    ):
        for each, default in pairs:
            about = module.comment(default or each) or _explained(docs, each.arg)
            text = None if default is None else _value(module, default)
            found[each.arg] = _parameter(module, each.arg, each.annotation, text, keyword, about)
    return found, given.kwarg is not None


def _fields(lineage: list[tuple[Module, ast.ClassDef]]) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    docs = [ast.get_docstring(each) or "" for _, each in lineage]
    for module, node in reversed(lineage):
        if (options := _dataclass(node)) is None:
            continue
        for each in node.body:
            if not (isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)):
                continue
            if "ClassVar" in ast.unparse(each.annotation):
                continue
            default, own = _default(module, each.value)
            keyword = {**options, **own}.get("kw_only") == "True"
            about = _explained(docs, each.target.id, args_only=True)
            about = about or module.comment(each) or _explained(docs, each.target.id)
            name = each.target.id
            found[name] = _parameter(module, name, each.annotation, default, keyword, about)
    return found


def _dataclass(node: ast.ClassDef) -> dict[str, str] | None:
    """The options of its `@dataclass`; None where it has none."""
    for each in node.decorator_list:
        name = ast.unparse(each.func if isinstance(each, ast.Call) else each)
        if name.split(".")[-1] == "dataclass":
            given = each.keywords if isinstance(each, ast.Call) else []
            return {str(word.arg): ast.unparse(word.value) for word in given}
    return None


def _value(module: Module, node: ast.expr) -> str:
    """A default as it is written, or what its name stands for where that is a plain value."""
    meant = settled(module, node) if isinstance(node, ast.Name) else node
    return ast.unparse(meant if isinstance(meant, ast.Constant) else node)


def _default(module: Module, node: ast.expr | None) -> tuple[str | None, dict[str, str]]:
    """The default of a field, and what else `field(…)` says of it."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("field")):
        return (None if node is None else _value(module, node)), {}
    own = {str(word.arg): ast.unparse(word.value) for word in node.keywords}
    made = {"list": "[]", "dict": "{}", "tuple": "()"}
    if (factory := own.get("default_factory")) is not None:
        return made.get(factory, f"{factory}()"), own
    return own.get("default"), own


def _parameter(
    module: Module,
    name: str,
    hint: ast.expr | None,
    default: str | None,
    keyword: bool,
    about: str,
) -> Parameter:
    choices = tuple(_choices(module, hint))
    return Parameter(name, hint_text(module, hint), choices, default, keyword, about)


def _choices(module: Module, hint: ast.expr | None) -> Iterator[str]:
    hint = settled(module, hint)
    if isinstance(hint, ast.Subscript) and ast.unparse(hint.value).endswith("Literal"):
        inner = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
        yield from (str(ast.literal_eval(each)) for each in inner)
    elif isinstance(hint, ast.BinOp):
        yield from _choices(module, hint.left)
        yield from _choices(module, hint.right)


def hint_text(module: Module | None, hint: ast.expr | None) -> str:
    """An annotation as a YAML file sees it: `float or null`, `[int, int]`, `part`."""
    hint = settled(module, hint)
    if hint is None:
        return "any"
    if isinstance(hint, ast.BinOp):
        names = f"{hint_text(module, hint.left)} or {hint_text(module, hint.right)}".split(" or ")
        return " or ".join(dict.fromkeys(names))
    if isinstance(hint, ast.Constant):
        return "null"
    if isinstance(hint, ast.Subscript):
        return _generic(module, hint)
    return PLAIN.get(ast.unparse(hint).split(".")[-1], "part")


def _generic(module: Module | None, hint: ast.Subscript) -> str:
    name = ast.unparse(hint.value).split(".")[-1]
    inner = list(hint.slice.elts) if isinstance(hint.slice, ast.Tuple) else [hint.slice]
    if name == "Literal":
        return " | ".join(str(ast.literal_eval(each)) for each in inner)
    if name in ("Optional", "Union"):
        names = [hint_text(module, each) for each in inner]
        return " or ".join(dict.fromkeys([*names, *(["null"] if name == "Optional" else [])]))
    if name == "Annotated":
        return hint_text(module, inner[0]).replace("any", "part")
    if name in ("list", "List", "Sequence", "Iterable", "tuple", "Tuple", "set", "frozenset"):
        names = [
            "…" if ast.unparse(each) in ("...", "()") else hint_text(module, each) for each in inner
        ]
        more = [] if name.lower() == "tuple" else ["…"]
        return f"[{', '.join([*names, *more])}]"
    return "mapping" if name in ("dict", "Dict", "Mapping") else "part"


def _first_sentence(node: ast.ClassDef | ast.FunctionDef) -> str:
    return _sentences((ast.get_docstring(node) or "").strip().partition("\n\n")[0], ends=".")[0]


def _sentences(text: str, ends: str = ".;") -> list[str]:
    return re.split(rf"(?<=[{ends}])\s+(?=[A-Z`])", " ".join(text.split()))


def _explained(docs: list[str], name: str, args_only: bool = False) -> str:
    """What docstrings say of a parameter: under `Args:`, else the sentence that names it."""
    for doc in docs:
        for names, text in ARGS.findall(doc):
            for each in names.split(", "):
                if each == name or (each.endswith("…") and name.startswith(each[:-1])):
                    return _sentences(text, ends=".")[0].replace("``", "`")
    for doc in () if args_only else docs:
        for sentence in _sentences(doc.split("Args:")[0]):
            if f"`{name}`" in sentence:
                return sentence
    return ""


def _decided(owner: ast.ClassDef, key: str) -> frozenset[str]:
    """What a class gives the part that is its parameter `key`, by keyword, where it is called."""
    found: set[str] = set()
    for call in (node for node in ast.walk(owner) if isinstance(node, ast.Call)):
        named = [call.func, *call.args]
        if any(isinstance(each, ast.Name) and each.id == key for each in named):
            found |= {word.arg for word in call.keywords if word.arg}
    return frozenset(found)
