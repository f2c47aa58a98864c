"""Handoffs: the sender steps the waiting task of the receiver inside its own step."""

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
from okibi.runtime.in_flight.turns import handle_now, step
from tests.garbage import no_collector

Act = Callable[["Awaiting"], Awaitable[object]]
ASKED: ContextVar[str] = ContextVar("asked", default="default")


@attrs.define(eq=False)
class Awaiting(Actor):
    """Calls each message with itself as the argument, and awaits the result."""

    log: list[object] = attrs.Factory(list[object])
    task: Task | None = None

    async def run(self) -> None:
        self.task = current_task()
        while True:
            act: Act = await self.receive()
            await act(self)
            self.log.append("done")


async def begin(nursery: trio.Nursery) -> tuple[Ref[Awaiting], Awaiting]:
    actor = Awaiting()
    ref = await start(nursery, lambda: actor)
    await wait_all_tasks_blocked()
    return ref, actor


def give(ref: Ref[Awaiting], act: Act) -> bool:
    return handle_now(ref.process().mailbox, act)


@pytest.fixture(params=["known", "unknown"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "known":
        monkeypatch.setattr(trio_internals, "CONTEXT", None)
    elif trio_internals.CONTEXT is None:
        pytest.skip(f"the loop of trio {trio.__version__} has not been read")
    return str(request.param)


pytestmark = pytest.mark.usefixtures(release.__name__)


async def return_at_once(actor: Awaiting) -> None:
    """Do nothing."""


async def test_a_handoff_steps_the_task_at_once_with_a_known_release(
    nursery: trio.Nursery, release: str
) -> None:
    ref, actor = await begin(nursery)
    logs: list[int] = []
    for _ in range(3):
        assert give(ref, return_at_once)
        logs.append(len(actor.log))
        await wait_all_tasks_blocked()

    assert logs == ([1, 2, 3] if release == "known" else [0, 1, 2])
    assert actor.log == ["done"] * 3


async def test_no_handoff_to_a_task_that_waits_for_something_else(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)

    async def sleeps(_: Awaiting) -> None:
        await trio.sleep_forever()

    assert give(ref, sleeps)
    assert not give(ref, return_at_once)
    await wait_all_tasks_blocked()
    assert not give(ref, return_at_once)
    assert actor.log == []


async def test_no_handoff_to_a_stopped_actor(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    ref.kill()

    assert not give(ref, return_at_once)
    assert await ref.wait() is KILLED
    assert actor.log == []


async def test_each_task_has_its_own_context_in_a_handoff(nursery: trio.Nursery) -> None:
    ref, actor = await begin(nursery)
    seen: list[object] = []

    async def looks(_: Awaiting) -> None:
        seen.append((current_task(), CURRENT.get(), ASKED.get()))
        ASKED.set("its own")

    sender = current_task()
    ASKED.set("the sender")
    for _ in range(2):
        assert give(ref, looks)
        assert current_task() is sender
        await wait_all_tasks_blocked()

    process = ref.process()
    assert seen == [(actor.task, process, "default"), (actor.task, process, "its own")]
    assert ASKED.get() == "the sender"


class CountPasses(trio.abc.Instrument):
    """Counts passes of trio's loop."""

    count: int = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_a_checkpoint_in_a_handoff_takes_one_pass(
    nursery: trio.Nursery, release: str
) -> None:
    ref, actor = await begin(nursery)
    passes = CountPasses()

    async def checkpoints(_: Awaiting) -> None:
        for _number in range(3):
            actor.log.append(passes.count)
            await trio.lowlevel.cancel_shielded_checkpoint()

    trio.lowlevel.add_instrument(passes)
    assert give(ref, checkpoints)
    await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(passes)

    assert actor.log == [*([0, 1, 2] if release == "known" else [1, 2, 3]), "done"]


async def test_scopes_and_nurseries_in_a_handoff_belong_to_the_task(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ref, actor = await begin(nursery)

    async def limits(_: Awaiting) -> None:
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


async def test_a_task_killed_in_its_handoff_is_cancelled_where_it_waits(
    nursery: trio.Nursery,
) -> None:
    ref, actor = await begin(nursery)

    async def kills(_: Awaiting) -> None:
        ref.kill()
        actor.log.append("goes on")
        await trio.sleep(1)

    assert give(ref, kills)
    assert await ref.wait() is KILLED
    assert actor.log == ["goes on"]


async def test_a_sender_cancelled_in_a_handoff_hears_of_it_at_its_next_wait(
    nursery: trio.Nursery,
) -> None:
    ref, actor = await begin(nursery)
    with trio.CancelScope() as scope:

        async def cancels(_: Awaiting) -> None:
            scope.cancel()

        assert give(ref, cancels)
        actor.log.append("the sender goes on")
        # With an unknown release the step is in a later pass.
        await wait_all_tasks_blocked()
        await trio.sleep_forever()

    assert scope.cancelled_caught
    assert "the sender goes on" in actor.log


class HeldObject:
    """An object held by a frame."""


@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_crash_in_a_handoff_leaves_no_garbage_cycles() -> None:
    kept: list[weakref.ref[HeldObject]] = []
    tasks: list[Task] = []

    async def crashes() -> None:
        tasks.append(current_task())
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        held = HeldObject()
        kept.append(weakref.ref(held))
        raise ValueError("broken")

    with pytest.RaisesGroup(ValueError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashes)
            await wait_all_tasks_blocked()
            step(tasks.pop(), outcome.Value(None))

    assert kept[0]() is None


async def test_a_task_that_ends_in_a_handoff_ends_in_the_next_pass(nursery: trio.Nursery) -> None:
    ended: list[object] = []

    class Ends(Actor):
        async def run(self) -> None:
            await self.receive()

        async def terminate(self, reason: object) -> None:
            ended.append(reason)

    ref = await start(nursery, Ends)
    await wait_all_tasks_blocked()
    assert handle_now(ref.process().mailbox, "the last")
    reason = await ref.wait()

    assert str(reason) == "normal"
    assert ended == [reason]


@coroutine
def _yields(what: object) -> Generator[object, object, object]:
    return (yield what)


async def test_a_foreign_awaitable_in_a_handoff_raises_trios_own_error(
    nursery: trio.Nursery,
) -> None:
    ref, actor = await begin(nursery)

    async def awaits(_: Awaiting) -> None:
        try:
            await _yields("another library's")
        except TypeError as error:
            actor.log.append(str(error))

    assert give(ref, awaits)
    await wait_all_tasks_blocked()

    assert 'unrecognized yield message "another library\'s"' in str(actor.log[0])
    assert actor.log[1:] == ["done"]


async def test_a_raising_abort_function_ends_only_its_own_task() -> None:
    if trio_internals.CONTEXT is None:
        pytest.skip("it would end trio's run")

    def abort(_: object) -> trio.lowlevel.Abort:
        raise ZeroDivisionError

    async def waits(_: Awaiting) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.lowlevel.wait_task_rescheduled(abort)

    with pytest.RaisesGroup(ZeroDivisionError):
        async with trio.open_nursery() as nursery:
            ref, _ = await begin(nursery)
            assert give(ref, waits)
            reason: Any = await ref.wait()
            assert isinstance(reason.error, ZeroDivisionError)


class RecordSteps(trio.abc.Instrument):
    """Records which task begins and ends a step."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Task]] = []

    def before_task_step(self, task: Task) -> None:
        self.told.append(("begins", task))

    def after_task_step(self, task: Task) -> None:
        self.told.append(("ends", task))


async def test_instruments_see_the_step_of_a_handoff(nursery: trio.Nursery, release: str) -> None:
    ref, actor = await begin(nursery)
    steps, sender = RecordSteps(), current_task()
    trio.lowlevel.add_instrument(steps)
    assert give(ref, return_at_once)
    within = list(steps.told)
    await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(steps)

    inner = [("begins", actor.task), ("ends", actor.task)]
    if release == "known":
        assert within == inner
    assert [each for each in steps.told if each[1] is actor.task] == inner
    assert ("ends", sender) in steps.told
