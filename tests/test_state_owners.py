"""Only its own module writes an attribute of a state type; other modules call a method with a name.

The sources are read, not run, and one simple rule finds the writers. An attribute of a state type
may be assigned to `self` in the class. To anything else it may be assigned only in the module of
the class, and only if no type of another module has an attribute of this name. Names and types of
variables do not matter, so no alias escapes. OTHERS lists the attributes of other classes that have
the name of one here.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "okibi"
# Attributes of one class. With more, a part of the state wants a type of its own.
MOST = 13


class StateTypes(NamedTuple):
    """Classes that make up one state.

    Args:
        classes: by module.
        folders: the folders whose modules may hold one.
    """

    classes: dict[str, tuple[str, ...]]
    folders: tuple[str, ...]


STATES = {
    "lane": StateTypes(
        {
            "runtime/in_flight/lane.py": ("Lane", "Connection", "ResponseHeads"),
            "runtime/in_flight/outbox.py": ("Outbox",),
            "runtime/in_flight/broken_connection.py": ("Resend",),
            "runtime/in_flight/failures.py": ("Failures", "Repeats"),
            "runtime/in_flight/stream.py": ("Stream",),
            "runtime/in_flight/delivery.py": ("Delivery",),
        },
        ("runtime", "testing", "cli"),
    ),
}
# Module and attribute: whose it is.
OTHERS = {("testing/function_engine.py", "outcome"): "an Invocation"}


def parse(path: str) -> ast.Module:
    return ast.parse((PACKAGE / path).read_text())


def targets(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield each attribute that is assigned or deleted, whatever the statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node


def is_self(target: ast.Attribute) -> bool:
    return isinstance(target.value, ast.Name) and target.value.id == "self"


def attributes(path: str, name: str) -> set[str]:
    """Return the attributes of a class: those that its methods assign to `self`."""
    (found,) = (
        each for each in parse(path).body if isinstance(each, ast.ClassDef) and each.name == name
    )
    return {each.attr for each in targets(found) if is_self(each)}


def owners(state: StateTypes) -> dict[str, set[str]]:
    """Return the modules that have an attribute, by attribute."""
    found = dict[str, set[str]]()
    for path, names in state.classes.items():
        for attribute in set[str]().union(*(attributes(path, name) for name in names)):
            found.setdefault(attribute, set()).add(path)
    return found


def foreign_writes(
    path: str, tree: ast.Module, owned: dict[str, set[str]]
) -> Iterator[tuple[int, str]]:
    """Yield the line and the attribute of each write in a module that the rule forbids."""
    for each in targets(tree):
        known = is_self(each) or each.attr not in owned or (path, each.attr) in OTHERS
        if not known and owned[each.attr] != {path}:
            yield each.lineno, each.attr


CLASSES = [
    (path, name) for each in STATES.values() for path, of in each.classes.items() for name in of
]


@pytest.mark.parametrize(("path", "name"), CLASSES)
def test_a_state_type_has_few_attributes(path: str, name: str) -> None:
    found = attributes(path, name)

    assert 0 < len(found) <= MOST, sorted(found)


@pytest.mark.parametrize("state", STATES)
def test_only_its_own_module_writes_an_attribute_of_a_state_type(state: str) -> None:
    owned = owners(STATES[state])
    paths = [
        path.relative_to(PACKAGE).as_posix()
        for folder in STATES[state].folders
        for path in sorted((PACKAGE / folder).rglob("*.py"))
    ]

    wrong = [
        f"okibi/{path}:{line} writes `{attribute}` of {', '.join(sorted(owned[attribute]))}"
        for path in paths
        for line, attribute in foreign_writes(path, parse(path), owned)
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("lane.closing = True", ["closing"]),
        ("for each in lanes:\n    each.closing = True", ["closing"]),
        ("def f(self):\n    self.lane.closing, x = 1, 2", ["closing"]),
        ("lane.closing += 1", ["closing"]),
        ("del lane.closing", ["closing"]),
        ("with a() as lane.closing: pass", ["closing"]),
        ("self.closing = 1", []),
        ("if lane.closing: lane.close()", []),
        ("lane.other = 1", []),
    ],
)
def test_a_foreign_write_is_found(source: str, found: list[str]) -> None:
    owned, tree = {"closing": {"lane.py"}}, ast.parse(source)

    assert [attribute for _, attribute in foreign_writes("poller.py", tree, owned)] == found
    assert not [*foreign_writes("lane.py", tree, owned)]
