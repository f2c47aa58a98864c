"""The cost of a call does not depend on other calls in flight."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi import actors
from okibi.actors import NO_REPLY, MailboxPolicy, Ref, Reply, Server, start

FEW, MANY = 10, 300
FOLDER = str(Path(actors.__file__).parent)


@attrs.define(eq=False)
class Peer(Server):
    """Calls other actors: in its own task, in a nursery of a method, or beside its loop."""

    mailbox = MailboxPolicy(2 * MANY)
    beside: trio.Nursery | None = None
    replies: list[Reply[str]] = attrs.Factory(list)

    async def answer(self) -> None:
        return

    async def stay(self) -> None:
        await trio.sleep_forever()

    async def put_off(self) -> str:
        self.replies.append(self.reply_later())
        return NO_REPLY

    async def scatter(self, others: "list[Ref[Peer]]") -> None:
        async with trio.open_nursery() as nursery:
            for other in others:
                nursery.start_soon(other.call, Peer.stay)

    async def scatter_beside(self, others: "list[Ref[Peer]]") -> None:
        assert self.beside is not None
        for other in others:
            self.beside.start_soon(other.call, Peer.stay)

    async def pass_on(self, other: "Ref[Peer]") -> None:
        await other.call(Peer.stay)

    async def call_after(self, event: trio.Event, other: "Ref[Peer]") -> None:
        await event.wait()
        await other.call(Peer.answer)

    async def have_call(self, caller: "Ref[Peer]", event: trio.Event, other: "Ref[Peer]") -> None:
        await caller.call(Peer.call_after, event, other)

    async def call_many(self, other: "Ref[Peer]", count: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(other.call, Peer.put_off)

    async def run(self) -> None:
        async with trio.open_nursery() as self.beside:
            await super().run()


@contextmanager
def counted_calls(counts: list[int]) -> Iterator[None]:
    """Count calls of functions of the package `okibi.actors`."""
    count = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(FOLDER)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        counts.append(count)


Stage = Callable[[Ref[Peer], Ref[Peer], list[Ref[Peer]]], Awaitable[None]]


async def peers(nursery: trio.Nursery, count: int) -> list[Ref[Peer]]:
    return [await start(nursery, Peer) for _ in range(count)]


async def callee_waits_beside_its_loop(
    caller: Ref[Peer], callee: Ref[Peer], others: list[Ref[Peer]]
) -> None:
    await callee.call(Peer.scatter_beside, others)


async def callee_is_held(caller: Ref[Peer], callee: Ref[Peer], others: list[Ref[Peer]]) -> None:
    await callee.cast(Peer.scatter, others)


async def many_wait_for_the_caller(
    caller: Ref[Peer], callee: Ref[Peer], others: list[Ref[Peer]]
) -> None:
    last, *clients = others
    await callee.cast(Peer.pass_on, last)
    for client in clients:
        await client.cast(Peer.pass_on, caller)


async def caller_has_put_off_many_replies(
    caller: Ref[Peer], callee: Ref[Peer], others: list[Ref[Peer]]
) -> None:
    first, *_ = others
    await first.cast(Peer.call_many, caller, len(others))
    await wait_all_tasks_blocked()
    await callee.cast(Peer.scatter, others)


@pytest.mark.parametrize("waited_for", [False, True], ids=["", "by an actor"])
@pytest.mark.parametrize(
    "stage",
    [
        callee_waits_beside_its_loop,
        callee_is_held,
        many_wait_for_the_caller,
        caller_has_put_off_many_replies,
    ],
)
async def test_a_call_costs_the_same_beside_many_and_few_calls(
    stage: Stage, waited_for: bool
) -> None:
    counts: list[int] = []
    for count in (FEW, MANY):
        async with trio.open_nursery() as nursery:
            caller, callee, client = await peers(nursery, 3)
            event = trio.Event()
            if stage is caller_has_put_off_many_replies:
                await stage(caller, callee, await peers(nursery, count))
            if waited_for:
                await client.cast(Peer.have_call, caller, event, callee)
            else:
                await caller.cast(Peer.call_after, event, callee)
            await wait_all_tasks_blocked()
            if stage is not caller_has_put_off_many_replies:
                await stage(caller, callee, await peers(nursery, count))
            await wait_all_tasks_blocked()
            with counted_calls(counts):
                event.set()
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    few, many = counts
    assert few == many
