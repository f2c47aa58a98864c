"""A slow import is logged with all stacks."""

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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the timer")


@pytest.fixture(autouse=True)
def restored_handler() -> Iterator[None]:
    yield
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_all_stacks_are_logged_the_main_thread_s_last(capfd: pytest.CaptureFixture[str]) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    said = ""
    with SlowImport(0.05):
        while not said:
            said = capfd.readouterr().err
            time.sleep(0.01)
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


def test_an_import_within_the_limit_is_not_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with SlowImport(0.05):
        pass
    time.sleep(0.1)

    assert capfd.readouterr().err == ""


def test_an_infinite_limit_sets_no_timer() -> None:
    with SlowImport(math.inf):
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_an_error_in_the_log_is_not_raised_in_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError

    with SlowImport(60):
        # This stream has no descriptor.
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        signal.raise_signal(SIGNAL)
        monkeypatch.setattr(slow_import, "write_raw", breaks)
        signal.raise_signal(SIGNAL)
