"""Where an import stands that takes too long."""

import io
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from runtime import slow_import
from runtime import watchdog as watchdog_room
from runtime.alarm import SIGNAL
from runtime.kill_timer import SIGNAL as DUMP
from runtime.ring import Ring
from runtime.slow_import import PATIENCE, SlowImport, began
from runtime.watchdog import Watchdog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the timer")

# In pure Python, and no module of it lives for long.
IMPORTS = """
import importlib, sys, time
from runtime.slow_import import SlowImport
names, kept = ("email.message", "argparse", "http.client"), set(sys.modules)
for number in range(60):
    tells_at = time.monotonic() + 0.005 + number / 10_000
    watch = SlowImport(9, tells_at)
    watch.begin()
    while time.monotonic() < tells_at + 0.002:
        for name in names: importlib.import_module(name)
        for name in set(sys.modules) - kept: del sys.modules[name]
    watch.end()
"""
# C code that keeps the interpreter, which no signal's handler of Python's comes to.
HOLDS = """
import ctypes, time
from runtime import slow_import

# The core may be lost before the timers are set.
clock, slow_import.monotonic = time.monotonic, lambda: 0.0
watch = slow_import.SlowImport(9, 0.1)
watch.begin()
slow_import.monotonic = clock
library = ctypes.PyDLL(None)
mutex = ctypes.create_string_buffer(64)
library.pthread_mutex_lock(mutex)
class Until(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
until = Until(int(time.time()) + 2, 0)
library.pthread_mutex_timedlock(mutex, ctypes.byref(until))
watch.end()
"""
# It waits for the main thread, which does not take it yet.
ON_ITS_WAY = """
import signal, threading, time
from runtime.alarm import SIGNAL
from runtime.slow_import import SlowImport

watch = SlowImport(9, time.monotonic() + 60)
watch.begin()
signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
signal.pthread_kill(threading.main_thread().ident, SIGNAL)
watch.end()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
"""


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float | None]]:
    """What the timer behind the first was set for, and None for where it was taken back.

    The clock stands still: on a busy machine a limit may be over before the timers are set.
    """
    done = list[float | None]()
    at = time.monotonic()
    monkeypatch.setattr(slow_import, "monotonic", lambda: at)
    for name, ring in {"set": Ring.set, "take_back": Ring.take_back}.items():

        def noted(self: Ring, *given: float, ring: Any = ring) -> None:
            if self._number == DUMP:
                done.append(given[0] if given else None)
            ring(self, *given)

        monkeypatch.setattr(Ring, name, noted)
    yield done
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def watching(limit: float) -> SlowImport:
    return SlowImport(limit, slow_import.monotonic() + limit)  # type: ignore[attr-defined]


def outcome(code: str) -> tuple[int, str]:
    ended = run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return ended.returncode, ended.stderr


