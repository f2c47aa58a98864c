"""`running` gives the results and errors that the real sandbox gives."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okibi.testing import FunctionError, running, sandbox, virtual_time

CODE = """
import sys

import attrs
import trio

from okibi import Child, Context, Function, Handler, Name, Server

class Stock(Server):
    async def take(self, count: int) -> float:
        return 1 / count

STOCK = Name("stock", Stock)

@attrs.frozen
class Order:
    kind: str
    count: int = 1

class Shop(Handler[Order]):
    async def handle(self, event: Order, context: Context) -> object:
        match event.kind:
            case "take":
                return {"left": await STOCK.call(Stock.take, event.count)}
            case "raise":
                raise ValueError("no such kind")
            case "group":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep, -1)
                    raise LookupError("in a nursery")
            case "cause":
                try:
                    {}["key"]
                except KeyError as error:
                    raise RuntimeError("no key") from error
            case "exit":
                sys.exit(3)
            case "late":
                await trio.sleep(60)
            case "object":
                return object()
            case "bytes":
                return b"no json"
            case "text":
                return "gr\\u00fc\\u00dfe"
        return [event.kind, event.count, context.function_name, context.memory_limit_in_mb]

function = Function(Shop, children=[Child(Stock, name=STOCK)])
"""
EVENTS: list[Any] = [
    {"kind": "take", "count": 2},
    {"kind": "take", "count": 0},
    {"kind": "take", "count": 4},
    *({"kind": kind} for kind in ("raise", "group", "cause", "exit", "object", "bytes", "text")),
    {"kind": "late"},
    {"kind": "other", "count": 7},
    {"kind": "other", "count": "seven"},
    {},
    None,
    b"{",
]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "kit_shop.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kit_shop", raising=False)
    return import_module("kit_shop")


def outcome_of(error: FunctionError) -> object:
    return type(error), error.error_type, error.message, error.stack


def test_results_and_errors_are_those_of_the_sandbox(app: ModuleType) -> None:
    in_test, in_sandbox = list[object](), list[object]()

    @virtual_time
    async def main() -> None:
        async with running(app.function, timeout=0.6) as function:
            for event in EVENTS:
                try:
                    in_test.append(await function.invoke(event))
                except FunctionError as error:
                    in_test.append(outcome_of(error))

    main()
    with sandbox(app.function, timeout=0.6) as box:
        for event in EVENTS:
            try:
                in_sandbox.append(box.invoke(event))
            except FunctionError as error:
                in_sandbox.append(outcome_of(error))

    assert in_test == in_sandbox
    assert sum(isinstance(each, tuple) for each in in_test) == 11
