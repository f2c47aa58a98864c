"""The reused cancel scope of events.

The scope cancels only its own event. A scope that a handler leaves open fails only its own event.
"""

import hashlib
import inspect
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import trio_internals
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import AsyncHandler, PlainHandler
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.serving.event_scope import EventScope
from tests.support.worker_bench import LOG, answer, bench, fresh

UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"

pytestmark = pytest.mark.usefixtures(fresh.__name__)


async def test_a_deadline_between_two_events_cancels_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    for expected in (1, 1, 1):
        assert await stage.tell("echo", due=trio.current_time() + 1.0) == expected
        await trio.sleep(3600)

    assert await stage.tell("echo", due=trio.current_time() + 1.0) == 1
    assert LOG == ["init 1"]


def leaves_scope_open(how: str, generators: list[object]) -> Callable[[Any, Context], Any]:
    """Make a handler that leaves a generator open, with a cancel scope around its `yield`."""

    async def numbers() -> AsyncIterator[int]:
        with trio.move_on_after(5, shield=how == "shield"):
            yield 1

    async def handle(event: Any, context: Context) -> object:
        if event == "leave":
            made = numbers()
            generators.append(made)
            await anext(made)
        elif event:
            await trio.sleep(event)
        return event

    return handle


@pytest.mark.parametrize("how", ["scope", "shield"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
async def test_a_scope_left_open_fails_only_its_own_event(
    how: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    generators: list[object] = []
    stage = await bench(nursery, lambda: AsyncHandler(leaves_scope_open(how, generators)))

    failed = await stage.give(b'"leave"', due=trio.current_time() + 30)
    assert answer(failed)["errorType"] == "RuntimeError"
    assert "Cancel scope stack corrupted" in answer(failed)["errorMessage"]

    unaffected = await stage.give(b"8", due=trio.current_time() + 30)
    await trio.sleep(9)
    assert answer(unaffected) == 8
    late = await stage.give(b"50", due=trio.current_time() + 10)
    await trio.sleep(11)
    assert answer(late)["errorType"] == "Runtime.DeadlineExceeded"
    stage.worker.kill()
    with trio.fail_after(1):
        await stage.worker.wait()


def report_deadlines(began: float) -> list[float]:
    """Return the next deadline of this task and of any task, in seconds since `began`."""
    next_in = trio.lowlevel.current_statistics().seconds_to_next_deadline
    times = trio.current_effective_deadline(), trio.current_time() + next_in
    return [round(when - began, 6) for when in times]


async def record_deadlines(blocks: Callable[[float], Any], clock: MockClock) -> list[object]:
    """Record the deadlines that trio reports inside and between blocks with a deadline."""
    rng, began, seen = random.Random(1), trio.current_time(), list[object]()
    # More than 1000 blocks, because trio then prunes outdated deadlines.
    for _ in range(1100):
        deadline = trio.current_time() + rng.choice((50.0, 100.0, 100.0, math.inf))
        with blocks(deadline):
            clock.jump(rng.choice((0.0, 0.01)))
            await trio.lowlevel.checkpoint()
            seen.append(report_deadlines(began))
        seen.append(report_deadlines(began))
        await trio.lowlevel.checkpoint()
    return seen


async def test_trio_sees_the_same_deadlines_as_with_new_scopes(
    mock_clock: MockClock,
) -> None:
    expected = await record_deadlines(
        lambda deadline: trio.CancelScope(deadline=deadline), mock_clock
    )

    async with EventScope() as scope:
        assert await record_deadlines(scope.until, mock_clock) == expected


@pytest.mark.parametrize("known", [True, False])
async def test_only_a_block_past_its_own_deadline_has_timed_out(
    known: bool, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known:
        monkeypatch.setattr("okibi.actors.trio_internals.CONTEXT", None)
    timed_out = list[bool]()
    scope = EventScope()
    with trio.CancelScope() as outer:
        async with scope:
            for seconds in (9, 1, 9, 9):
                with suppress(trio.Cancelled), scope.until(trio.current_time() + 5):
                    await trio.sleep(seconds)
                timed_out.append(scope.timed_out)
            with suppress(ValueError), scope.until(trio.current_time() + 5):
                raise ValueError
            timed_out.append(scope.timed_out)
            outer.cancel()
            with scope.until(trio.current_time() - 5):
                await trio.sleep_forever()

    assert [*timed_out, scope.timed_out] == [True, False, True, True, False, False]
    assert outer.cancelled_caught


@pytest.mark.skipif(
    trio_internals.CONTEXT is None, reason="no private attribute of this release is used"
)
def test_the_deadline_code_of_trio_is_unchanged() -> None:
    """If this fails, read the changes in trio, and check whether `EventScope` must change."""
    core: Any = trio._core
    scope, deadlines = trio.CancelScope, core._run.Deadlines
    parts = (scope._might_change_registered_deadline, deadlines.add, deadlines.remove)
    digest = hashlib.sha256("".join(map(inspect.getsource, parts)).encode()).hexdigest()

    assert digest[:16] == "5caa71d0360aa06d"


async def test_each_event_has_a_new_scope_with_an_unknown_trio(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okibi.actors.trio_internals.CONTEXT", None)
    stage = await bench(nursery)

    assert [await stage.tell("echo", due=trio.current_time() + 1) for _ in range(3)] == [1, 1, 1]
    assert (await stage.tell("raise"))["errorType"] == "ValueError"
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1)
    await trio.sleep(1)
    assert answer(made)["errorType"] == "Runtime.DeadlineExceeded"


async def test_every_event_of_a_function_has_its_own_deadline(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def waits(event: Any, context: Context) -> object:
        await trio.sleep(event)
        return event

    stage = await bench(nursery, lambda: AsyncHandler(waits))
    kinds: list[Any] = []
    for seconds in (b"2", b"0", b"2", b"2", b"0"):
        made = await stage.give(seconds, due=trio.current_time() + 1.0)
        await trio.sleep(1)
        kinds.append(answer(made))

    late = "Runtime.DeadlineExceeded"
    assert [k if k == 0 else k["errorType"] for k in kinds] == [late, 0, late, late, 0]
    assert all("trio.sleep(event)" in k["stackTrace"][-1] for k in kinds if k != 0)


async def test_an_awaitable_result_of_a_plain_def_has_the_deadline(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def waits(seconds: int) -> int:
        await trio.sleep(seconds)
        return seconds

    def handler(event: int, context: Context) -> object:
        if event < 0:
            # Block the loop past the deadline of the previous event.
            autojump_clock.jump(-event)
        return waits(event) if event > 0 else event

    stage = await bench(nursery, lambda: PlainHandler(handler, DeadlineInterrupt(), print))
    answers: list[Any] = []
    for event in (b"9", b"1", b"-5", b"9", b"0", b"-5", b"-5", b"1"):
        made = await stage.give(event, due=trio.current_time() + 6)
        await trio.sleep(2 if event == b"1" else 0)
        if event == b"9":
            assert made.state is DeliveryState.RUNNING
            await trio.sleep(5.95)
        answers.append(answer(made))

    late = "Runtime.DeadlineExceeded"
    kinds = [each if isinstance(each, int) else each["errorType"] for each in answers]
    assert kinds == [late, 1, -5, late, 0, -5, -5, 1]
