"""What goes to standard output."""

import io
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.cli.bench import command
from runtime.cli.bench.order import BenchOrder


async def test_a_table_is_printed_in_the_characters_of_its_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def progress() -> Generator[None]:
        yield

    async def measure(*_: object) -> object:
        return SimpleNamespace(one_at_a_time=(), many_at_once=())

    monkeypatch.setattr(command, "progress", progress)
    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(command, "make_report", lambda *_: None)
    monkeypatch.setattr(command, "table", lambda _: "bücher.größe \N{SNOWMAN}\n")
    console = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(console, "cp1252"))

    nothing: Any = SimpleNamespace(json=None, markdown=None, plots=None, allow_errors=False)
    order: BenchOrder = nothing
    assert await command._bench(order) == 0
    assert console.getvalue().decode("cp1252") == "bücher.größe \\u2603\n"
