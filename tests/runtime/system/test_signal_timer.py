"""The kernel's timer that signals the main thread."""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import trio

from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.deadlines.watchdog import Watchdog
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.system import signal_timer
from okibi.runtime.system.signal_timer import Ring
from tests.support.doubles import delivery, ledger_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")

NUMBER = signal.SIGUSR2


@pytest.fixture
def rung() -> Iterator[list[float]]:
    """When the signal came."""
    came: list[float] = []
    before = signal.signal(NUMBER, lambda *_: came.append(time.monotonic()))
    yield came
    signal.signal(NUMBER, before)


def test_it_rings_once_on_the_main_thread_in_as_many_seconds(rung: list[float]) -> None:
    ring, began = Ring(NUMBER), time.monotonic()
    # Whoever sets it: it is the watchdog.
    thread = threading.Thread(target=ring.set, args=(0.05,))
    thread.start()
    thread.join()
    time.sleep(0.2)

    (came,) = rung
    assert came - began >= 0.05


def test_it_cuts_a_wait_of_the_main_thread_short_beside_others_that_wait(rung: list[float]) -> None:
    over = threading.Event()
    others = [threading.Thread(target=over.wait) for _ in range(3)]
    for each in others:
        each.start()
    Ring(NUMBER).set(0.05)
    # Of C code that starts its wait anew it would not be seen.
    left = ctypes.CDLL(None).sleep(5)
    over.set()
    for each in others:
        each.join()

    assert left > 0
    assert len(rung) == 1


def test_set_anew_it_does_not_ring_as_it_was_set_before(rung: list[float]) -> None:
    ring, began = Ring(NUMBER), time.monotonic()
    ring.set(0.05)
    ring.set(0.15)
    time.sleep(0.3)

    (came,) = rung
    assert came - began >= 0.15


def test_one_that_may_be_late_packs_no_times_for_about_the_same_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = list[float]()

    def parts(seconds: float) -> tuple[int, int]:
        packed.append(seconds)
        return divmod(int(seconds * 1e9), 1_000_000_000)

    monkeypatch.setattr(signal_timer, "_parts", parts)
    ring = Ring(NUMBER, late=0.002)
    for seconds in (5.0, 5.0005, 4.9995):
        ring.set(seconds)
    assert len(packed) == 2
    ring.set(5.005)
    assert len(packed) == 4
    ring.take_back()


def test_with_an_interval_it_rings_again_until_it_is_taken_back(rung: list[float]) -> None:
    ring = Ring(NUMBER, every=0.02)
    ring.set(0.01)
    while len(rung) < 3:
        time.sleep(0.005)
    ring.take_back()
    count = len(rung)
    time.sleep(0.06)

    assert len(rung) == count


def test_taken_back_it_does_not_ring(rung: list[float]) -> None:
    ring = Ring(NUMBER)
    ring.take_back()
    ring.set(0.05)
    ring.take_back()
    time.sleep(0.1)

    assert rung == []


def test_taken_back_the_kernel_has_nothing_left_to_wait_for() -> None:
    ring, times = Ring(NUMBER), ctypes.create_string_buffer(b"x" * 32, 32)
    ring.set(5)
    ring.take_back()

    assert ctypes.PyDLL(None).timer_gettime(ring._timer, times) == 0
    # struct itimerspec: the interval, and what is left.
    assert times.raw == bytes(32)


@pytest.mark.parametrize("library", [None, "full"])
def test_where_there_is_no_timer_to_be_had_it_does_not_ring(
    library: str | None, rung: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def timer_create(self, *_: object) -> int:
            return -1

    monkeypatch.setattr(signal_timer, "_library", Full if library else lambda: None)
    ring = Ring(NUMBER)
    ring.set(0.01)
    ring.take_back()
    time.sleep(0.05)

    assert rung == []


@pytest.mark.parametrize(
    ("has_it", "taken"), [(None, None), ("librt.so.1", "librt.so.1"), ("neither", "nothing")]
)
def test_beside_an_older_c_library_librt_has_the_timers(
    has_it: str | None, taken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        def __init__(self, name: str | None) -> None:
            if name is not None and name != has_it:
                raise OSError(name)
            self.name = name
            if name == has_it:
                self.timer_create = None

    monkeypatch.setattr(ctypes, "PyDLL", Library)

    assert getattr(signal_timer._library.__wrapped__(), "name", "nothing") == taken


def test_on_another_system_there_is_none(
    rung: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    Ring(NUMBER).set(0.01)
    time.sleep(0.05)

    assert rung == []


async def test_the_kernel_is_to_signal_whom_it_watches_at_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = delivery(due=trio.current_time() + 100.0)
    watchdog, ledger, alarm = Watchdog(("127.0.0.1", 1)), ledger_of(), Alarm()
    ledger.lanes[0].delivery = made
    watchdog.attach(ledger, alarm)
    watchdog._deadline.hold = lambda _: None
    alarm.runs = 7
    rings, taken_back = list[float](), list[None]()

    def ring_in(_: Alarm, seconds: float) -> None:
        rings.append(seconds)

    def ring_not(_: Alarm) -> None:
        taken_back.append(None)

    monkeypatch.setattr(Alarm, "ring_in", ring_in)
    monkeypatch.setattr(Alarm, "ring_not", ring_not)
    watchdog._look.set()
    watchdog.arm(made)
    watchdog._watch_delivery(made)

    (limit,) = rings
    assert 90 < limit <= 99.9  # the margin is 0.1 s; the rest is for a busy machine
    assert (alarm.meant, taken_back) == (7, [])
    made.settle(Outcome(b"1"))
    watchdog.settled()
    assert taken_back == [None]
