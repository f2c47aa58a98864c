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

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the timer")


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    yield
    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_all_stacks_are_told_the_main_thread_s_last(capfd: pytest.CaptureFixture[str]) -> None:
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


def test_an_import_that_ends_before_is_not_told_of(capfd: pytest.CaptureFixture[str]) -> None:
    with SlowImport(0.05):
        pass
    time.sleep(0.1)

    assert capfd.readouterr().err == ""


def test_where_there_is_no_limit_nothing_is_set() -> None:
    with SlowImport(math.inf):
        assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_what_goes_wrong_in_the_telling_is_not_raised_in_the_import(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise RecursionError

    with SlowImport(60):
        # It has no descriptor.
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        signal.raise_signal(SIGNAL)
        monkeypatch.setattr(slow_import, "write_raw", breaks)
        signal.raise_signal(SIGNAL)
