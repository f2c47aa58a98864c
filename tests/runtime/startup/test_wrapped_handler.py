"""The handler of a library in the handler setting: what is served, and who traces it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.handlers.function import Function
from okibi.runtime.startup import find_function
from okibi.runtime.startup.find_function import load

USERS = """
from okibi import Child, Function, Handler, Server

class Visits(Server): ...

class Greeter(Handler[str]):
    async def handle(self, event, context): ...

def plain(event, context): ...

class Callable:
    def __call__(self, event, context): ...

def generator(event, context):
    yield ""

async def awaits(event, context): ...

async def stream(event, context):
    yield ""

async def application(scope, receive, send): ...

called = Callable()
function = Function(plain, [Child(Visits)])
"""
# Imports the user's handler as the libraries do, and calls the handler.
LIBRARY = """
import importlib, os
module, name = os.environ["{}"].rsplit(".", 1)
hidden = getattr(importlib.import_module(module), name)

def handler(event, context):
    return hidden(event, context)
"""
ADAPTER = """
calls = []

def undo_wrapper():
    calls.append("undo")

def trace_events():
    calls.append("trace")
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A task root with a library, an adapter and a user's module."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(
        find_function, "WRAPPERS", {"library": ("NAMED", "The Library", "an_adapter")}
    )
    (tmp_path / "users.py").write_text(USERS)
    (tmp_path / "library.py").write_text(LIBRARY.format("NAMED"))
    (tmp_path / "an_adapter.py").write_text(ADAPTER)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["plain", "called"])
def test_a_plain_def_stays_behind_the_library_s_handler(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMED", f"users.{name}")

    function = load("library.handler", str(root))

    assert function.handler.handler is sys.modules["library"].handler
    assert "an_adapter" not in sys.modules


KINDS = ["Greeter", "generator", "awaits", "stream", "application", "function"]


@pytest.mark.parametrize(("name", "lanes"), [*((kind, 1) for kind in KINDS), ("plain", 2)])
def test_anything_else_is_served_itself_and_traced_by_the_adapter(
    name: str, lanes: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAMED", f"users.{name}")

    function = load("library.handler", str(root), lanes)

    users = sys.modules["users"]
    if name == "application":
        assert type(function.handler.handler).__name__ == "ASGI"
    else:
        expected = getattr(users, name)
        assert function is expected or function == Function(expected)
    assert sys.modules["an_adapter"].calls == ["undo", "trace"]


def test_a_function_that_sets_up_the_adapter_is_traced_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "users.py").write_text(f"import an_adapter\nan_adapter.trace_events()\n{USERS}")
    monkeypatch.setenv("NAMED", "users.function")

    load("library.handler", str(root))

    assert sys.modules["an_adapter"].calls == ["trace", "undo"]


def test_the_log_says_if_the_adapter_cannot_trace(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "an_adapter.py").write_text("import an_sdk")
    monkeypatch.setenv("NAMED", "users.function")

    assert load("library.handler", str(root)).children

    (record,) = caplog.records
    assert record.getMessage() == (
        "users.function is not traced, because okibi's adapter for The Library raised "
        "ModuleNotFoundError(\"No module named 'an_sdk'\"): install the packages of The Library, "
        "or set the handler setting to users.function"
    )


def test_the_library_s_own_errors_stay(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAMED", "users.absent")

    with pytest.raises(InitError, match="has no attribute 'absent'"):
        load("library.handler", str(root))


@pytest.mark.parametrize(
    ("file", "variable"),
    [
        ("newrelic_lambda_wrapper", "NEW_RELIC_LAMBDA_HANDLER"),
        ("lumigo_tracer", "LUMIGO_ORIGINAL_HANDLER"),
    ],
)
def test_without_an_adapter_a_function_with_children_is_refused(
    file: str, variable: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(sys, "path", list(sys.path))
    (root / f"{file}.py").write_text(LIBRARY.format(variable))

    for hidden in ("users.function", "users.Greeter"):
        sys.modules.pop(file, None)
        monkeypatch.setenv(variable, hidden)
        with pytest.raises(InitError) as caught:
            load(f"{file}.handler", str(root))
        assert caught.value.kind == "Runtime.HandlerWrapperConflict"
        assert caught.value.message == (
            f"{file}.handler calls {hidden}, which {variable} names, as handler(event, context), "
            "and so starts neither children nor a Handler class: set the handler setting to "
            f"{hidden}, and wrap a `def` inside: Function(wrapper(handler), children=[...])"
        )

    sys.modules.pop(file, None)
    monkeypatch.setenv(variable, "users.plain")
    assert load(f"{file}.handler", str(root)).handler.handler.__module__ == file
