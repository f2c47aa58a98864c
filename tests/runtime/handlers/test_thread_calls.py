"""Calls are handed to threads, and their ends returned, at the loop's wait."""

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
from okibi.runtime.handlers.thread_calls import Call, CallOwner, ThreadCalls, get_thread_calls
from tests.limits import HANG
from tests.support.fdinfo import descriptors

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has eventfd")


class Played:
    """ThreadCalls without a loop: the test makes the loop's calls."""

    def __init__(self) -> None:
        self.woken = 0
        self.ended = list[int]()
        self.failed = list[BaseException]()
        self.calls = ThreadCalls(self._wake, self.failed.append)

    def _wake(self) -> None:
        self.woken += 1

    def owner(self, number: int) -> "Owner":
        return Owner(number, self.ended)


class Owner:
    """Records that its call has ended."""

    def __init__(self, number: int, ended: list[int]) -> None:
        self.number = number
        self._ended = ended

    def call_ended(self) -> None:
        self._ended.append(self.number)


def test_only_the_first_call_of_a_pass_is_handed_out_at_once() -> None:
    played, queues = Played(), [SimpleQueue[Call | None]() for _ in range(3)]

    for _ in range(2):
        for calls in queues:
            played.calls.hand_out(calls, lambda: None)
        assert [calls.qsize() for calls in queues] == [1, 0, 0]

        played.calls.before_io_wait(1.0)
        assert [calls.qsize() for calls in queues] == [1, 1, 1]

        for calls in queues:
            calls.get_nowait()
        played.calls.after_io_wait(1.0)


def test_the_core_is_yielded_after_each_call_that_is_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played, queues = Played(), [SimpleQueue[Call | None]() for _ in range(3)]
    seen = list[list[int]]()
    monkeypatch.setattr(
        "okibi.runtime.handlers.thread_calls.yield_core",
        lambda: seen.append([calls.qsize() for calls in queues]),
    )

    for calls in queues:
        played.calls.hand_out(calls, lambda: None)
    assert seen == [[1, 0, 0]]

    played.calls.before_io_wait(1.0)
    assert seen == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_calls_are_handed_out_when_the_loop_does_not_wait() -> None:
    played, calls = Played(), SimpleQueue[Call | None]()
    given: list[Call] = [lambda: None, lambda: None, lambda: None]

    for call in given:
        played.calls.hand_out(calls, call)
    played.calls.before_io_wait(0.0)

    assert [calls.get_nowait() for _ in given] == given


def test_ends_are_reported_after_a_wait_in_order_and_once() -> None:
    played = Played()

    for number in range(3):
        played.calls.report_end(played.owner(number))
    assert not played.ended

    played.calls.after_io_wait(0.0)
    played.calls.after_io_wait(0.0)
    assert played.ended == [0, 1, 2]


def test_a_waiting_loop_is_woken_once_for_many_ends() -> None:
    played = Played()
    played.calls.before_io_wait(1.0)

    for number in range(3):
        played.calls.report_end(played.owner(number))
    assert played.woken == 1

    played.calls.after_io_wait(1.0)
    assert played.ended == [0, 1, 2]


def test_a_running_loop_is_not_woken() -> None:
    played = Played()

    played.calls.report_end(played.owner(0))
    played.calls.before_io_wait(0.0)
    played.calls.report_end(played.owner(1))
    played.calls.after_io_wait(0.0)
    played.calls.report_end(played.owner(2))
    played.calls.after_io_wait(0.0)
    played.calls.before_io_wait(1.0)
    played.calls.after_io_wait(1.0)
    played.calls.report_end(played.owner(3))

    assert played.woken == 0
    assert played.ended == [0, 1, 2]


def test_an_ended_call_prevents_the_loop_s_wait() -> None:
    played = Played()

    played.calls.report_end(played.owner(0))
    played.calls.before_io_wait(1.0)

    assert played.woken == 1


class Between(deque[CallOwner]):
    """The queue of ended calls; runs the other side between two statements."""

    def __init__(self, other: Callable[[], object], *, early: bool) -> None:
        super().__init__()
        self._other = other
        self._early = early

    def comes(self, *, early: bool) -> None:
        if early is self._early:
            other, self._other = self._other, lambda: None
            other()

    def append(self, owner: CallOwner, /) -> None:
        self.comes(early=True)
        super().append(owner)
        self.comes(early=False)

    def __bool__(self) -> bool:
        self.comes(early=True)
        told = len(self) > 0
        self.comes(early=False)
        return told


