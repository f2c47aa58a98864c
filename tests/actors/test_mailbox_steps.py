"""Handoff: a task that waits for mail goes on in the step of who brings it, none the wiser."""

import weakref
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any

import attrs
import outcome
import pytest
import trio
from trio.lowlevel import Task, current_task
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import KILLED, Actor, Ref, start, trio_internals
from okibi.actors.process import CURRENT
from tests.garbage import no_collector

Act = Callable[["Going"], Awaitable[object]]
ASKED: ContextVar[str] = ContextVar("asked", default="nobody")


@attrs.define(eq=False)
class Going(Actor):
    """Does with each message what this says."""

    log: list[object] = attrs.Factory(list[object])
    task: Task | None = None

    async def run(self) -> None:
        self.task = current_task()
        while True:
            act: Act = await self.receive()
            await act(self)
            self.log.append("done")


async def begin(nursery: trio.Nursery) -> tuple[Ref[Going], Going]:
    actor = Going()
    ref = await start(nursery, lambda: actor)
    await wait_all_tasks_blocked()
    return ref, actor


def give(ref: Ref[Going], act: Act) -> bool:
    return ref.process().mailbox.step_reader(act)


@pytest.fixture(params=["read", "another release"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "read":
        monkeypatch.setattr(trio_internals, "CONTEXT", None)
    elif trio_internals.CONTEXT is None:
        pytest.skip(f"the loop of trio {trio.__version__} has not been read")
    return str(request.param)


pytestmark = pytest.mark.usefixtures(release.__name__)


async def at_once(actor: Going) -> None:
    """Do nothing."""


async def test_it_has_gone_on_when_it_has_been_handed_to_if_the_loop_is_one_that_is_known(
    nursery: trio.Nursery, release: str
) -> None:
    ref, actor = await begin(nursery)
    logs: list[int] = []
    for _ in range(3):
        assert give(ref, at_once)
        logs.append(len(actor.log))
        await wait_all_tasks_blocked()

    assert logs == ([1, 2, 3] if release == "read" else [0, 1, 2])
    assert actor.log == ["done"] * 3


async def test_one_that_waits_for_something_else_is_handed_nothing(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)

    async def sleeps(_: Going) -> None:
        await trio.sleep_forever()

    assert give(ref, sleeps)
    assert not give(ref, at_once)
    await wait_all_tasks_blocked()
    assert not give(ref, at_once)
    assert actor.log == []


async def test_nor_one_that_is_stopped(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    ref.kill()

    assert not give(ref, at_once)
    assert await ref.wait() is KILLED
    assert actor.log == []


async def test_it_is_itself_in_its_own_context_and_so_is_the_giver(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    seen: list[object] = []

    async def looks(_: Going) -> None:
        seen.append((current_task(), CURRENT.get(), ASKED.get()))
        ASKED.set("its own")

    giver = current_task()
    ASKED.set("the giver")
    for _ in range(2):
        assert give(ref, looks)
        assert current_task() is giver
        await wait_all_tasks_blocked()

    process = ref.process()
    assert seen == [(actor.task, process, "nobody"), (actor.task, process, "its own")]
    assert ASKED.get() == "the giver"


class Passes(trio.abc.Instrument):
    """Counts the passes of trio's loop."""

    count: int = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_a_checkpoint_takes_a_pass_as_ever(nursery: trio.Nursery, release: str) -> None:
    ref, actor = await begin(nursery)
    passes = Passes()

    async def checkpoints(_: Going) -> None:
        for _number in range(3):
            actor.log.append(passes.count)
            await trio.lowlevel.cancel_shielded_checkpoint()

    trio.lowlevel.add_instrument(passes)
    assert give(ref, checkpoints)
    await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(passes)

    assert actor.log == [*([0, 1, 2] if release == "read" else [1, 2, 3]), "done"]


async def test_its_scopes_and_nurseries_are_its_own(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ref, actor = await begin(nursery)

    async def limits(_: Going) -> None:
        with trio.move_on_after(1) as scope:
            async with trio.open_nursery() as children:
                children.start_soon(trio.sleep_forever)
                await trio.sleep_forever()
        actor.log.append((scope.cancelled_caught, trio.current_time() - began))

    began = trio.current_time()
    with trio.CancelScope() as around:
        assert give(ref, limits)
        around.cancel()
        await trio.lowlevel.checkpoint()
    await trio.sleep(2)

    assert around.cancelled_caught
    assert actor.log == [(True, 1), "done"]


async def test_it_hears_of_its_own_kill_where_it_waits(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)

    async def kills(_: Going) -> None:
        ref.kill()
        actor.log.append("goes on")
        await trio.sleep(1)

    assert give(ref, kills)
    assert await ref.wait() is KILLED
    assert actor.log == ["goes on"]


async def test_a_giver_that_it_cancels_hears_of_it_where_it_waits(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    with trio.CancelScope() as scope:

        async def cancels(_: Going) -> None:
            scope.cancel()

        assert give(ref, cancels)
        actor.log.append("the giver goes on")
        # Where its step is in another pass.
        await wait_all_tasks_blocked()
        await trio.sleep_forever()

    assert scope.cancelled_caught
    assert "the giver goes on" in actor.log


class Kept:
    """What a frame holds."""


@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_crash_keeps_nothing_until_the_collector_runs() -> None:
    kept: list[weakref.ref[Kept]] = []
    tasks: list[Task] = []

    async def crashes() -> None:
        tasks.append(current_task())
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        held = Kept()
        kept.append(weakref.ref(held))
        raise ValueError("broken")

    with pytest.RaisesGroup(ValueError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashes)
            await wait_all_tasks_blocked()
            trio_internals.step(tasks.pop(), outcome.Value(None))

    assert kept[0]() is None


async def test_one_that_ends_has_ended_in_the_next_pass(nursery: trio.Nursery) -> None:
    ended: list[object] = []

    class Ends(Actor):
        async def run(self) -> None:
            await self.receive()

        async def terminate(self, reason: object) -> None:
            ended.append(reason)

    ref = await start(nursery, Ends)
    await wait_all_tasks_blocked()
    assert ref.process().mailbox.step_reader("the last")
    reason = await ref.wait()

    assert str(reason) == "normal"
    assert ended == [reason]


@coroutine
def _yields(what: object) -> Generator[object, object, object]:
    return (yield what)


async def test_what_is_none_of_trio_s_traps_is_refused_in_trio_s_words(
    nursery: trio.Nursery,
) -> None:
    ref, actor = await begin(nursery)

    async def awaits(_: Going) -> None:
        try:
            await _yields("another library's")
        except TypeError as error:
            actor.log.append(str(error))

    assert give(ref, awaits)
    await wait_all_tasks_blocked()

    assert 'unrecognized yield message "another library\'s"' in str(actor.log[0])
    assert actor.log[1:] == ["done"]


async def test_an_abort_function_that_raises_ends_whose_it_is() -> None:
    if trio_internals.CONTEXT is None:
        pytest.skip("it would end trio's run")

    def abort(_: object) -> trio.lowlevel.Abort:
        raise ZeroDivisionError

    async def waits(_: Going) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.wait_task_rescheduled(abort)

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            ref, _ = await begin(nursery)
            assert give(ref, waits)
            reason: Any = await ref.wait()
            assert isinstance(reason.error, ZeroDivisionError)


class Steps(trio.abc.Instrument):
    """Who has begun and ended a step."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Task]] = []

    def before_task_step(self, task: Task) -> None:
        self.told.append(("begins", task))

    def after_task_step(self, task: Task) -> None:
        self.told.append(("ends", task))


async def test_instruments_hear_of_the_step(nursery: trio.Nursery, release: str) -> None:
    ref, actor = await begin(nursery)
    steps, giver = Steps(), current_task()
    trio.lowlevel.add_instrument(steps)
    assert give(ref, at_once)
    within = list(steps.told)
    await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(steps)

    inner = [("begins", actor.task), ("ends", actor.task)]
    if release == "read":
        assert within == inner
    assert [each for each in steps.told if each[1] is actor.task] == inner
    assert ("ends", giver) in steps.told
