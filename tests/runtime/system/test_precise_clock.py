"""The run's clock: near deadlines ring to the microsecond where the kernel can."""

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
from okibi.runtime.system.precise_clock import AWAKE, EARLY, NEAR, FineClock
from okibi.runtime.system.timerfd import timerfd
from tests.limits import HANG
from tests.support.fdinfo import rings_in
from tests.support.sandbox import waited

known = pytest.mark.skipif(
    sys.platform != "linux" or trio_internals.CONTEXT is None,
    reason="this release's loop is not known",
)


def waited_for() -> list[int]:
    """The descriptors that end this run's wait."""
    epoll = trio_internals.epoll()
    assert epoll is not None
    told = Path(f"/proc/self/fdinfo/{epoll.fileno()}").read_text()
    return [int(number) for number in re.findall(r"tfd: +(\d+)", told)]


@asynccontextmanager
async def ringing(clock: FineClock) -> AsyncGenerator[None]:
    """Have it ring, in a task of that name."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.ring, name="ring")
        await wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


def run(test: Callable[[FineClock], object]) -> None:
    """Have it look at a clock that rings; anew where this process has waited for a core meanwhile:
    the kernel's timers run on, between two looks too.
    """
    for last in (*[False] * 9, True):
        clock, before = FineClock(), waited(os.getpid())
        try:
            trio.run(look, test, clock, clock=clock)
        except ExceptionGroup:
            if last or waited(os.getpid()) == before:
                raise
        else:
            return


async def look(test: Callable[[FineClock], object], clock: FineClock) -> None:
    async with ringing(clock):
        test(clock)


def timer_of(clock: FineClock) -> int:
    timer = clock._timer
    assert timer is not None
    return timer


def early_of(clock: FineClock) -> int:
    early: Any = clock._set_early
    descriptor: int = early.args[0]
    return descriptor


each_timer = pytest.mark.parametrize("its", [timer_of, early_of])


async def sleep_and_see_that_no_task_rings(seconds: float) -> None:
    """Three sleeps, each of which ends soon; meanwhile the task `ring` has no step."""
    stepped = list[str]()

    class Steps(Instrument):
        def before_task_step(self, task: Task) -> None:
            stepped.append(task.name)

    trio.lowlevel.add_instrument(Steps())
    for _ in range(3):
        before = trio.current_time()
        await trio.sleep(seconds)
        assert trio.current_time() - before < 30
    assert "ring" not in stepped


@known
def test_a_near_deadline_is_rung_when_it_is_there_and_not_a_millisecond_after() -> None:
    def test(clock: FineClock) -> None:
        left = clock.deadline_to_sleep_time(clock.current_time() + 0.09)

        assert left - 0.08 < rings_in(timer_of(clock)) <= left

    run(test)


@known
def test_a_deadline_that_is_far_or_over_sets_nothing() -> None:
    def test(clock: FineClock) -> None:
        now = clock.current_time()
        for left in (float("inf"), NEAR + 1, -1.0):
            assert clock.deadline_to_sleep_time(now + left) == pytest.approx(left, abs=0.1)
            assert rings_in(timer_of(clock)) == 0

    run(test)


@known
def test_it_rings_a_moment_before_the_deadline_in_which_the_loop_does_not_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def test(clock: FineClock) -> None:
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
def test_a_sleep_ends_when_it_is_over_not_before() -> None:
    clock = FineClock()

    async def main() -> None:
        async with ringing(clock):
            for seconds in (AWAKE / 2, AWAKE, 2 * AWAKE, 0.002):
                until = clock.current_time() + seconds
                await trio.sleep_until(until)
                assert clock.current_time() >= until

    trio.run(main, clock=clock)


@known
def test_the_loop_sleeps_until_that_moment_and_not_in_it() -> None:
    class Told(FineClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            told.append(super().deadline_to_sleep_time(deadline))
            return told[-1]

    clock, told = Told(), list[float]()

    async def main() -> None:
        async with ringing(clock):
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
def test_a_core_that_would_sleep_long_is_woken_before_that() -> None:
    def test(clock: FineClock) -> None:
        clock.deadline_to_sleep_time(clock.current_time() + 0.05)

        assert 0.04 < rings_in(early_of(clock)) <= 0.05 - EARLY
        assert rings_in(early_of(clock)) < rings_in(timer_of(clock))

    run(test)


@known
def test_one_that_would_sleep_shortly_is_not() -> None:
    def test(clock: FineClock) -> None:
        clock.deadline_to_sleep_time(clock.current_time() + EARLY)

        assert rings_in(early_of(clock)) == 0
        rung = list[float]()
        clock._set_early = rung.append
        clock.deadline_to_sleep_time(clock.current_time() + EARLY + AWAKE / 2)
        assert rung == []

    run(test)


@known
def test_at_an_early_ring_the_loop_looks_at_its_deadlines_and_wakes_no_task() -> None:
    class Looks(FineClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            left = super().deadline_to_sleep_time(deadline)
            # The early one is all that ends a long wait.
            return 60 if left > EARLY else min(left, 0)

    clock = Looks()

    async def main() -> None:
        async with ringing(clock):
            clock._set = lambda timer, seconds: None
            await sleep_and_see_that_no_task_rings(0.005)

    trio.run(main, clock=clock)


@known
async def test_where_no_descriptor_is_left_for_the_early_one_it_rings_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create, settime = timerfd()
    left = [create()]

    def last() -> int:
        if not left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return left.pop()

    monkeypatch.setattr("okibi.runtime.system.precise_clock.timerfd", lambda: (last, settime))
    clock = FineClock()
    async with ringing(clock):
        clock.deadline_to_sleep_time(clock.current_time() + 0.09)

        assert clock._set_early is None
        assert rings_in(timer_of(clock)) > 0


@known
@each_timer
def test_the_same_deadline_is_set_once(its: Callable[[FineClock], int]) -> None:
    def test(clock: FineClock) -> None:
        deadline = clock.current_time() + 0.09
        clock.deadline_to_sleep_time(deadline)
        clock._set(its(clock), 5)
        clock.deadline_to_sleep_time(deadline)

        assert rings_in(its(clock)) > 1

    run(test)


@known
def test_where_the_loop_is_known_a_ring_has_it_look_at_its_deadlines_and_wakes_no_task() -> None:
    class Late(FineClock):
        def deadline_to_sleep_time(self, deadline: float) -> float:
            left = super().deadline_to_sleep_time(deadline)
            return left + 60 if left > 0 else left

    clock = Late()

    async def main() -> None:
        async with ringing(clock):
            await sleep_and_see_that_no_task_rings(0.002)

    trio.run(main, clock=clock)


@known
@each_timer
async def test_a_timer_that_a_forked_child_has_too_rings_no_more_once_the_run_is_over(
    its: Callable[[FineClock], int],
) -> None:
    clock = FineClock()
    async with ringing(clock):
        timer = its(clock)
        twin = os.dup(timer)
        assert timer in waited_for()
    assert timer not in waited_for()
    os.close(twin)


@known
def test_a_clock_whose_descriptor_somebody_closed_goes_on_with_trio_s_grain() -> None:
    clock = FineClock()

    async def main() -> None:
        async with ringing(clock):
            os.close(timer_of(clock))
            with trio.fail_after(HANG):
                await trio.sleep(0.002)

    trio.run(main, clock=clock)


@known
@each_timer
def test_a_forked_child_does_not_set_its_parents_timer(its: Callable[[FineClock], int]) -> None:
    def test(clock: FineClock) -> None:
        timer = its(clock)
        clock.forked()
        clock.deadline_to_sleep_time(clock.current_time() + 0.09)

        assert rings_in(timer) == 0

    run(test)


@known
@each_timer
def test_its_descriptor_is_closed_with_the_run(its: Callable[[FineClock], int]) -> None:
    timers = list[int]()
    run(lambda clock: timers.append(its(clock)))

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(timers[0])


def test_it_is_a_clock_like_trio_s_where_it_does_not_ring() -> None:
    clock = FineClock()

    async def main() -> None:
        before = trio.current_time()
        await trio.sleep(0.001)
        assert trio.current_time() - before >= 0.001
        with trio.move_on_after(0.001) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught

    trio.run(main, clock=clock)


async def test_where_there_is_no_timerfd_it_goes_on_with_trio_s_grain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FineClock()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "platform", "darwin")
        with trio.fail_after(HANG):
            await clock.ring()

    assert 0 < clock.deadline_to_sleep_time(clock.current_time() + 0.09) <= 0.09