def test_it_tells_all_stacks_of_who_runs_python_the_innermost_frame_first(
    timer: list[float | None], capfd: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    watch = watching(0.05)
    watch.begin()
    while timer[-1] is not None:
        time.sleep(0.01)
    watch.end()
    over.set()
    other.join()

    assert timer == [pytest.approx(0.05 + PATIENCE, abs=0.02), None, None]
    head, *stacks = capfd.readouterr().err.splitlines()
    assert head.endswith(
        "\t\tthe import has taken 0.05 s, of the ten that Lambda gives an init; all stacks follow"
    )
    waits, mine = "\n".join(stacks).split("Current thread")
    assert f'File "{threading.__file__}", line ' in waits
    line, stands, *_ = mine.splitlines()
    assert line.endswith(" (most recent call first):")
    assert stands.startswith(f'  File "{__file__}", line ')
    assert stands.endswith(
        f" in {test_it_tells_all_stacks_of_who_runs_python_the_innermost_frame_first.__name__}"
    )


def test_a_path_that_is_no_utf_8_is_told_with_escapes(
    timer: list[float | None], capfd: pytest.CaptureFixture[str]
) -> None:
    stands = "while timer[-1] is not None:\n    time.sleep(0.01)"
    watch = watching(0.05)
    watch.begin()
    exec(compile(stands, "/\udcff/app.py", "exec"), {"timer": timer, "time": time})
    watch.end()

    assert r'File "/\udcff/app.py", line 2 in <module>' in capfd.readouterr().err


def test_an_import_that_it_tells_of_goes_on() -> None:
    code, said = outcome(IMPORTS)

    assert code == 0, said
    assert said.count("the import has taken 9 s") > 30
    assert 'File "<string>", line 10 in <module>' in said


def test_of_c_code_that_holds_the_interpreter_faulthandler_tells() -> None:
    code, said = outcome(HOLDS)

    assert code == 0
    assert said.startswith("Stack (most recent call first):")
    assert 'File "<string>", line 16 in <module>' in said
    # The main thread takes the signal when it has it again: it is not told of twice.
    assert "the import has taken" not in said


def test_an_import_that_stands_as_deep_as_it_may_hears_nothing_of_it(
    timer: list[float | None], capfd: pytest.CaptureFixture[str]
) -> None:
    def down(levels: int, act: Callable[[], object]) -> None:
        down(levels - 1, act) if levels else act()

    def deepest() -> int:
        levels = 0
        with suppress(RecursionError):
            while True:
                down(levels + 1, lambda: None)
                levels += 1
        return levels

    told = list[bool]()
    for room in range(12):
        watch = watching(60)
        watch.begin()
        # One more call is possible in each: by that the signal's handler begins.
        down(deepest() - room, partial(signal.raise_signal, SIGNAL))
        told.append("the import has taken 60 s" in capfd.readouterr().err)
        # It is not taken back from faulthandler's timer before it can be told.
        assert (timer[-1] is None) is told[-1]
        watch.end()

    assert sorted(told) == told
    assert {*told} == {False, True}


def test_one_that_ends_before_is_not_told_of(
    timer: list[float | None], capfd: pytest.CaptureFixture[str]
) -> None:
    watch = watching(0.5)
    watch.begin()
    watch.end()
    time.sleep(0.6)

    assert capfd.readouterr().err == ""
    assert timer[1:] == [None]


@pytest.mark.parametrize("ends", ["start", "close"])
def test_once_the_watchdog_begins_to_watch_or_is_closed_no_import_is_told_of(
    ends: str, timer: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog_room, "began", lambda _: slow_import.monotonic())  # type: ignore[attr-defined]
    watchdog = Watchdog(("", 1), 60)
    watchdog.import_begins()
    watchdog_s = signal.getsignal(SIGNAL)
    try:
        getattr(watchdog, ends)()

        assert watchdog_s is not signal.SIG_DFL
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL
        assert timer[:2] == [pytest.approx(60 + PATIENCE, abs=0.02), None]
    finally:
        watchdog.close()


def test_a_signal_that_is_on_its_way_when_the_import_ends_does_no_harm() -> None:
    code, said = outcome(ON_ITS_WAY)

    assert (code, said) == (0, "")


def test_where_there_is_no_limit_nothing_is_set(timer: list[float | None]) -> None:
    watch = watching(float("inf"))
    watch.begin()
    assert timer == []
    watch.end()


def test_what_stands_in_the_place_of_standard_error_is_no_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch = watching(60)
    watch.begin()
    # It has no descriptor.
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    watch.end()


def test_a_closed_standard_error_is_no_matter(tmp_path: Path) -> None:
    closed = "import os\nos.close(2)\n" + IMPORTS
    code, _ = outcome(closed + f"\nopen({str(tmp_path / 'done')!r}, 'w')")

    assert code == 0
    assert (tmp_path / "done").exists()


def test_the_limit_of_a_start_counts_from_the_process_s_own() -> None:
    """On a part of a core it takes a second and more until okibi itself has been imported."""
    code = (
        "import time\ntime.sleep(0.3)\nbefore = time.monotonic()\n"
        "from runtime.slow_import import began\n"
        "from runtime.watchdog import Watchdog\n"
        "print(before - began(60), before - Watchdog(('', 1), 60)._tells_at,"
        " time.monotonic() - began(0.1))"
    )
    started = time.monotonic()
    said = run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    ago, told, other = map(float, said.split())

    assert 0.29 < ago < time.monotonic() - started + 0.1
    assert told == pytest.approx(ago - 60, abs=0.2)
    # Who is older than that was another program before.
    assert other == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("error", [FileNotFoundError(), None])
def test_where_nobody_tells_when_the_process_began_it_is_now(
    error: OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(_: Path) -> bytes:
        if error is not None:
            raise error
        return b"1 (python) S"

    monkeypatch.setattr(Path, "read_bytes", read)

    assert began(math.inf) == pytest.approx(time.monotonic(), abs=0.1)
