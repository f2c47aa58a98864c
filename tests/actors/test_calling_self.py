"""An actor that would wait for itself is refused; a task beside its loop is not."""

# A crash is raised by the nursery itself, so its whole block is what raises.

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, CallingSelf, MailboxPolicy, Server, start, stop


@attrs.define(eq=False)
class Clerk(Server):
    mailbox = MailboxPolicy(2)
    numbers: list[int] = attrs.Factory(list)
    outside: trio.Nursery | None = None

    async def add(self, number: int) -> list[int]:
        self.numbers.append(number)
        return self.numbers

    async def sleep(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    async def call_myself(self) -> str:
        return await self.ref.call(Clerk.sleep, 0)

    async def call_myself_from_a_child(self) -> str:
        said: list[str] = []

        async def ask() -> None:
            said.append(await self.ref.call(Clerk.sleep, 0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
        return said[0]

    async def call_myself_later(self, said: list[str]) -> None:
        async def ask() -> None:
            said.append(await self.ref.call(Clerk.sleep, 0))

        assert self.outside is not None
        self.outside.start_soon(ask)

    async def cast_to_myself(self, times: int) -> None:
        for number in range(times):
            await self.ref.cast(Clerk.add, number)


async def test_a_call_to_itself_raises_calling_self(nursery: trio.Nursery) -> None:
    class Careful(Clerk):
        async def try_it(self) -> str:
            with pytest.raises(CallingSelf) as refused:
                await self.call_myself()
            return str(refused.value)

    careful = await start(nursery, Careful, path="/me")

    said = await careful.call(Careful.try_it)
    assert said == "/me calls itself: sleep() would never return"
    await stop(careful)


async def test_a_background_task_in_a_nursery_around_the_loop_may_call(
    nursery: trio.Nursery,
) -> None:
    class Poller(Clerk):
        async def run(self) -> None:
            async with trio.open_nursery() as beside:
                beside.start_soon(self.poll)
                await super().run()

        async def poll(self) -> None:
            await self.ref.call(Clerk.add, 1)
            await self.ref.cast(Clerk.add, 2)

    poller = await start(nursery, Poller)
    await wait_all_tasks_blocked()

    assert await poller.call(Clerk.add, 3) == [1, 2, 3]
    await stop(poller)


async def test_a_background_task_may_wait_for_a_full_mailbox(
    nursery: trio.Nursery,
) -> None:
    class Producer(Actor):
        mailbox = MailboxPolicy(1)

        async def run(self) -> None:
            async with trio.open_nursery() as beside:
                beside.start_soon(self.produce)
                while len(got) < 5:
                    got.append(await self.receive())
                    await wait_all_tasks_blocked()

        async def produce(self) -> None:
            for number in range(5):
                await self.ref.send(number)

    got: list[object] = []
    await (await start(nursery, Producer)).wait()

    assert got == [0, 1, 2, 3, 4]