@pytest.mark.parametrize("early", [True, False])
def test_a_call_that_ends_just_before_the_wait_wakes_the_loop(early: bool) -> None:
    played = Played()
    ends = partial(played.calls.report_end, played.owner(0))
    played.calls._ended = Between(ends, early=early)

    played.calls.before_io_wait(1.0)

    assert played.woken == 1


@pytest.mark.parametrize("early", [True, False])
def test_a_loop_that_begins_to_wait_as_a_call_ends_is_woken(early: bool) -> None:
    played = Played()
    waits = partial(played.calls.before_io_wait, 1.0)
    played.calls._ended = Between(waits, early=early)

    played.calls.report_end(played.owner(0))

    assert played.woken == 1


class Raises:
    def call_ended(self) -> None:
        raise ZeroDivisionError


def test_an_error_after_the_wait_ends_the_run() -> None:
    async def main() -> None:
        get_thread_calls().report_end(Raises())
        await trio.sleep_forever()

    with pytest.raises(trio.TrioInternalError) as caught:
        trio.run(main)

    cause = caught.value.__cause__
    while isinstance(cause, BaseExceptionGroup):
        (cause,) = cause.exceptions
    assert isinstance(cause, ZeroDivisionError)


def test_an_error_before_the_wait_ends_the_run() -> None:
    def wakes() -> None:
        raise ZeroDivisionError

    played = Played()
    played.calls._wake = wakes
    played.calls.report_end(played.owner(0))

    with pytest.raises(ZeroDivisionError) as caught:
        played.calls.before_io_wait(1.0)

    assert played.failed == [caught.value]


def ends_in_a_thread(make: Callable[[], ThreadCalls] = get_thread_calls) -> None:
    """Assert that the end of a call in a thread wakes an otherwise idle loop."""

    async def main() -> None:
        woken, waits = trio.Event(), threading.Event()
        thread_calls = make()

        class WakesTest:
            def call_ended(self) -> None:
                woken.set()

        def call() -> None:
            assert waits.wait(HANG)
            thread_calls.report_end(WakesTest())

        thread = threading.Thread(target=call)
        thread.start()
        trio.lowlevel.add_instrument(Waits(waits))
        with trio.move_on_after(HANG) as limit:
            await woken.wait()
        # The time-out would also wake the loop.
        assert not limit.cancel_called
        thread.join()

    trio.run(main)


class Waits(trio.abc.Instrument):
    """Sets an event when the loop is about to wait."""

    def __init__(self, waits: threading.Event) -> None:
        self._waits = waits

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self._waits.set()


@linux
def test_the_end_of_a_call_wakes_the_loop_by_an_eventfd() -> None:
    async def main() -> None:
        before = descriptors()
        thread_calls = get_thread_calls()
        assert thread_calls is get_thread_calls()
        (made,) = descriptors() - before
        for _ in range(2):
            thread_calls.before_io_wait(1.0)
            thread_calls.report_end(Owner(0, []))
            epoll = trio_internals.epoll()
            assert epoll is not None
            assert made in dict(epoll.poll(0))
            assert made not in dict(epoll.poll(0))

    trio.run(main)
    ends_in_a_thread()


def test_the_end_of_a_call_wakes_the_loop_of_an_unknown_trio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trio_internals, "CONTEXT", None)

    ends_in_a_thread()


def test_the_end_of_a_call_wakes_the_loop_without_a_free_descriptor() -> None:
    def make() -> ThreadCalls:
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            return get_thread_calls()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))

    ends_in_a_thread(make)


@linux
def test_the_end_of_a_call_wakes_the_loop_if_epoll_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Close the descriptors of earlier runs now.
    gc.collect()

    def make() -> ThreadCalls:
        before = descriptors()
        with monkeypatch.context() as patched:
            patched.setattr(trio_internals, "wake_loop_on", lambda _: False)
            made = get_thread_calls()
        assert descriptors() == before
        return made

    ends_in_a_thread(make)


@linux
def test_the_eventfd_is_closed_with_the_run() -> None:
    gc.collect()
    before = descriptors()
    held = list[ThreadCalls]()

    async def main() -> None:
        runs = descriptors()
        held.append(get_thread_calls())
        assert len(descriptors() - runs) == 1

    trio.run(main)
    assert descriptors() == before

    # An end after the run has no effect.
    held.pop().report_end(Owner(0, []))


@linux
def test_the_eventfd_stays_open_while_a_thread_may_write() -> None:
    gc.collect()
    before = descriptors()
    held = list[Callable[[], object]]()

    async def main() -> None:
        # As a thread that is about to wake the loop.
        held.append(get_thread_calls()._wake)

    trio.run(main)
    gc.collect()
    assert len(descriptors() - before) == 1

    held.pop()()
    assert descriptors() == before
