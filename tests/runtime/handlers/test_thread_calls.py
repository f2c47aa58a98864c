"""Calls go to the threads, and their ends come back, where the loop waits."""

import gc
import os
import resource
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

import pytest
import trio

from okibi.actors import trio_internals
from okibi.runtime.handlers.thread_calls import Call, ThreadCalls, Waiter, exchange
from tests.limits import HANG
from tests.support.fdinfo import descriptors

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has eventfd")


class Played:
    """An exchange whose loop is played, and what it does."""

    def __init__(self) -> None:
        self.woken = 0
        self.told = list[int]()
        self.failed = list[BaseException]()
        self.exchange = ThreadCalls(self._wake, self.failed.append)

    def _wake(self) -> None:
        self.woken += 1

    def waiter(self, number: int) -> "Told":
        return Told(number, self.told)


class Told:
    """Notes that it has been told."""

    def __init__(self, number: int, told: list[int]) -> None:
        self.number = number
        self._told = told

    def ended(self) -> None:
        self._told.append(self.number)


def test_the_first_thread_of_a_pass_has_its_call_at_once_the_others_when_the_loop_waits() -> None:
    played, queues = Played(), [SimpleQueue[Call | None]() for _ in range(3)]

    for _ in range(2):
        for calls in queues:
            played.exchange.give(calls, lambda: None)
        assert [calls.qsize() for calls in queues] == [1, 0, 0]

        played.exchange.before_io_wait(1.0)
        assert [calls.qsize() for calls in queues] == [1, 1, 1]

        for calls in queues:
            calls.get_nowait()
        played.exchange.after_io_wait(1.0)


def test_behind_each_call_that_is_given_out_the_core_is_yielded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played, queues = Played(), [SimpleQueue[Call | None]() for _ in range(3)]
    seen = list[list[int]]()
    monkeypatch.setattr(
        "okibi.runtime.handlers.thread_calls.yield_core",
        lambda: seen.append([calls.qsize() for calls in queues]),
    )

    for calls in queues:
        played.exchange.give(calls, lambda: None)
    assert seen == [[1, 0, 0]]

    played.exchange.before_io_wait(1.0)
    assert seen == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_what_is_given_comes_where_the_loop_only_looks_too() -> None:
    played, calls = Played(), SimpleQueue[Call | None]()
    given: list[Call] = [lambda: None, lambda: None, lambda: None]

    for call in given:
        played.exchange.give(calls, call)
    played.exchange.before_io_wait(0.0)

    assert [calls.get_nowait() for _ in given] == given


def test_ends_are_told_after_a_wait_in_their_order_and_once() -> None:
    played = Played()

    for number in range(3):
        played.exchange.tell(played.waiter(number))
    assert not played.told

    played.exchange.after_io_wait(0.0)
    played.exchange.after_io_wait(0.0)
    assert played.told == [0, 1, 2]


def test_a_loop_that_waits_is_woken_once_for_all_that_end_meanwhile() -> None:
    played = Played()
    played.exchange.before_io_wait(1.0)

    for number in range(3):
        played.exchange.tell(played.waiter(number))
    assert played.woken == 1

    played.exchange.after_io_wait(1.0)
    assert played.told == [0, 1, 2]


def test_a_loop_that_does_not_wait_is_not_woken() -> None:
    played = Played()

    played.exchange.tell(played.waiter(0))
    played.exchange.before_io_wait(0.0)
    played.exchange.tell(played.waiter(1))
    played.exchange.after_io_wait(0.0)
    played.exchange.tell(played.waiter(2))
    played.exchange.after_io_wait(0.0)
    played.exchange.before_io_wait(1.0)
    played.exchange.after_io_wait(1.0)
    played.exchange.tell(played.waiter(3))

    assert played.woken == 0
    assert played.told == [0, 1, 2]


def test_a_loop_that_is_about_to_wait_does_not_if_a_call_has_ended() -> None:
    played = Played()

    played.exchange.tell(played.waiter(0))
    played.exchange.before_io_wait(1.0)

    assert played.woken == 1


class Between(deque[Waiter]):
    """What has ended, for an exchange in which the other side comes in between two statements."""

    def __init__(self, other: Callable[[], object], *, early: bool) -> None:
        super().__init__()
        self._other = other
        self._early = early

    def comes(self, *, early: bool) -> None:
        if early is self._early:
            other, self._other = self._other, lambda: None
            other()

    def append(self, waiter: Waiter, /) -> None:
        self.comes(early=True)
        super().append(waiter)
        self.comes(early=False)

    def __bool__(self) -> bool:
        self.comes(early=True)
        told = len(self) > 0
        self.comes(early=False)
        return told


