"""The trace variable: visible to Python and child processes, without a leak."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okibi.runtime.logs import xray_variable
from okibi.runtime.logs.xray_variable import BUFFER_SIZE, VARIABLE, export_trace


@pytest.fixture(autouse=True)
def clean_variable() -> Iterator[None]:
    yield
    os.environ.pop(VARIABLE, None)


def child() -> str:
    """The value that a child process inherits from the C environment."""
    code = f"import os; print(os.environ.get({VARIABLE!r}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def test_python_and_child_processes_see_the_trace() -> None:
    for trace in (b"Root=1", b"Root=2-longer", b"Root=3"):
        export_trace(trace)

        assert os.environ[VARIABLE] == os.getenv(VARIABLE) == trace.decode()
        assert dict(os.environ)[VARIABLE] == trace.decode()
        assert child() == trace.decode()


@pytest.mark.parametrize("nothing", [None, b""])
def test_an_empty_trace_deletes_the_variable_for_both(nothing: bytes | None) -> None:
    export_trace(b"Root=1")
    export_trace(nothing)
    export_trace(nothing)

    assert VARIABLE not in os.environ
    assert child() == "None"


def test_a_value_changed_by_user_code_is_replaced() -> None:
    export_trace(b"Root=1")
    os.environ[VARIABLE] = "its own"
    assert child() == "its own"
    export_trace(b"Root=1")
    assert os.environ[VARIABLE] == child() == "Root=1"

    del os.environ[VARIABLE]
    export_trace(b"Root=2")
    assert os.environ[VARIABLE] == child() == "Root=2"


def test_an_empty_value_set_before_the_first_event_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xray_variable, "_entry", [])
    os.environ[VARIABLE] = ""

    export_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"


def test_a_trace_larger_than_the_buffer_is_set() -> None:
    long = b"x" * BUFFER_SIZE
    export_trace(long)
    assert os.environ[VARIABLE] == child() == long.decode()

    export_trace(b"Root=1")
    assert os.environ[VARIABLE] == child() == "Root=1"


def test_without_the_compiled_module_the_variable_is_set_through_os_environ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "okibi.runtime.system.native", None)
    monkeypatch.setattr(xray_variable, "_entry", [])

    export_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_ten_thousand_events_leak_no_memory() -> None:
    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    def events(first: int) -> None:
        for n in range(first, first + 10_000):
            export_trace(b"Root=1-%08d-%024d;Parent=%016d;Sampled=1" % (n, n, n))

    events(0)
    before = pages()
    events(10_000)

    # With setenv it would be 1.4 MB.
    assert (pages() - before) * resource.getpagesize() < 200_000


class Renamed(dict[str, str]):
    """An environment without the attributes of CPython's."""

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name, value)
        os.putenv(name, value)


def test_another_os_environ_is_set_as_by_the_official_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xray_variable, "_entry", [])
    monkeypatch.setattr(os, "environ", Renamed(os.environ))

    export_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"
