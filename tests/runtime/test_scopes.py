"""The worker's scope of many events: it rings for nobody but whom it is for, and what a handler
leaves open is that handler's own error.
"""

import hashlib
import inspect
import math
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import trio_internals
from runtime.alarm import Alarm
from runtime.context import Context
from runtime.delivery import State
from runtime.handler import Awaited, Plain
from runtime.scopes import move_deadline
from tests.runtime.player import LOG, answer, bench, fresh

UNRAISABLE = "ignore::pytest.PytestUnraisableExceptionWarning"

pytestmark = pytest.mark.usefixtures(fresh.__name__)


async def test_a_deadline_that_passes_while_no_event_is_there_ends_nothing(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    for expected in (1, 1, 1):
        assert await stage.tell("echo", due=trio.current_time() + 1.0) == expected
        await trio.sleep(3600)

    assert await stage.tell("echo", due=trio.current_time() + 1.0) == 1
    assert LOG == ["init 1"]


async def test_an_event_that_comes_as_the_deadline_of_the_last_one_passes_has_all_its_time(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage = await bench(nursery)
    await stage.tell("echo", due=trio.current_time() + 1.0)
    # In one step: the message is on its way to the worker, and its scope rings.
    autojump_clock.jump(5)
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1.0)
    assert made.state is State.RUNNING
    await trio.sleep(0.85)
    assert made.state is State.RUNNING
    await trio.sleep(0.1)

    assert answer(made)["errorType"] == "Runtime.DeadlineExceeded"


def left_open(how: str, kept: list[object]) -> Callable[[Any, Context], Any]:
    """A handler that leaves what a generator has open around its `yield`."""

    async def numbers() -> AsyncIterator[int]:
        with trio.move_on_after(5, shield=how == "shield"):
            yield 1

    async def handle(event: Any, context: Context) -> object:
        if event == "leave":
            made = numbers()
            kept.append(made)
            await anext(made)
        elif event:
            await trio.sleep(event)
        return event

    return handle


@pytest.mark.parametrize("how", ["scope", "shield"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning", UNRAISABLE)
async def test_what_a_handler_leaves_open_is_its_own_event_s_error_and_no_other_s(
    how: str, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    kept: list[object] = []
    stage = await bench(nursery, lambda: Awaited(left_open(how, kept)))

    guilty = await stage.give(b'"leave"', due=trio.current_time() + 30)
    assert answer(guilty)["errorType"] == "RuntimeError"
    assert "Cancel scope stack corrupted" in answer(guilty)["errorMessage"]

    innocent = await stage.give(b"8", due=trio.current_time() + 30)
    await trio.sleep(9)
    assert answer(innocent) == 8
    late = await stage.give(b"50", due=trio.current_time() + 10)
    await trio.sleep(11)
    assert answer(late)["errorType"] == "Runtime.DeadlineExceeded"
    stage.worker.kill()
    with trio.fail_after(1):
        await stage.worker.wait()


Move = Callable[[trio.CancelScope, float], None]


def by_trio(scope: trio.CancelScope, deadline: float) -> None:
    scope.deadline = deadline


async def history(move: Move, seed: int, clock: MockClock) -> list[object]:
    """What trio tells of two scopes whose deadlines move to and fro, until one has rung."""
    chance, began, seen = random.Random(seed), trio.current_time(), list[object]()
    with trio.CancelScope() as outer, trio.CancelScope() as inner:
        # So many that trio drops those that are out of date: it counts them then.
        for _ in range(2500):
            ahead = chance.choice((50.0, 100.0, 100.0, math.inf))
            move(chance.choice((outer, inner)), trio.current_time() + ahead)
            clock.jump(chance.choice((0.0, 0.01)))
            await trio.lowlevel.checkpoint()
            times = [outer.deadline, inner.deadline, trio.current_effective_deadline()]
            rings_in = trio.lowlevel.current_statistics().seconds_to_next_deadline
            seen.append([round(when - began, 6) for when in times] + [round(rings_in, 6)])
        first, second = (outer, inner) if seed % 2 else (inner, outer)
        move(first, trio.current_time() + 1)
        move(second, trio.current_time() + 2)
        clock.jump(0.9)
        await trio.lowlevel.checkpoint()
        seen.append("not yet")
        clock.jump(0.2)
        with pytest.raises(trio.Cancelled):
            await trio.lowlevel.checkpoint()
        # One that has rung has rung.
        move(first, trio.current_time() + 0.1)
        seen.append(round(trio.lowlevel.current_statistics().seconds_to_next_deadline, 6))
        if trio_internals.CONTEXT is not None:
            seen.append(trio_internals.CONTEXT.runner.deadlines._active)
        await trio.lowlevel.checkpoint()
    return [*seen, outer.cancelled_caught, inner.cancelled_caught]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("read", [True, False])
async def test_a_deadline_that_is_moved_is_to_trio_as_one_that_is_set(
    read: bool, seed: int, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not read:
        monkeypatch.setattr("actors.trio_internals.CONTEXT", None)
    expected = await history(by_trio, seed, mock_clock)

    assert await history(move_deadline, seed, mock_clock) == expected
    assert expected[-2:] == [bool(seed % 2), not seed % 2]


@pytest.mark.skipif(trio_internals.CONTEXT is None, reason="nothing of this release is used")
def test_how_trio_moves_a_deadline_is_what_has_been_read() -> None:
    """If this fails, see what has changed in it, and whether `move_deadline` is to do the same."""
    core: Any = trio._core
    scope, deadlines = trio.CancelScope, core._run.Deadlines
    parts = (scope._might_change_registered_deadline, deadlines.add, deadlines.remove)
    digest = hashlib.sha256("".join(map(inspect.getsource, parts)).encode()).hexdigest()

    assert digest[:16] == "5caa71d0360aa06d"


async def test_where_trio_keeps_its_scopes_elsewhere_each_event_has_one_of_its_own(
    nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.trio_internals.CONTEXT", None)
    stage = await bench(nursery)

    assert [await stage.tell("echo", due=trio.current_time() + 1) for _ in range(3)] == [1, 1, 1]
    assert (await stage.tell("raise"))["errorType"] == "ValueError"
    made = await stage.give(b'{"do": "sleep"}', due=trio.current_time() + 1)
    await trio.sleep(1)
    assert answer(made)["errorType"] == "Runtime.DeadlineExceeded"


async def test_a_plain_function_is_held_to_its_deadline_again_and_again(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def waits(event: Any, context: Context) -> object:
        await trio.sleep(event)
        return event

    stage = await bench(nursery, lambda: Awaited(waits))
    kinds: list[Any] = []
    for seconds in (b"2", b"0", b"2", b"2", b"0"):
        made = await stage.give(seconds, due=trio.current_time() + 1.0)
        await trio.sleep(1)
        kinds.append(answer(made))

    late = "Runtime.DeadlineExceeded"
    assert [k if k == 0 else k["errorType"] for k in kinds] == [late, 0, late, late, 0]
    assert all("trio.sleep(event)" in k["stackTrace"][-1] for k in kinds if k != 0)


async def test_what_a_plain_def_returns_is_awaited_in_its_time_and_what_is_there_is_the_answer(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def waits(seconds: int) -> int:
        await trio.sleep(seconds)
        return seconds

    def handler(event: int, context: Context) -> object:
        if event < 0:
            # It holds the loop, past the deadline of the event before it.
            autojump_clock.jump(-event)
        return waits(event) if event > 0 else event

    stage = await bench(nursery, lambda: Plain(handler, Alarm(), print))
    answers: list[Any] = []
    for event in (b"9", b"1", b"-5", b"9", b"0", b"-5", b"-5", b"1"):
        made = await stage.give(event, due=trio.current_time() + 6)
        await trio.sleep(2 if event == b"1" else 0)
        if event == b"9":
            assert made.state is State.RUNNING
            await trio.sleep(5.95)
        answers.append(answer(made))

    late = "Runtime.DeadlineExceeded"
    kinds = [each if isinstance(each, int) else each["errorType"] for each in answers]
    assert kinds == [late, 1, -5, late, 0, -5, -5, 1]
