"""The alarm ends a handler on the main thread, and hits nothing else."""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from runtime.alarm import SIGNAL, TOLD, Alarm
from runtime.failure import DeadlineExceeded, Stopped
from runtime.watchdog import SIGNAL_EVERY


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    with (alarm := Alarm()):
        yield alarm


@contextmanager
def ringing(
    alarm: Alarm, after: float = 0.02, every: float = 0.002, *, interrupting: bool = False
) -> Iterator[None]:
    """Ring it again and again, as the watchdog does; from half of the margin on it interrupts."""
    over = threading.Event()
    send = alarm.interrupt if interrupting else alarm.send

    def ring() -> None:
        over.wait(after)
        while not over.wait(every):
            send()

    thread = threading.Thread(target=ring)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def busy(event: object, context: object) -> None:
    while True:
        pass


def stubborn(event: object, context: object) -> None:
    while True:
        try:
            time.sleep(1)
        except Exception:
            continue


def deadlocked(event: object, context: object) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def nothing(event: object, context: object) -> None: ...


def sleeps(event: object, context: object) -> None:
    time.sleep(60)


@pytest.mark.parametrize(
    "handler", [busy, stubborn, deadlocked, sleeps, partial(max, key=lambda _: time.sleep(60))]
)
def test_it_ends_a_handler_wherever_it_is(alarm: Alarm, handler: Callable[..., Any]) -> None:
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(handler, 1, 2)


def test_what_is_called_without_a_frame_of_its_own_is_ended_too(alarm: Alarm) -> None:
    lock = threading.Lock()
    lock.acquire()

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(lock.acquire, True, 60)


def test_it_gives_what_the_handler_gives(alarm: Alarm) -> None:
    assert alarm.run(lambda event, context: (event, context), 1, 2) == (1, 2)


def test_without_a_handler_it_does_nothing(alarm: Alarm) -> None:
    alarm.send()
    signal.raise_signal(SIGNAL)


def test_one_that_comes_when_the_handler_is_gone_hits_nobody(alarm: Alarm) -> None:
    """Rung as fast as can be around handlers that return at once."""
    answered = ended = 0
    with ringing(alarm, 0, 0.0002):
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            try:
                alarm.run(nothing, 1, 2)
                answered += 1
            except DeadlineExceeded:
                ended += 1
            assert not alarm._armed
    assert answered > 100


def test_c_code_that_waits_as_long_again_at_each_signal_comes_to_look_at_them(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As psycopg's does, a tenth of a second from the last one on."""
    sent = list[float]()
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: sent.append(time.monotonic()))

    def in_c(event: object, context: object) -> None:
        began = time.monotonic()
        while not sent or time.monotonic() - max([began, *sent]) < 0.1:
            assert time.monotonic() - began < 5, "it is held by signals"
            time.sleep(0.001)
        if sent:
            alarm._raise(SIGNAL, sys._getframe())

    with ringing(alarm, every=0.01), pytest.raises(DeadlineExceeded):
        alarm.run(in_c, 1, 2)


class OtherLoop(asyncio.AbstractEventLoop):
    """Asyncio's by its interface alone: as uvloop's it logs what a callback raises, and goes on."""

    def run_forever(self) -> None:
        asyncio._set_running_loop(self)
        enough = time.monotonic() + 5
        try:
            while time.monotonic() < enough:
                try:
                    time.sleep(0.01)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException:
                    continue
        finally:
            asyncio._set_running_loop(None)

    def is_closed(self) -> bool:
        return True


@pytest.mark.parametrize("kind", [DeadlineExceeded, Stopped])
def test_a_loop_that_lets_nothing_but_an_interrupt_out_of_its_callbacks_lets_it_out(
    alarm: Alarm, kind: type[DeadlineExceeded]
) -> None:
    alarm.raises, other = kind, cast("Any", OtherLoop)()

    with ringing(alarm), pytest.raises(kind) as caught:
        alarm.run(lambda *_: other.run_forever(), 1, 2)

    assert type(caught.value).__name__ == kind.__name__
    assert type(caught.value) is not kind


def test_what_is_raised_in_asyncio_s_own_loop_is_no_interrupt(alarm: Alarm) -> None:
    with ringing(alarm), pytest.raises(DeadlineExceeded) as caught:
        alarm.run(lambda *_: asyncio.run(asyncio.sleep(60)), 1, 2)

    assert type(caught.value) is DeadlineExceeded


def test_a_handler_that_catches_it_is_signalled_again(alarm: Alarm) -> None:
    caught = 0

    def catches(event: object, context: object) -> str:
        nonlocal caught
        for _ in range(3):
            try:
                time.sleep(60)
            except DeadlineExceeded:
                caught += 1
        return "at last"

    with ringing(alarm):
        assert alarm.run(catches, 1, 2) == "at last"
    assert caught == 3


def cleans_up(event: object, log: list[str]) -> None:
    """As a transaction does that is rolled back."""
    try:
        time.sleep(60)
    finally:
        try:
            log.append("rolls back")
            raise KeyError
        except KeyError:
            time.sleep(0.05)
        log.append("is rolled back")


