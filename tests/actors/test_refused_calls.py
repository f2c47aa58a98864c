"""What stands in the mailbox of an actor that is no Server, before it is known to be none."""

import pytest
import trio
from trio.testing import MockClock

from actors import Actor, MailboxPolicy, Name
from actors.start import spawn


async def test_who_waits_behind_a_call_that_is_refused_has_its_room(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    read = list[int]()

    class Narrow(Actor):
        mailbox = MailboxPolicy(2)

        async def run(self) -> None:
            while (message := await self.receive()) is not None:
                read.append(message)

        async def total(self) -> int:
            return 1

    name = Name("narrow", Narrow)

    async def ask() -> None:
        with pytest.raises(TypeError, match="is no Server"):
            await name.call(Narrow.total)

    # trio takes them in this order or in the other one.
    for _ in range(20):
        read.clear()
        narrow = spawn(nursery, Narrow, path="/narrow", name=name)
        with trio.fail_after(1):
            async with trio.open_nursery() as senders:
                for number in range(3):
                    senders.start_soon(name.send, number)
                senders.start_soon(ask)
                senders.start_soon(ask)
            await name.send(None)
            await narrow.wait_dead()

        assert sorted(read) == [0, 1, 2]


async def test_a_cast_that_finds_an_actor_not_made_yet_is_its_own_to_receive(
    nursery: trio.Nursery,
) -> None:
    class Reads(Actor):
        async def run(self) -> None:
            read.append(str(await self.receive()))

        async def note(self, number: int) -> None: ...

    read, name = list[str](), Name("reads", Reads)
    reads = spawn(nursery, Reads, path="/reads", name=name)
    name.cast_nowait(Reads.note, 1)
    with trio.fail_after(5):
        await reads.wait_dead()

    assert read == ["note(1)"]
