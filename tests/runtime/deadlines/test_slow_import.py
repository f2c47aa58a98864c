"""Where an import stands that takes too long."""

import io
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from okibi.runtime.deadlines import slow_import
from okibi.runtime.deadlines.interrupt import SIGNAL
from okibi.runtime.deadlines.slow_import import SlowImport
from okibi.runtime.deadlines.watchdog import Watchdog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the timer")


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock stands still: on a busy machine a limit may be over before the timer is set."""
    at = time.monotonic()
    monkeypatch.setattr(slow_import, "monotonic", lambda: at)
    yield
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def watching(limit: float) -> SlowImport:
    return SlowImport(limit, slow_import.monotonic() + limit)  # type: ignore[attr-defined]


def test_all_stacks_are_told_the_main_thread_s_last(capfd: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    watch, said = watching(0.05), ""
    watch.begin()
    while not said:
        said = capfd.readouterr().err
        time.sleep(0.01)
    watch.end()
    over.set()
    other.join()

    head, *stacks = said.splitlines()
    assert head.endswith(
        "\t\tthe import has taken 0.05 s, of the ten that Lambda gives an init; all stacks follow"
    )
    waits, mine = "\n".join(stacks).split("Current thread")
    assert f'File "{threading.__file__}", line ' in waits
    assert " (most recent call first):" in mine
    assert f'File "{__file__}", line ' in mine


def test_an_import_that_ends_before_is_not_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    watch = watching(0.05)
    watch.begin()
    watch.end()
    time.sleep(0.1)

    assert capfd.readouterr().err == ""


def test_where_there_is_no_limit_nothing_is_set() -> None:
    watch = watching(math.inf)
    watch.begin()

    assert signal.getsignal(SIGNAL) is signal.SIG_DFL
    watch.end()


@pytest.mark.parametrize("ends", ["start", "close"])
def test_once_the_watchdog_watches_or_is_closed_no_import_is_told_of(ends: str) -> None:
    watchdog = Watchdog(("", 1), 60)
    watchdog.import_begins()
    taken = signal.getsignal(SIGNAL)
    try:
        getattr(watchdog, ends)()

        assert taken is not signal.SIG_DFL
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL
    finally:
        watchdog.close()


def test_what_goes_wrong_in_the_telling_is_not_raised_in_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError

    watch = watching(60)
    watch.begin()
    # It has no descriptor.
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    signal.raise_signal(SIGNAL)
    monkeypatch.setattr(slow_import, "write_raw", breaks)
    signal.raise_signal(SIGNAL)
    watch.end()
