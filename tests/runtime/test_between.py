"""asyncio's loop is not hit between two tasks, nor is what lasts beside an event."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from contextvars import copy_context
from types import FrameType

import pytest

from runtime import current
from runtime.alarm import MOMENT, MOMENTS, SIGNAL, Alarm
from runtime.between import is_between
from runtime.failure import DeadlineExceeded
from tests.runtime.test_unfinished import ends, loop

__all__ = ["loop"]  # a fixture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it takes the kernel's timer")


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    with (alarm := Alarm()):
        # As the watchdog has done when it signals.
        alarm.ring_in(60, 60)
        yield alarm


def test_what_would_hit_the_loop_comes_once_more_in_a_moment(
    alarm: Alarm, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Raised where a callback is called it was told of in the log, and ended nothing."""

    def handler() -> None:
        loop.call_soon(signal.raise_signal, SIGNAL)
        loop.run_until_complete(asyncio.sleep(2))

    ends(alarm, handler)

    assert not caplog.records
    assert not asyncio.all_tasks(loop)


def test_what_a_module_has_begun_is_not_hit(alarm: Alarm, loop: asyncio.AbstractEventLoop) -> None:
    async def lasts() -> str:
        signal.raise_signal(SIGNAL)
        await asyncio.sleep(0.1)
        return "has lasted"

    task = loop.create_task(lasts())
    ends(alarm, lambda: loop.run_until_complete(asyncio.sleep(2)))

    assert loop.run_until_complete(task) == "has lasted"


def test_but_what_holds_the_loop_for_longer_than_some_moments_is(
    alarm: Alarm, loop: asyncio.AbstractEventLoop
) -> None:
    async def holds() -> None:
        signal.raise_signal(SIGNAL)
        time.sleep(60)  # noqa: ASYNC251, it is what the test is about

    def handler() -> None:
        loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), 60))

    began, task = time.monotonic(), loop.create_task(holds())
    ends(alarm, handler)

    assert time.monotonic() - began >= MOMENT * MOMENTS
    assert isinstance(task.exception(), DeadlineExceeded)


def test_two_that_are_on_their_way_at_once_are_one(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends one does not know yet that another is raised."""
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    said = list[str]()

    def handler() -> None:
        for _ in range(2):
            try:
                signal.raise_signal(SIGNAL)
                said.append("let be")
            except DeadlineExceeded:
                said.append("raised")
        raise DeadlineExceeded

    ends(alarm, handler)

    assert said == ["raised", "let be"]


def test_of_many_tasks_that_are_hit_one_after_the_other_the_second_ends_the_loop_s_run(
    alarm: Alarm, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A margin has time for some ten; `gather` waits for each of them."""
    monkeypatch.setattr("runtime.alarm.TOLD", 0)
    hit = list[int]()

    async def computes(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        hit.append(turns)
        signal.raise_signal(SIGNAL)

    async def batch() -> None:
        await asyncio.gather(*map(computes, range(30)), return_exceptions=True)

    ends(alarm, lambda: loop.run_until_complete(batch()))

    assert len(hit) < 5
    assert not asyncio.all_tasks(loop)


def test_but_not_that_of_what_it_has_set_off(
    alarm: Alarm, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.alarm.TOLD", 0)
    said = list[str]()

    def handler() -> None:
        for _ in range(2):
            try:
                loop.run_until_complete(is_hit())
            except DeadlineExceeded:
                loop.run_until_complete(rolls_back())
        raise DeadlineExceeded

    async def is_hit() -> None:
        signal.raise_signal(SIGNAL)

    async def rolls_back() -> None:
        await asyncio.sleep(0.01)
        said.append("is rolled back")

    ends(alarm, handler)

    assert said == ["is rolled back"] * 2


def test_a_task_s_own_code_is_hit_at_once_also_in_what_it_calls_of_asyncio_s(
    loop: asyncio.AbstractEventLoop,
) -> None:
    told = list[bool]()
    before = signal.signal(signal.SIGUSR2, lambda _, frame: told.append(is_between(frame)))

    class Lock(asyncio.Lock):
        def locked(self) -> bool:
            signal.raise_signal(signal.SIGUSR2)
            return super().locked()

    async def works() -> None:
        signal.raise_signal(signal.SIGUSR2)
        Lock().locked()

    def invoked() -> None:
        current.enter("an id", {})
        loop.run_until_complete(works())

    try:
        copy_context().run(invoked)
    finally:
        signal.signal(signal.SIGUSR2, before)
        current.expect(1)
    assert told == [False, False]


def test_without_asyncio_nothing_is_between(monkeypatch: pytest.MonkeyPatch) -> None:
    frame: FrameType | None = sys._getframe()
    monkeypatch.delitem(sys.modules, "asyncio.events")

    assert not is_between(frame)
