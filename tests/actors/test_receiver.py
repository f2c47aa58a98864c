"""What does as `receive` in a loop of its own, and what a message is handed over in."""

from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors.mailbox import LOOK, TIMEOUT, Handed, Mailbox
from okibi.actors.timers import Timer


async def test_a_receiver_gives_each_message_or_says_that_it_is_to_be_asked_again(
    nursery: trio.Nursery,
) -> None:
    mailbox, taken = Mailbox(), list[object]()

    async def reader() -> None:
        receive = mailbox.receiver()
        while True:
            taken.append(await receive())

    nursery.start_soon(reader)
    await wait_all_tasks_blocked()
    mailbox.offer("handed")
    await wait_all_tasks_blocked()
    mailbox.post("control")
    mailbox.offer("data")
    await wait_all_tasks_blocked()
    mailbox.add(Timer(trio.current_time(), "rung"))
    await wait_all_tasks_blocked()
    mailbox.time_out_at(trio.current_time())
    await wait_all_tasks_blocked()

    assert taken == ["handed", LOOK, "control", "data", LOOK, "rung", LOOK, TIMEOUT]


async def test_a_receiver_refuses_to_be_a_second_reader(nursery: trio.Nursery) -> None:
    mailbox = Mailbox()
    nursery.start_soon(mailbox.receive)
    await wait_all_tasks_blocked()

    with pytest.raises(trio.BusyResourceError, match="another task reads"):
        await mailbox.receiver()()


async def test_who_was_torn_out_of_its_wait_as_that_began_may_wait_anew(
    nursery: trio.Nursery,
) -> None:
    mailbox, taken = Mailbox(), list[object]()

    async def reader() -> None:
        # As a signal handler's error leaves it that comes before the first step of the wait.
        begun = cast("Coroutine[object, object, object]", mailbox.receiver()())
        begun.close()
        receive = mailbox.receiver()
        mailbox.offer("first")
        while len(taken) < 2:
            taken.append(await receive())

    nursery.start_soon(reader)
    await wait_all_tasks_blocked()
    mailbox.offer("second")
    await wait_all_tasks_blocked()
    assert taken == ["first", "second"]


async def test_a_receiver_that_is_cancelled_loses_no_message() -> None:
    mailbox = Mailbox()

    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receiver()()
    mailbox.offer("kept")

    assert scope.cancelled_caught
    assert await mailbox.receive() == "kept"


async def test_a_message_that_is_handed_over_is_an_outcome_like_any_other() -> None:
    def generator() -> Generator[str, object, None]:
        got.append((yield "begun"))
        yield "sent"

    async def agenerator() -> AsyncGenerator[str, object]:
        got.append((yield "begun"))
        yield "sent"

    got = list[object]()
    handed, sync, asynchronous = Handed(7), generator(), agenerator()
    next(sync)
    await anext(asynchronous)

    assert handed.unwrap() == 7
    assert handed.send(sync) == "sent"
    assert await handed.asend(asynchronous) == "sent"
    assert got == [7, 7]
    await asynchronous.aclose()