def test_what_it_was_raised_in_has_time_to_tell_of_it_before_the_next(alarm: Alarm) -> None:
    """So a task of asyncio's is: the kernel's and the watchdog's first come as one."""
    raised = list[float]()

    def handler(event: object, context: object) -> None:
        while len(raised) < 3:
            try:
                time.sleep(60)
            except DeadlineExceeded:
                raised.append(alarm._raised[1])

    with ringing(alarm):
        alarm.run(handler, 1, 2)

    assert min(later - earlier for earlier, later in pairwise(raised)) >= TOLD


def test_the_watchdog_s_next_signal_is_not_taken_for_the_one_before(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that it is raised again every 10 ms; who takes one does so a little later."""
    now, raised = [1.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def handler(event: object, context: object) -> None:
        for nth in range(3):
            now[0] = 1.0 + nth * SIGNAL_EVERY
            try:
                alarm.send()
                time.sleep(0)
            except DeadlineExceeded:
                now[0] += 0.002
                raised.append(nth)
                alarm._raised = alarm.runs, now[0]
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded):
        alarm.run(handler, 1, 2)

    assert raised == [0, 1, 2]


def test_but_the_next_handler_has_not(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)

    def handler(event: object, context: object) -> None:
        alarm.send()
        time.sleep(1)

    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            alarm.run(handler, 1, 2)


def test_a_finally_that_it_has_set_off_is_let_be(alarm: Alarm) -> None:
    log = list[str]()

    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(cleans_up, 1, log)

    assert log == ["rolls back", "is rolled back"]


async def test_a_finally_that_a_scope_has_set_off_is_let_be(alarm: Alarm) -> None:
    """As that of a generator whose reader was slow when its scope ended it."""
    log = list[str]()

    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        finally:
            with ringing(alarm, 0.0):
                alarm.run(lambda *_: time.sleep(0.05), 1, 2)
            log.append("is closed")

    assert log == ["is closed"]


def test_interrupted_a_finally_is_ended_too(alarm: Alarm) -> None:
    log = list[str]()

    with ringing(alarm, interrupting=True), pytest.raises(DeadlineExceeded):
        alarm.run(cleans_up, 1, log)

    assert log == ["rolls back"]


def test_one_that_is_meant_for_the_handler_before_hits_no_later_one(alarm: Alarm) -> None:
    alarm.run(nothing, 1, 2)
    alarm.meant = alarm.runs

    with ringing(alarm, 0.0, 0.001):
        alarm.run(lambda *_: time.sleep(0.05), 1, 2)

    alarm.meant = alarm.runs + 1
    with ringing(alarm), pytest.raises(DeadlineExceeded):
        alarm.run(busy, 1, 2)


def test_at_the_end_of_the_process_whichever_runs_is_meant(alarm: Alarm) -> None:
    alarm.meant, alarm.raises = 0, Stopped

    with ringing(alarm), pytest.raises(Stopped):
        alarm.run(busy, 1, 2)


def test_left_it_gives_the_signal_back_and_sends_none() -> None:
    (alarm := Alarm()).interrupt()
    with alarm:
        pass
    alarm.interrupt()

    assert signal.getsignal(SIGNAL) is signal.SIG_DFL


def test_the_kernel_signals_a_plain_handler_at_its_limit_when_no_other_thread_does(
    alarm: Alarm,
) -> None:
    def rings(event: object, context: object) -> None:
        alarm.ring_in(0.05, 60)
        busy(event, context)

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        alarm.run(rings, 1, 2)
    assert time.monotonic() - began >= 0.05


def test_it_rings_for_no_handler_that_has_begun_since(alarm: Alarm) -> None:
    alarm.ring_in(60, 0.05)
    alarm.meant = alarm.runs

    def sleeps_on(event: object, context: object) -> None:
        time.sleep(0.15)

    assert alarm.run(sleeps_on, 1, 2) is None


def test_what_has_its_answer_is_not_rung_for(alarm: Alarm) -> None:
    def rings(event: object, context: object) -> None:
        alarm.ring_in(0.05, 60)
        alarm.ring_not()
        time.sleep(0.15)

    assert alarm.run(rings, 1, 2) is None


def test_left_it_does_not_ring_which_would_end_the_process() -> None:
    with (alarm := Alarm()):
        alarm.ring_in(0.05, 0.05)
    alarm.ring_in(0.05, 0.05)

    time.sleep(0.15)


def test_signals_that_nobody_takes_come_seldom_until_one_is_taken(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, sent = 0.0, list[float]()
    monkeypatch.setattr("runtime.alarm.time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: sent.append(now))

    def sends_until(end: float) -> list[float]:
        nonlocal now
        sent.clear()
        while now < end:
            alarm.interrupt()
            now += 1 / 16
        return sent

    assert sends_until(0.5) == [0, 1 / 16, 2 / 16, 5 / 16]
    alarm._raise(SIGNAL, None)
    assert sends_until(1.0) == [8 / 16, 9 / 16, 10 / 16, 13 / 16]
