"""`Mailbox.receiver`, a faster `receive`; and MessageOutcome."""

from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import cast

import outcome
import pytest
import trio
from trio.lowlevel import RaiseCancelT, Task, reschedule
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Actor, start, stop
from okibi.actors.actor import make_receiver
from okibi.actors.mailbox import LOOK, TIMEOUT, Mailbox, MessageOutcome
from okibi.actors.timers import Timer


async def test_a_receiver_returns_each_message_or_look(
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


async def test_an_actor_receives_by_its_own_receiver(nursery: trio.Nursery) -> None:
    taken = list[object]()

    class Reader(Actor):
        async def run(self) -> None:
            receive = make_receiver(self)
            while True:
                taken.append(await receive())

    ref = await start(nursery, Reader)
    for message in ("first", "second"):
        await ref.send(message)
        await wait_all_tasks_blocked()

    assert taken == ["first", "second"]
    await stop(ref)


async def test_a_receiver_beside_another_reader_is_refused(nursery: trio.Nursery) -> None:
    mailbox = Mailbox()
    nursery.start_soon(mailbox.receive)
    await wait_all_tasks_blocked()

    with pytest.raises(trio.BusyResourceError, match="another task already reads"):
        await mailbox.receiver()()


async def test_a_reader_can_wait_again_after_an_interrupted_wait(
    nursery: trio.Nursery,
) -> None:
    mailbox, taken = Mailbox(), list[object]()

    async def reader() -> None:
        # As after a signal handler that raises before the first step of the wait.
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


async def test_a_cancelled_receiver_loses_no_message() -> None:
    mailbox = Mailbox()

    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receiver()()
    mailbox.offer("kept")

    assert scope.cancelled_caught
    assert await mailbox.receive() == "kept"


async def test_a_taken_reader_is_woken_on_its_return_if_mail_came(nursery: trio.Nursery) -> None:
    mailbox, taken = Mailbox(), list[object]()

    async def reader() -> None:
        receive = mailbox.receiver()
        while True:
            taken.append(await receive())

    nursery.start_soon(reader)
    await wait_all_tasks_blocked()
    for mail in ((), ("mail",)):
        task = mailbox.take_reader()
        assert task is not None
        assert mailbox.take_reader() is None
        for message in mail:
            mailbox.offer(message)
        mailbox.return_reader(task)
        await wait_all_tasks_blocked()
        assert taken == [LOOK, "mail"][: 2 * len(mail)]


class Postponing:
    """A runner of turns that postpones each cancellation."""

    cancel: RaiseCancelT | None = None

    def run(self, task: Task, message: object) -> bool:
        raise NotImplementedError

    def postpone_cancel(self, cancel: RaiseCancelT) -> bool:
        self.cancel = cancel
        return True


async def test_a_runner_of_turns_may_postpone_a_cancellation(nursery: trio.Nursery) -> None:
    mailbox, runner, scope = Mailbox(), Postponing(), trio.CancelScope()

    async def reader() -> None:
        with scope:
            await mailbox.receiver(runner)()

    nursery.start_soon(reader)
    await wait_all_tasks_blocked()
    scope.cancel()
    await wait_all_tasks_blocked()
    assert not scope.cancelled_caught

    task = mailbox.take_reader()
    assert task is not None
    assert runner.cancel is not None
    reschedule(task, outcome.capture(runner.cancel))
    await wait_all_tasks_blocked()
    assert scope.cancelled_caught


async def test_a_message_outcome_behaves_like_an_outcome_value() -> None:
    def generator() -> Generator[str, object, None]:
        got.append((yield "begun"))
        yield "sent"

    async def agenerator() -> AsyncGenerator[str, object]:
        got.append((yield "begun"))
        yield "sent"

    got = list[object]()
    handed, sync, asynchronous = MessageOutcome(7), generator(), agenerator()
    next(sync)
    await anext(asynchronous)

    assert handed.unwrap() == 7
    assert handed.send(sync) == "sent"
    assert await handed.asend(asynchronous) == "sent"
    assert got == [7, 7]
    await asynchronous.aclose()
