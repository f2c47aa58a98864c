"""The trace in the environment: seen by all who look for it, and no event leaves memory behind."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okibi.runtime.telemetry import xray_variable
from okibi.runtime.telemetry.xray_variable import ROOM, VARIABLE, set_trace


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    os.environ.pop(VARIABLE, None)


def child() -> str:
    """What a child process inherits, from C's environment and not from Python's."""
    code = f"import os; print(os.environ.get({VARIABLE!r}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def test_python_and_a_child_process_are_told() -> None:
    for trace in (b"Root=1", b"Root=2-longer", b"Root=3"):
        set_trace(trace)

        assert os.environ[VARIABLE] == os.getenv(VARIABLE) == trace.decode()
        assert dict(os.environ)[VARIABLE] == trace.decode()
        assert child() == trace.decode()


@pytest.mark.parametrize("nothing", [None, b""])
def test_without_one_it_is_deleted_for_both(nothing: bytes | None) -> None:
    set_trace(b"Root=1")
    set_trace(nothing)
    set_trace(nothing)

    assert VARIABLE not in os.environ
    assert child() == "None"


def test_what_user_code_has_set_or_deleted_is_set_anew() -> None:
    set_trace(b"Root=1")
    os.environ[VARIABLE] = "its own"
    assert child() == "its own"
    set_trace(b"Root=1")
    assert os.environ[VARIABLE] == child() == "Root=1"

    del os.environ[VARIABLE]
    set_trace(b"Root=2")
    assert os.environ[VARIABLE] == child() == "Root=2"


def test_what_user_code_has_set_to_nothing_before_the_first_is_set_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xray_variable, "_memory", [])
    os.environ[VARIABLE] = ""

    set_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"


def test_one_that_has_no_room_is_told_all_the_same() -> None:
    long = b"x" * ROOM
    set_trace(long)
    assert os.environ[VARIABLE] == child() == long.decode()

    set_trace(b"Root=1")
    assert os.environ[VARIABLE] == child() == "Root=1"


def test_where_there_is_no_ctypes_it_is_set_as_by_the_official_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.setattr(xray_variable, "_memory", [])

    set_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_ten_thousand_events_leave_no_memory_behind() -> None:
    def pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    def events(first: int) -> None:
        for n in range(first, first + 10_000):
            set_trace(b"Root=1-%08d-%024d;Parent=%016d;Sampled=1" % (n, n, n))

    events(0)
    before = pages()
    events(10_000)

    # By setenv it would be 1.4 MB.
    assert (pages() - before) * resource.getpagesize() < 200_000


class Renamed(dict[str, str]):
    """An environment that says nothing of what it is made of."""

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name, value)
        os.putenv(name, value)


def test_where_os_environ_has_no_dict_it_is_set_as_by_the_official_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(xray_variable, "_memory", [])
    monkeypatch.setattr(os, "environ", Renamed(os.environ))

    set_trace(b"Root=1")

    assert os.environ[VARIABLE] == child() == "Root=1"
