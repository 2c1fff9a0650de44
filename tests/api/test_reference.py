"""docs/python.md says what the code says, and its examples are calls that the code takes."""

import ast
import inspect

import pytest
from reference import BEGINS, CLASSES, FUNCTIONS, PAGE, examples, members, offered, reference

import vit


def test_the_page_is_what_signatures_and_docstrings_say():
    start, begins, rest = PAGE.read_text(encoding="utf-8").partition(BEGINS)
    assert start.startswith("# From Python")
    assert begins + rest == reference(), "run python tests/api/reference.py"


def test_each_name_has_a_section_and_each_method_that_takes_something_a_docstring():
    assert {*FUNCTIONS, *CLASSES, "__version__"} == {*vit.__all__}
    for name in CLASSES:
        for member, value in members(offered(name)):
            takes = [*inspect.signature(value).parameters] if inspect.isfunction(value) else []
            assert value.__doc__ or len(takes) < 2, f"{name}.{member}"


DOCUMENTED = {
    **{f"vit.{name}": offered(name) for name in FUNCTIONS},
    **{f"{name}.{key}": value for name in CLASSES for key, value in members(offered(name))},
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_are_calls_that_the_code_takes(name):
    for line in examples(DOCUMENTED[name]):
        for call in (node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)):
            signature = called_by(call)
            if signature is not None:
                keys = {each.arg: None for each in call.keywords}
                signature.bind(*[None] * len(call.args), **keys)


def called_by(call):
    """The signature of `vit.NAME(…)`, or of a method of ours; None for anything else."""
    assert isinstance(call.func, ast.Attribute), ast.unparse(call)
    owner, name = call.func.value, call.func.attr
    if isinstance(owner, ast.Name) and owner.id == "vit":
        return inspect.signature(offered(name))
    for kind in CLASSES:
        found = dict(members(offered(kind))).get(name)
        if inspect.isfunction(found):
            bound = inspect.signature(found)
            return bound.replace(parameters=[*bound.parameters.values()][1:])
    raise AssertionError(f"{ast.unparse(call)} is of nothing that vit offers")
