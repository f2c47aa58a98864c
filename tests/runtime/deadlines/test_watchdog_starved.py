"""The watchdog at a deadline while other threads hold the interpreter."""

import sys

import pytest
import trio

from okibi.runtime.deadlines import watchdog as module
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.deadlines.watchdog import SharedWatchdog, Watchdog
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import delivery, ledger_of


class RecordingInterrupt(DeadlineInterrupt):
    """Records the switch interval while a handler is signalled."""

    def __init__(self, late: Delivery) -> None:
        super().__init__()
        self._late = late
        self.intervals: list[float] = []

    def send_signal(self) -> None:
        self.intervals.append(sys.getswitchinterval())
        self._late.settle(Outcome(b"1"))


@pytest.mark.parametrize(("lanes", "interval"), [(1, 1e-5), (2, 1e-3), (64, 1e-3)])
async def test_the_switch_interval_is_longer_with_many_lanes(lanes: int, interval: float) -> None:
    late = delivery(due=trio.current_time() + 0.1)
    watchdog = (Watchdog if lanes == 1 else SharedWatchdog)(("127.0.0.1", 9))
    ledger, told = ledger_of(lanes), RecordingInterrupt(late)
    ledger.lanes[0].delivery = late
    watchdog.attach(ledger, told)
    before = sys.getswitchinterval()

    watchdog._watch_late(late)

    assert told.intervals == [pytest.approx(interval)]
    assert sys.getswitchinterval() == before


async def test_the_clock_offset_is_the_fastest_of_several_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another thread runs between the two clocks in all readings but one.
    readings = iter([0.0, 0.01, 1.0, 1.0, 2.0, 2.02, 3.0, 3.01, 4.0, 4.01])
    monkeypatch.setattr(module, "monotonic", lambda: next(readings))
    at = iter([-99.0, -9.0, -97.0, -96.0, -95.0])
    monkeypatch.setattr(trio, "current_time", lambda: next(at))

    assert module._clock_offset() == 10.0
