"""The kernel's timer that signals the main thread."""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import trio

from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.deadlines.watchdog import Watchdog
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.system import signal_timer
from okibi.runtime.system.signal_timer import SignalTimer
from tests.support.doubles import delivery, ledger_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

NUMBER = signal.SIGUSR2


@pytest.fixture(autouse=True, params=["compiled", "ctypes"])
def functions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both implementations."""
    if request.param == "ctypes":
        monkeypatch.setattr(signal_timer, "timer_functions", signal_timer.by_ctypes)


@pytest.fixture
def arrivals() -> Iterator[list[float]]:
    """The times at which the signal arrived."""
    came: list[float] = []
    before = signal.signal(NUMBER, lambda *_: came.append(time.monotonic()))
    yield came
    signal.signal(NUMBER, before)


def test_the_timer_signals_the_main_thread_once(arrivals: list[float]) -> None:
    timer, began = SignalTimer(NUMBER), time.monotonic()
    # From another thread, as the watchdog does.
    thread = threading.Thread(target=timer.set, args=(0.05,))
    thread.start()
    thread.join()
    time.sleep(0.2)

    (came,) = arrivals
    assert came - began >= 0.05


def test_the_timer_interrupts_only_the_main_thread_s_wait(arrivals: list[float]) -> None:
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(3)]
    for each in others:
        each.start()
    SignalTimer(NUMBER).set(0.05)
    # C code that restarts its wait would hide the signal.
    left = ctypes.CDLL(None).sleep(5)
    over.set()
    for each in others:
        each.join()

    assert left > 0
    assert len(arrivals) == 1


def test_a_second_set_replaces_the_first(arrivals: list[float]) -> None:
    timer, began = SignalTimer(NUMBER), time.monotonic()
    timer.set(0.05)
    timer.set(0.15)
    time.sleep(0.3)

    (came,) = arrivals
    assert came - began >= 0.15


def test_a_repeating_timer_fires_until_cancelled(arrivals: list[float]) -> None:
    timer = SignalTimer(NUMBER, every=0.02)
    timer.set(0.01)
    while len(arrivals) < 3:
        time.sleep(0.005)
    timer.cancel()
    count = len(arrivals)
    time.sleep(0.06)

    assert len(arrivals) == count


def test_a_cancelled_timer_does_not_fire(arrivals: list[float]) -> None:
    timer = SignalTimer(NUMBER)
    timer.cancel()
    timer.set(0.05)
    timer.cancel()
    time.sleep(0.1)

    assert arrivals == []


def test_a_timer_that_cannot_be_created_does_not_fire(
    arrivals: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = (lambda *_: -1), pytest.fail
    monkeypatch.setattr(signal_timer, "timer_functions", lambda: functions)
    timer = SignalTimer(NUMBER)
    timer.set(0.01)
    timer.cancel()
    time.sleep(0.05)

    assert arrivals == []


def test_librt_is_used_with_an_older_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str | None] = []

    class Library:
        def __init__(self, name: str | None) -> None:
            tried.append(name)

    monkeypatch.setattr(ctypes, "PyDLL", Library)
    signal_timer.by_ctypes()

    assert tried == [None, "librt.so.1"]


def test_other_systems_have_no_timer(
    arrivals: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    SignalTimer(NUMBER).set(0.01)
    time.sleep(0.05)

    assert arrivals == []


async def test_the_watchdog_sets_the_signal_for_its_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog, ledger, interrupt = Watchdog(("127.0.0.1", 1)), ledger_of(), DeadlineInterrupt()
    ledger.lanes[0].delivery = made
    watchdog.attach(ledger, interrupt)
    watchdog._deadline.set = lambda _: None
    interrupt.run_count = 7
    rings, taken_back = list[float](), list[None]()

    def signal_in(_: DeadlineInterrupt, seconds: float) -> None:
        rings.append(seconds)

    def cancel_signal(_: DeadlineInterrupt) -> None:
        taken_back.append(None)

    monkeypatch.setattr(DeadlineInterrupt, "signal_in", signal_in)
    monkeypatch.setattr(DeadlineInterrupt, "cancel_signal", cancel_signal)
    watchdog._wake_up.set()
    watchdog.arm(made)
    watchdog._sleep(trio.current_time(), made)

    (limit,) = rings
    assert 0.8 < limit <= 0.9
    assert (interrupt.target_run, taken_back) == (7, [])
    made.settle(Outcome(b"1"))
    watchdog.settled()
    assert taken_back == [None]
