"""What the watchdog does about an interpreter that others have, at a deadline."""

import sys

import pytest
import trio

from okibi.runtime.deadlines import watchdog as module
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.deadlines.watchdog import SharedWatchdog, Watchdog
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import delivery, ledger_of


class Told(Alarm):
    """Takes how often the interpreter is asked for when a handler is signalled."""

    def __init__(self, late: Delivery) -> None:
        super().__init__()
        self._late = late
        self.intervals: list[float] = []

    def send(self) -> None:
        self.intervals.append(sys.getswitchinterval())
        self._late.settle(Outcome(b"1"))


@pytest.mark.parametrize(("lanes", "interval"), [(1, 1e-5), (2, 1e-3), (64, 1e-3)])
async def test_threads_that_compute_are_not_all_woken_each_few_microseconds_to_ask_for_it(
    lanes: int, interval: float
) -> None:
    late = delivery(due=trio.current_time() + 0.1)
    watchdog = (Watchdog if lanes == 1 else SharedWatchdog)(("127.0.0.1", 9))
    ledger, told = ledger_of(lanes), Told(late)
    ledger.lanes[0].delivery = late
    watchdog.attach(ledger, told)
    before = sys.getswitchinterval()

    watchdog._watch_delivery(late)

    assert told.intervals == [pytest.approx(interval)]
    assert sys.getswitchinterval() == before


async def test_what_the_clocks_are_apart_is_read_where_nothing_comes_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another thread has the interpreter between the looks of all readings but one.
    readings = iter([0.0, 0.01, 1.0, 1.0, 2.0, 2.02, 3.0, 3.01, 4.0, 4.01])
    monkeypatch.setattr(module, "monotonic", lambda: next(readings))
    at = iter([-99.0, -9.0, -97.0, -96.0, -95.0])
    monkeypatch.setattr(trio, "current_time", lambda: next(at))

    assert module._offset() == 10.0
