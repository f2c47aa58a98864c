"""What stands in the mailbox of an actor that is no Server, before it is known to be none."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, MailboxFull, MailboxPolicy, Name, Server
from okibi.actors.mailbox import Mailbox
from okibi.actors.request import Request
from okibi.actors.start import spawn
from tests.limits import HANG


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
    with trio.fail_after(HANG):
        await reads.wait_dead()

    assert read == ["note()"]


async def test_no_more_are_let_in_than_there_is_room_for(nursery: trio.Nursery) -> None:
    mailbox = Mailbox(MailboxPolicy(2))
    for message in ("not wanted", 1):
        mailbox.offer(message)
    for message in (2, 3):
        nursery.start_soon(mailbox.wait_for_room, message)
        await wait_all_tasks_blocked()

    mailbox.turn_away(lambda message: message == "not wanted")

    assert mailbox.statistics().length == 2
    assert [await mailbox.receive() for _ in range(3)] == [1, 2, 3]


async def test_a_call_of_a_server_that_is_not_made_yet_is_no_such_call(
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


async def test_what_is_sent_by_name_and_has_no_room_is_refused(nursery: trio.Nursery) -> None:
    class Narrow(Actor):
        mailbox = MailboxPolicy(1)

        async def run(self) -> None:
            assert await self.receive() == "first"

    name = Name("narrow", Narrow)
    spawn(nursery, Narrow, path="/narrow", name=name)
    name.send_nowait("first")

    with pytest.raises(MailboxFull, match="/narrow has no room for a message of type str"):
        name.send_nowait("second")
