"""Messages that arrive before an actor is made and turns out to be no Server."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, MailboxFull, MailboxPolicy, Name, Server
from okibi.actors.mailbox import Mailbox
from okibi.actors.request import Request
from okibi.actors.start import spawn
from tests.limits import HANG


async def test_an_early_cast_reaches_the_actors_receive(
    nursery: trio.Nursery,
) -> None:
    class Reads(Actor):
        async def run(self) -> None:
            read.append(str(await self.receive()))

        async def note(self, number: int) -> None: ...

    read, name = list[str](), Name("reads", Reads)
    reads = spawn(nursery, Reads, path="/reads", name=name)
    name.cast_nowait(Reads.note, 1)
    with trio.fail_after(HANG):
        await reads.wait_dead()

    assert read == ["note()"]


async def test_refused_calls_make_room_within_the_capacity(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(2))
    for message in ("not wanted", 1):
        mailbox.offer(message)
    for message in (2, 3):
        nursery.start_soon(mailbox.wait_for_space, message)
        await wait_all_tasks_blocked()

    mailbox.remove_data(lambda message: message == "not wanted")

    assert mailbox.statistics().length == 2
    assert [await mailbox.receive() for _ in range(3)] == [1, 2, 3]


async def test_an_early_call_of_a_server_is_answered(
    nursery: trio.Nursery,
) -> None:
    class Counts(Server):
        async def total(self) -> int:
            return 1

    name = Name("counts", Counts)
    counts = spawn(nursery, Counts, path="/counts", name=name)
    asked = Request("total", (), {}, None, True)
    counts.mailbox.offer(asked)

    assert await name.call(Counts.total) == 1
    assert await asked.reply() == 1
    counts.stop()


async def test_send_nowait_to_a_full_mailbox_is_refused(nursery: trio.Nursery) -> None:
    class Narrow(Actor):
        mailbox = MailboxPolicy(1)

        async def run(self) -> None:
            assert await self.receive() == "first"

    name = Name("narrow", Narrow)
    spawn(nursery, Narrow, path="/narrow", name=name)
    name.send_nowait("first")

    with pytest.raises(
        MailboxFull, match=r"^/narrow cannot take a message of type str: its mailbox is full$"
    ):
        name.send_nowait("second")
