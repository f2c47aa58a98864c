"""The two lanes of a mailbox: whose turn it is when timers ring and a Down comes besides."""

import attrs
import trio
from trio.testing import MockClock

from okibi.actors import Actor, Down, Ref, Server, start, stop
from okibi.actors.mailbox import Mailbox
from okibi.actors.timers import Timer
from tests.limits import HANG


async def test_what_a_post_has_rung_and_what_is_due_at_the_next_look_have_one_turn(
    autojump_clock: MockClock,
) -> None:
    mailbox = Mailbox()
    for due in (1.0, 2.0):
        mailbox.add(Timer(trio.current_time() + due, due))
    mailbox.offer("data")

    await trio.sleep(1)
    mailbox.post("a down")
    await trio.sleep(1)

    assert [await mailbox.receive() for _ in range(4)] == [1.0, "a down", 2.0, "data"]


async def test_a_post_rings_nothing_while_data_has_its_turn(autojump_clock: MockClock) -> None:
    mailbox = Mailbox()
    mailbox.add(Timer(trio.current_time(), "first"))
    mailbox.offer("data")
    assert await mailbox.receive() == "first"

    mailbox.add(Timer(trio.current_time(), "second"))
    mailbox.post("a down")

    assert [await mailbox.receive() for _ in range(3)] == ["a down", "data", "second"]


async def test_a_timer_was_first_also_after_another_has_rung_where_no_data_waits(
    autojump_clock: MockClock,
) -> None:
    mailbox = Mailbox()
    mailbox.add(Timer(trio.current_time(), "first"))
    assert await mailbox.receive() == "first"

    mailbox.add(Timer(trio.current_time(), "second"))
    mailbox.post("a down")

    assert [await mailbox.receive() for _ in range(2)] == ["second", "a down"]


@attrs.define(eq=False)
class Restless(Server):
    """Sends itself the next message as soon as it has one, and is told of an end besides."""

    ended: Ref[Actor]
    heard: int = 0

    async def init(self) -> None:
        self.send_after(0, "again")

    async def handle_info(self, message: object) -> None:
        if not isinstance(message, Down):
            self.heard += 1
            self.send_after(0, message)
            self.monitor(self.ended)

    async def how_many(self) -> int:
        return self.heard


async def test_timers_that_ring_at_once_leave_callers_their_turn_when_downs_come_between(
    nursery: trio.Nursery,
) -> None:
    ended = await start(nursery, Server)
    await stop(ended)
    restless = await start(nursery, lambda: Restless(ended))

    with trio.fail_after(HANG):
        for _ in range(3):
            assert await restless.call(Restless.how_many)
    assert (await stop(restless)).quiet


@attrs.define(eq=False)
class Late(Server):
    """Takes longer for a tick than its interval lasts; two whom it watches end meanwhile."""

    nursery: trio.Nursery
    ticks: int = 0

    async def init(self) -> None:
        self.send_every(1, "tick")

    async def handle_info(self, message: object) -> None:
        if not isinstance(message, Down):
            self.ticks += 1
            for _ in range(2):
                watched = await start(self.nursery, Server)
                self.monitor(watched)
                await trio.sleep(1.5)
                await stop(watched)

    async def how_many(self) -> int:
        return self.ticks


async def test_ticks_that_take_too_long_leave_callers_their_turn_when_downs_come_between(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    late = await start(nursery, lambda: Late(nursery))
    await trio.sleep(2)

    with trio.fail_after(60):
        assert await late.call(Late.how_many) == 1
        await trio.sleep(2)
        assert await late.call(Late.how_many) > 1
    assert (await stop(late)).quiet