@pytest.mark.parametrize("early", [True, False])
def test_a_call_that_ends_as_the_loop_is_about_to_wait_wakes_it(early: bool) -> None:
    played = Played()
    ends = partial(played.exchange.tell, played.waiter(0))
    played.exchange._ended = Between(ends, early=early)

    played.exchange.before_io_wait(1.0)

    assert played.woken == 1


@pytest.mark.parametrize("early", [True, False])
def test_a_loop_that_is_about_to_wait_as_a_call_ends_is_woken(early: bool) -> None:
    played = Played()
    waits = partial(played.exchange.before_io_wait, 1.0)
    played.exchange._ended = Between(waits, early=early)

    played.exchange.tell(played.waiter(0))

    assert played.woken == 1


class Raises:
    def ended(self) -> None:
        raise ZeroDivisionError


def test_what_is_raised_in_it_ends_the_run_where_trio_would_go_on_without_it() -> None:
    async def main() -> None:
        exchange().tell(Raises())
        await trio.sleep_forever()

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main)

    cause = caught.value.__cause__
    while isinstance(cause, BaseExceptionGroup):
        (cause,) = cause.exceptions
    assert isinstance(cause, ZeroDivisionError)


def test_what_is_raised_before_a_wait_ends_the_run_too() -> None:
    def wakes() -> None:
        raise ZeroDivisionError

    played = Played()
    played.exchange._wake = wakes
    played.exchange.tell(played.waiter(0))

    with pytest.raises(ZeroDivisionError) as caught:
        played.exchange.before_io_wait(1.0)

    assert played.failed == [caught.value]


def ends_in_a_thread(make: Callable[[], ThreadCalls] = exchange) -> None:
    """The end of a call in a thread ends the wait of a loop in which nothing else happens."""

    async def main() -> None:
        woken, waits = trio.Event(), threading.Event()
        its = make()

        class Waiter:
            def ended(self) -> None:
                woken.set()

        def call() -> None:
            assert waits.wait(HANG)
            its.tell(Waiter())

        thread = threading.Thread(target=call)
        thread.start()
        trio.lowlevel.add_instrument(Waits(waits))
        with trio.move_on_after(HANG) as limit:
            await woken.wait()
        # It would be told of the end even so.
        assert not limit.cancel_called
        thread.join()

    trio.run(main)


class Waits(trio.abc.Instrument):
    """Says when the loop is about to wait."""

    def __init__(self, waits: threading.Event) -> None:
        self._waits = waits

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self._waits.set()


@linux
def test_the_end_of_a_call_wakes_the_loop_by_a_descriptor() -> None:
    async def main() -> None:
        before = descriptors()
        its = exchange()
        assert its is exchange()
        (made,) = descriptors() - before
        for _ in range(2):
            its.before_io_wait(1.0)
            its.tell(Told(0, []))
            epoll = trio_internals.epoll()
            assert epoll is not None
            assert made in dict(epoll.poll(0))
            assert made not in dict(epoll.poll(0))

    trio.run(main)
    ends_in_a_thread()


def test_the_end_of_a_call_wakes_the_loop_of_a_trio_that_has_not_been_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)

    ends_in_a_thread()


def test_the_end_of_a_call_wakes_the_loop_where_no_descriptor_is_left() -> None:
    def make() -> ThreadCalls:
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            return exchange()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    ends_in_a_thread(make)


@linux
def test_the_end_of_a_call_wakes_the_loop_where_its_epoll_has_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What another run has left is not to be closed in between.
    gc.collect()

    def make() -> ThreadCalls:
        before = descriptors()
        with monkeypatch.context() as patched:
            patched.setattr(trio_internals, "ends_wait", lambda _: False)
            made = exchange()
        assert descriptors() == before
        return made

    ends_in_a_thread(make)


@linux
def test_its_descriptor_is_closed_with_the_run() -> None:
    gc.collect()
    before = descriptors()
    held = list[ThreadCalls]()

    async def main() -> None:
        runs = descriptors()
        held.append(exchange())
        assert len(descriptors() - runs) == 1

    trio.run(main)
    assert descriptors() == before

    # What ends too late has nobody to wake, and does no harm.
    held.pop().tell(Told(0, []))


@linux
def test_its_descriptor_is_open_as_long_as_a_thread_may_write() -> None:
    gc.collect()
    before = descriptors()
    held = list[Callable[[], object]]()

    async def main() -> None:
        # A thread that has looked whether the loop waits, and is to wake it.
        held.append(exchange()._wake)

    trio.run(main)
    gc.collect()
    assert len(descriptors() - before) == 1

    held.pop()()
    assert descriptors() == before
