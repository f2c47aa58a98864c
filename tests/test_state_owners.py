"""Each attribute of a state type is written by the module of its class; others call a method.

The sources are read with `ast`, without types: an attribute is found by its name. `self.name` in
another class is not found, because that is an attribute of the other class. OTHERS names the
attributes of other objects that have the name of one here.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from okibi.actors.cancel_scopes import CancelScopes
from okibi.actors.life import Life
from okibi.actors.process import Process
from okibi.actors.wait_cycles import Waits
from okibi.actors.work import Work
from okibi.runtime.in_flight.broken_connection import Resend
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.failures import Failures, Repeats
from okibi.runtime.in_flight.lane import Lane, LaneConnection, ResponseHeads
from okibi.runtime.in_flight.outbox import Outbox
from okibi.runtime.in_flight.stream import Stream

PACKAGE = Path(__file__).parents[1] / "okibi"
# Other folders do not see the objects of a running function.
PROCESS_FOLDERS = ("actors", "supervisors", "runtime", "testing")
LANE_FOLDERS = ("runtime", "testing", "cli")
PROCESS = (Process, Life, Work, Waits, CancelScopes)
LANE = (
    Lane, LaneConnection, ResponseHeads, Outbox, Resend, Failures, Repeats, Stream, Delivery,
)  # fmt: skip
STATE = [
    *((kind, PROCESS_FOLDERS) for kind in PROCESS),
    *((kind, LANE_FOLDERS) for kind in LANE),
]
OTHERS = {
    "CONTEXT.task", "context.task", "current.headers", "current.request_id", "invocation.outcome",
    "place.reason", "shutdown.root", "sys.path",
}  # fmt: skip
# Attributes of one class. With more, a part of the state wants a type of its own.
MOST = 15
# Methods that change a dictionary, list or deque in place.
CHANGES = {
    "append", "appendleft", "clear", "extend", "insert", "pop", "popitem", "popleft", "setdefault",
    "update",
}  # fmt: skip


def attributes_of(kind: type) -> set[str]:
    """Return the attributes of a class: those that its methods assign to `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    return {each.attr for each in _written(tree) if ast.unparse(each.value) == "self"}


@cache
def written_attributes(file: Path) -> list[ast.Attribute]:
    return [*_written(ast.parse(file.read_text("utf-8")))]


def _written(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Yield every attribute that code assigns, deletes, or changes in place."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                yield node
            case ast.Subscript(value=ast.Attribute() as changed, ctx=ast.Store() | ast.Del()):
                yield changed
            case ast.Call(func=ast.Attribute(value=ast.Attribute() as changed, attr=method)):
                if method in CHANGES:
                    yield changed
            case _:
                pass


@pytest.mark.parametrize(("kind", "folders"), STATE)
def test_no_other_module_writes_an_attribute(kind: type, folders: tuple[str, ...]) -> None:
    own, names = Path(inspect.getfile(kind)), attributes_of(kind)
    found = {
        f"{file.relative_to(PACKAGE)}: {ast.unparse(written)}"
        for folder in folders
        for file in sorted((PACKAGE / folder).rglob("*.py"))
        if file != own
        for written in written_attributes(file)
        if written.attr in names and ast.unparse(written) not in (f"self.{written.attr}", *OTHERS)
    }

    assert found == set()


@pytest.mark.parametrize("kind", [*PROCESS, *LANE])
def test_a_class_has_few_attributes(kind: type) -> None:
    assert 0 < len(attributes_of(kind)) <= MOST
