"""The precise clock meets near deadlines to the microsecond where the kernel can."""

import errno
import os
import re
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.abc import Instrument
from trio.lowlevel import Task
from trio.testing import wait_all_tasks_blocked

from okibi.actors import trio_internals
from okibi.runtime.system.precise_clock import AWAKE, EARLY, NEAR, PreciseClock
from okibi.runtime.system.timerfd import timerfd
from tests.limits import HANG
from tests.support.fdinfo import rings_in
from tests.support.sandbox import waited

known = pytest.mark.skipif(
    sys.platform != "linux" or trio_internals.CONTEXT is None,
    reason="this release's loop is not known",
)


def watched_descriptors() -> list[int]:
    """The descriptors that this run's epoll watches."""
    epoll = trio_internals.epoll()
    assert epoll is not None
    told = Path(f"/proc/self/fdinfo/{epoll.fileno()}").read_text()
    return [int(number) for number in re.findall(r"tfd: +(\d+)", told)]


@asynccontextmanager
async def precise(clock: PreciseClock) -> AsyncGenerator[None]:
    """Run the clock's timer in a task named `timer`."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run_timer, name="timer")
        await wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


def run(test: Callable[[PreciseClock], object]) -> None:
    """Run a test with a precise clock. Repeat a failure if this process waited for a core.

    The kernel's timers run between two lines of the test too.
    """
    for last in (*[False] * 9, True):
        clock, before = PreciseClock(), waited(os.getpid())
        try:
            trio.run(look, test, clock, clock=clock)
        except ExceptionGroup:
            if last or waited(os.getpid()) == before:
                raise
        else:
            return


async def look(test: Callable[[PreciseClock], object], clock: PreciseClock) -> None:
    async with precise(clock):
        test(clock)


def timer_of(clock: PreciseClock) -> int:
    timer = clock._timer
    assert timer is not None
    return timer


def early_of(clock: PreciseClock) -> int:
    early: Any = clock._set_early
    descriptor: int = early.args[0]
    return descriptor


each_timer = pytest.mark.parametrize("timer_of_kind", [timer_of, early_of])


async def check_sleep_wakes_no_timer_task(seconds: float) -> None:
    """Check that three sleeps end soon, and that the task `timer` has no step."""
    stepped = list[str]()

    class Steps(Instrument):
        def before_task_step(self, task: Task) -> None:
            stepped.append(task.name)

    trio.lowlevel.add_instrument(Steps())
    for _ in range(3):
        before = trio.current_time()
        await trio.sleep(seconds)
        assert trio.current_time() - before < 30
    assert "timer" not in stepped


@known
def test_a_far_or_past_deadline_sets_no_timer() -> None:
    def test(clock: PreciseClock) -> None:
        now = clock.current_time()
        for left in (float("inf"), NEAR + 1, -1.0):
            assert clock.deadline_to_sleep_time(now + left) == pytest.approx(left, abs=0.1)
            assert rings_in(timer_of(clock)) == 0

    run(test)


@known
def test_the_timer_fires_before_the_deadline_and_the_loop_spins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def test(clock: PreciseClock) -> None:
        now, rung = clock.current_time(), list[float]()
        monkeypatch.setattr(
            "okibi.runtime.system.precise_clock.time", SimpleNamespace(perf_counter=lambda: now)
        )
        sets = clock._set

        def noted(timer: int, seconds: float) -> None:
            rung.append(seconds)
            sets(timer, seconds)

        clock._set = noted

        assert clock.deadline_to_sleep_time(now + AWAKE / 2) == 0
        assert rung == []
        assert rings_in(timer_of(clock)) == 0
        assert clock.deadline_to_sleep_time(now + 0.05) == pytest.approx(0.05)
        assert 0 < rings_in(timer_of(clock)) <= 0.05 - AWAKE
        assert rung == [pytest.approx(0.05 - AWAKE, abs=1e-6)]

    run(test)


@known
def test_the_loop_sleeps_until_just_before_the_deadline() -> None:
    class CountingClock(PreciseClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            told.append(super().deadline_to_sleep_time(deadline))
            return told[-1]

    clock, told = CountingClock(), list[float]()

    async def main() -> None:
        async with precise(clock):
            told.clear()
            with trio.fail_after(HANG):
                for _ in range(3):
                    until = clock.current_time() + 0.01
                    await trio.sleep_until(until)
                    assert clock.current_time() >= until

    trio.run(main, clock=clock)
    assert any(seconds > AWAKE for seconds in told)
    assert not any(0 < seconds <= AWAKE for seconds in told)


@known
def test_a_long_sleep_sets_the_early_timer() -> None:
    def test(clock: PreciseClock) -> None:
        clock.deadline_to_sleep_time(clock.current_time() + 0.05)

        assert 0.04 < rings_in(early_of(clock)) <= 0.05 - EARLY
        assert rings_in(early_of(clock)) < rings_in(timer_of(clock))

    run(test)


@known
def test_a_short_sleep_sets_no_early_timer() -> None:
    def test(clock: PreciseClock) -> None:
        clock.deadline_to_sleep_time(clock.current_time() + EARLY)

        assert rings_in(early_of(clock)) == 0
        rung = list[float]()
        clock._set_early = rung.append
        clock.deadline_to_sleep_time(clock.current_time() + EARLY + AWAKE / 2)
        assert rung == []

    run(test)


@known
def test_the_early_timer_causes_a_pass_and_wakes_no_task() -> None:
    class Looks(PreciseClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            left = super().deadline_to_sleep_time(deadline)
            # Only the early timer ends a long wait.
            return 60 if left > EARLY else min(left, 0)

    clock = Looks()

    async def main() -> None:
        async with precise(clock):
            clock._set = lambda timer, seconds: None
            await check_sleep_wakes_no_timer_task(0.005)

    trio.run(main, clock=clock)


@known
async def test_the_clock_works_without_a_descriptor_for_the_early_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create, settime = timerfd()
    left = [create()]

    def last() -> int:
        if not left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return left.pop()

    monkeypatch.setattr("okibi.runtime.system.precise_clock.timerfd", lambda: (last, settime))
    clock = PreciseClock()
    async with precise(clock):
        clock.deadline_to_sleep_time(clock.current_time() + 0.09)

        assert clock._set_early is None
        assert rings_in(timer_of(clock)) > 0


@known
@each_timer
def test_the_same_deadline_is_set_once(timer_of_kind: Callable[[PreciseClock], int]) -> None:
    def test(clock: PreciseClock) -> None:
        deadline = clock.current_time() + 0.09
        clock.deadline_to_sleep_time(deadline)
        clock._set(timer_of_kind(clock), 5)
        clock.deadline_to_sleep_time(deadline)

        assert rings_in(timer_of_kind(clock)) > 1

    run(test)


@known
def test_the_timer_causes_a_pass_and_wakes_no_task() -> None:
    class Late(PreciseClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            left = super().deadline_to_sleep_time(deadline)
            return left + 60 if left > 0 else left

    clock = Late()

    async def main() -> None:
        async with precise(clock):
            await check_sleep_wakes_no_timer_task(0.002)

    trio.run(main, clock=clock)


@known
@each_timer
async def test_a_timer_shared_with_a_child_is_removed_after_the_run(
    timer_of_kind: Callable[[PreciseClock], int],
) -> None:
    clock = PreciseClock()
    async with precise(clock):
        timer = timer_of_kind(clock)
        twin = os.dup(timer)
        assert timer in watched_descriptors()
    assert timer not in watched_descriptors()
    os.close(twin)


@known
def test_a_closed_descriptor_falls_back_to_trio_s_grain() -> None:
    clock = PreciseClock()

    async def main() -> None:
        async with precise(clock):
            os.close(timer_of(clock))
            with trio.fail_after(HANG):
                await trio.sleep(0.002)

    trio.run(main, clock=clock)


@known
@each_timer
def test_a_forked_child_does_not_set_its_parents_timer(
    timer_of_kind: Callable[[PreciseClock], int],
) -> None:
    def test(clock: PreciseClock) -> None:
        timer = timer_of_kind(clock)
        clock.after_fork_in_child()
        clock.deadline_to_sleep_time(clock.current_time() + 0.09)

        assert rings_in(timer) == 0

    run(test)


@known
@each_timer
def test_the_descriptor_is_closed_after_the_run(
    timer_of_kind: Callable[[PreciseClock], int],
) -> None:
    timers = list[int]()
    run(lambda clock: timers.append(timer_of_kind(clock)))

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(timers[0])


def test_the_clock_without_its_timer_is_like_trio_s() -> None:
    clock = PreciseClock()

    async def main() -> None:
        before = trio.current_time()
        await trio.sleep(0.001)
        assert trio.current_time() - before >= 0.001
        with trio.move_on_after(0.001) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught

    trio.run(main, clock=clock)


async def test_a_system_without_timerfd_has_trio_s_grain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = PreciseClock()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "darwin")
        with trio.fail_after(HANG):
            await clock.run_timer()

    assert 0 < clock.deadline_to_sleep_time(clock.current_time() + 0.09) <= 0.09
