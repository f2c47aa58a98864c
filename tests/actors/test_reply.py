"""reply_later: one reply, from any task; a lost Reply fails the call."""

import threading
from collections import deque
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    ActorExited,
    Refusal,
    Reply,
    ReplyLost,
    Server,
    crashed,
    start,
    stop,
)


@attrs.define(eq=False)
class Kitchen(Server):
    """Keeps the Reply to each order."""

    orders: list[Reply[str]] = attrs.Factory(list)

    async def order(self) -> str:
        self.orders.append(self.reply_later())
        return NO_REPLY

    async def forget(self) -> None:
        self.orders.clear()

    async def careless(self) -> str:
        return NO_REPLY

    async def eager(self) -> str:
        self.orders.append(self.reply_later())
        return "at once"

    async def refusing(self) -> str:
        self.orders.append(self.reply_later())
        raise Refusal("closed")

    async def handle_info(self, message: object) -> None:
        self.orders.append(self.reply_later())


@attrs.define
class Table:
    """A kitchen, and what a waiting caller got."""

    kitchen: Kitchen
    given: list[object] = attrs.Factory(list)


@pytest.fixture
async def table(nursery: trio.Nursery) -> Table:
    kitchen = Kitchen()
    ref = await start(nursery, lambda: kitchen, path="/kitchen")
    table = Table(kitchen)

    async def guest() -> None:
        try:
            table.given.append(await ref.call(Kitchen.order))
        except Exception as error:
            table.given.append(error)

    nursery.start_soon(guest)
    await wait_all_tasks_blocked()
    return table


async def test_a_later_reply_may_be_an_error(table: Table) -> None:
    error = Refusal("no soup")

    assert table.kitchen.orders[0].fail(error)
    await wait_all_tasks_blocked()

    assert table.given == [error]


async def test_a_cancelled_caller_gets_no_reply(nursery: trio.Nursery) -> None:
    kitchen = Kitchen()
    ref = await start(nursery, lambda: kitchen)
    with trio.move_on_after(0):
        await ref.call(Kitchen.order)
    with trio.CancelScope() as scope:
        nursery.start_soon(_cancel_when_idle, scope)
        await ref.call(Kitchen.order)

    assert [reply.send("cold") for reply in kitchen.orders] == [False]
    assert repr(kitchen.orders[0]) == "<Reply to order(), not wanted>"


async def _cancel_when_idle(scope: trio.CancelScope) -> None:
    await wait_all_tasks_blocked()
    scope.cancel()


async def test_a_dropped_reply_fails_its_caller(table: Table) -> None:
    await table.kitchen.ref.call(Kitchen.forget)
    await wait_all_tasks_blocked()

    [lost] = table.given
    assert isinstance(lost, ReplyLost)
    assert str(lost) == "/kitchen dropped the Reply to order() without sending a reply"


async def test_a_reply_dropped_in_a_thread_fails_its_caller(table: Table) -> None:
    orders = table.kitchen.orders

    await trio.to_thread.run_sync(orders.clear)
    await wait_all_tasks_blocked()

    assert isinstance(table.given[0], ReplyLost)


async def test_send_in_a_thread_is_refused_and_may_be_repeated(table: Table) -> None:
    [reply] = table.kitchen.orders

    with pytest.raises(RuntimeError):
        await trio.to_thread.run_sync(reply.send, "soup")
    await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(reply.send, "soup"))
    await wait_all_tasks_blocked()

    assert table.given == ["soup"]


def test_a_reply_dropped_after_the_run_is_ignored() -> None:
    kitchen = Kitchen()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            ref = await start(nursery, lambda: kitchen)
            nursery.start_soon(ref.call, Kitchen.order)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    thread = threading.Thread(target=kitchen.orders.clear)
    thread.start()
    thread.join()


async def test_a_return_value_or_refusal_is_the_reply(table: Table) -> None:
    kitchen = table.kitchen
    assert await kitchen.ref.call(Kitchen.eager) == "at once"
    with pytest.raises(Refusal, match="closed"):
        await kitchen.ref.call(Kitchen.refusing)

    assert [reply.wanted for reply in kitchen.orders] == [True, False, False]


async def test_no_reply_without_reply_later_ends_the_server() -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(TypeError, match="careless returned NO_REPLY without")
    ):
        async with trio.open_nursery() as nursery:
            kitchen = await start(nursery, Kitchen)
            with pytest.raises(ActorExited):
                await kitchen.call(Kitchen.careless)


async def test_reply_later_in_a_cast_has_no_effect(table: Table) -> None:
    ref = table.kitchen.ref

    await ref.cast(Kitchen.careless)
    await ref.cast(Kitchen.order)
    await wait_all_tasks_blocked()

    assert ref.alive
    assert not table.kitchen.orders[1].send("too late")


async def test_reply_later_needs_a_call() -> None:
    with pytest.RaisesGroup(RuntimeError):
        async with trio.open_nursery() as nursery:
            kitchen = await start(nursery, Kitchen)
            await kitchen.send("hello")
            reason = await kitchen.wait()

    assert reason == crashed(reason.error or AssertionError())
    assert "no call is being handled, only a message of type str" in str(reason.error)
    await stop(kitchen)


def test_the_repr_of_no_reply() -> None:
    assert repr(NO_REPLY) == "NO_REPLY"


class Twice(Kitchen):
    async def order(self) -> str:
        self.orders.append(self.reply_later())
        try:
            self.reply_later()
        except RuntimeError as error:
            self.orders[0].send(str(error))
        return NO_REPLY


async def test_reply_later_works_once_a_call(nursery: trio.Nursery) -> None:
    ref = await start(nursery, Twice, path="/kitchen")

    assert await ref.call(Kitchen.order) == "/kitchen: reply_later was called before for order()"
    await stop(ref)


class Queue(deque[Any]):
    """Replaces trio's run queue; drops the held Replies just before trio empties the queue."""

    held: list[Reply[str]]
    woken: int

    def clear(self) -> None:
        taken = len(self)
        self.held.clear()
        self.woken = len(self) - taken
        for _ in range(taken):
            self.popleft()


async def test_a_collected_reply_does_not_wake_tasks_in_trios_loop(
    table: Table,
) -> None:
    core: Any = trio._core
    runner: Any = core._run.GLOBAL_RUN_CONTEXT.runner
    queue = runner.runq = Queue(runner.runq)
    queue.held = table.kitchen.orders

    await trio.lowlevel.checkpoint()
    runner.runq = deque(queue)
    await wait_all_tasks_blocked()

    assert queue.woken == 0
    assert isinstance(table.given[0], ReplyLost)
