"""Addresses: call, cast and send, and the errors that they raise."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    Actor,
    ActorExited,
    Address,
    ExitReason,
    MailboxFull,
    MailboxPolicy,
    Name,
    NoProcess,
    Ref,
    Server,
    start,
    stop,
)
from tests.support.counting import counting


@attrs.define(eq=False)
class Clerk(Server):
    """A server with a method for each kind of outcome."""

    mailbox = MailboxPolicy(2)
    numbers: list[int] = attrs.Factory(list)

    async def add(self, number: int) -> list[int]:
        self.numbers.append(number)
        return self.numbers

    async def sleep(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "slept"

    async def crash(self) -> None:
        raise ValueError("boom")

    async def leave(self) -> None:
        self.ref.stop()
        await trio.sleep_forever()


class Leaving(Clerk):
    """Needs 1 s for `terminate`."""

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(1)


Act = Callable[[Address[Clerk]], Awaitable[object]]


async def reason_of(ref: Address[Clerk], act: Act) -> ExitReason | None:
    """Return the reason of the ActorExited that `act` raises; None if it raises none."""
    try:
        await act(ref)
    except ActorExited as error:
        return error.reason
    return None


ACTS: dict[str, Act] = {
    "call": lambda ref: ref.call(Clerk.add, 1),
    "cast": lambda ref: ref.cast(Clerk.add, 1),
    "send": lambda ref: ref.send("anything"),
}


async def nowait(ref: Address[Clerk]) -> None:
    ref.cast_nowait(Clerk.add, 1)


ACTS["cast_nowait"] = nowait


# -- replies


async def test_a_call_returns_the_reply(nursery: trio.Nursery) -> None:
    clerk = await start(nursery, Clerk)

    assert await clerk.call(Clerk.add, 1) == [1]
    assert await clerk.call(Clerk.add, number=2) == [1, 2]
    await stop(clerk)


async def test_a_call_runs_the_overriding_method(nursery: trio.Nursery) -> None:
    class Strict(Clerk):
        async def add(self, number: int) -> list[int]:
            return [number * 10]

    strict = await start(nursery, Strict)

    assert await strict.call(Clerk.add, 1) == [10]
    await stop(strict)


# -- counts


async def test_refused_messages_and_a_mailbox_that_fills_are_counted(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Clerk)
    with counting() as counts:
        clerk.cast_nowait(Clerk.sleep, 1)
        await wait_all_tasks_blocked()
        for number in range(2):
            clerk.cast_nowait(Clerk.add, number)
        for _ in range(3):
            with pytest.raises(MailboxFull):
                clerk.cast_nowait(Clerk.add, 3)
        await stop(clerk)

    # A mailbox of two: a peak of one is not more than half.
    assert counts == {("MailboxPeak", "Clerk"): 2, ("RefusedMessages", "Clerk"): 3}


# -- errors


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_message_to_a_dying_actor_fails_at_once(
    nursery: trio.Nursery, act: Act, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Leaving)
    clerk.stop()
    await wait_all_tasks_blocked()
    now = trio.current_time()

    assert await reason_of(clerk, act) is SHUTDOWN
    assert trio.current_time() == now
    assert clerk.reason is SHUTDOWN
    await clerk.wait()


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_message_to_a_free_name_raises_noproc(act: Act) -> None:
    with pytest.raises(NoProcess, match="no actor is registered as 'clerk': start one with name="):
        await act(Name("clerk", Clerk))


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_messages_sent_during_init_are_served_after_it(
    nursery: trio.Nursery, act: Act
) -> None:
    class Late(Clerk):
        async def init(self) -> None:
            await go.wait()

        async def handle_info(self, message: object) -> None:
            self.numbers.append(1)

    async def begin() -> None:
        await start(nursery, Late, name=name)

    go, name = trio.Event(), Name("late", Late)
    nursery.start_soon(begin)
    await wait_all_tasks_blocked()
    nursery.start_soon(act, name)
    await wait_all_tasks_blocked()
    go.set()
    await wait_all_tasks_blocked()

    assert await name.call(Late.add, 2) == [1, 2]
    ref = name.whereis()
    assert ref is not None
    await stop(ref)


# -- cancellation


@pytest.mark.parametrize("act", [ACTS[how] for how in ("call", "cast", "send")])
async def test_a_cancelled_scope_sends_nothing(nursery: trio.Nursery, act: Act) -> None:
    clerk = await start(nursery, Clerk)
    with trio.CancelScope() as scope:
        scope.cancel()
        await act(clerk)

    assert scope.cancelled_caught
    assert await clerk.call(Clerk.add, 2) == [2]
    await stop(clerk)


async def test_a_cast_that_was_taken_does_not_raise_cancelled(nursery: trio.Nursery) -> None:
    class Canceller(Clerk):
        async def add(self, number: int) -> list[int]:
            scope.cancel()
            return await super().add(number)

    scope, sent = trio.CancelScope(), False
    clerk = await start(nursery, Canceller)
    with scope:
        await clerk.cast(Clerk.add, 1)
        sent = True

    assert sent
    assert await clerk.call(Clerk.add, 2) == [1, 2]
    await stop(clerk)


async def test_calls_and_casts_are_checkpoints(nursery: trio.Nursery) -> None:
    clerk = await start(nursery, Clerk)
    for act in ACTS.values():
        if act is not nowait:
            with trio.testing.assert_checkpoints():
                await act(clerk)
    await stop(clerk)


# -- mistakes of the caller


async def test_a_method_of_an_address_says_how_to_send_a_message(nursery: trio.Nursery) -> None:
    address: Any = Name("clerk", Clerk)
    with pytest.raises(AttributeError, match=r"no attribute 'add'; .* call\(Class\.add, \.\.\.\)$"):
        await address.add(1)


async def test_a_lambda_or_partial_is_no_message(nursery: trio.Nursery) -> None:
    clerk = await start(nursery, Clerk)

    with pytest.raises(TypeError, match=r"^Clerk \(Clerk\) has no method <lambda>$"):
        await clerk.call(lambda clerk: clerk.sleep(0))
    with pytest.raises(TypeError, match="a message must be a method of the server's class"):
        await clerk.call(functools.partial(Clerk.add, number=1))
    await stop(clerk)


# -- refs


async def test_refs_are_equal_for_the_same_incarnation(nursery: trio.Nursery) -> None:
    clerk, other = await start(nursery, Clerk), await start(nursery, Clerk)

    assert clerk == Ref(clerk.process())
    assert len({clerk, Ref(clerk.process()), other}) == 2
    assert clerk != "clerk"
    await stop(clerk)
    await stop(other)


async def test_a_ref_shows_the_state_of_its_actor(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    clerk = await start(nursery, Leaving, path="/clerk")

    assert (clerk.path, clerk.incarnation, clerk.alive, clerk.reason) == ("/clerk", 1, True, None)
    assert repr(clerk) == "<Ref /clerk incarnation 1 running>"

    clerk.stop()

    assert not clerk.alive
    assert await clerk.wait() is SHUTDOWN
    assert repr(clerk) == "<Ref /clerk incarnation 1 dead>"
    assert clerk.reason is SHUTDOWN


# -- other threads


async def test_a_message_from_another_thread_is_refused(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Clerk)
    await wait_all_tasks_blocked()

    with pytest.raises(
        RuntimeError, match=r"^Clerk: cast is impossible from another thread or `trio\.run`: use"
    ):
        await trio.to_thread.run_sync(clerk.cast_nowait, Clerk.add, 1)

    assert await clerk.call(Clerk.add, 2) == [2]
    await stop(clerk)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_stop_and_kill_from_another_thread_are_refused(
    nursery: trio.Nursery, how: str
) -> None:
    clerk = await start(nursery, Clerk)
    await wait_all_tasks_blocked()

    with pytest.raises(RuntimeError, match=f"^Clerk: {how} is impossible from another thread"):
        await trio.to_thread.run_sync(clerk.stop if how == "stop" else clerk.kill)

    assert await clerk.call(Clerk.add, 1) == [1]
    assert await stop(clerk) is SHUTDOWN


def test_the_base_class_address_has_no_process() -> None:
    with pytest.raises(NotImplementedError):
        Address[Clerk]().process()


async def test_a_calling_actor_waits_for_room(nursery: trio.Nursery) -> None:
    class Small(Clerk):
        mailbox = MailboxPolicy(1)

    class Asker(Server):
        async def ask(self) -> list[int]:
            return await small.call(Small.add, 3)

    small, asker = await start(nursery, Small), await start(nursery, Asker)
    small.cast_nowait(Small.add, 1)
    small.cast_nowait(Small.add, 2)

    assert await asker.call(Asker.ask) == [1, 2, 3]
    await stop(asker)
    await stop(small)


async def test_a_call_of_an_actor_that_is_no_server_is_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Counter(Actor):
        async def run(self) -> None:
            while await self.receive() is not None:
                pass

        async def total(self) -> int:
            return 1

    counter = await start(nursery, Counter, path="/counter")

    with trio.fail_after(1):
        with pytest.raises(
            TypeError, match=r"^/counter is no Server and would never answer a call"
        ):
            await counter.call(Counter.total)
        with pytest.raises(TypeError, match=r"/counter is no Server.* a call of total"):
            await counter.request(Counter.total)
    await counter.send(None)


async def test_a_failed_cast_in_clean_up_is_logged_and_hides_no_error(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    clerk = await start(nursery, Clerk)
    await stop(clerk)

    with pytest.raises(ValueError, match=r"^first$") as raised:  # noqa: PT012
        try:
            raise ValueError("first")
        finally:
            clerk.cast_nowait(Clerk.add, 1)

    assert raised.value.__context__ is None
    (logged,) = caplog.records
    assert logged.getMessage().startswith("a cast of add() failed while ValueError was handled: ")
    with pytest.raises(ActorExited):
        clerk.cast_nowait(Clerk.add, 1)
