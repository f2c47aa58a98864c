"""Waits for a start or an end can close a cycle; a finished wait cannot."""

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    ActorExited,
    CallCycle,
    CallingSelf,
    Exit,
    MailboxPolicy,
    Name,
    Ref,
    Server,
    StartError,
    WhenStopped,
    start,
    stop,
)
from okibi.actors.exits import ExitReason


@attrs.define(eq=False)
class Host(Server):
    """Starts a guest in one method and stops it in another."""

    said: list[str] = attrs.Factory(list)

    async def idle(self) -> str:
        return "idle"

    async def hold(self, guest: "type[Guest]", *, ended: bool = False) -> str:
        async with trio.open_nursery() as nursery:
            try:
                ref = await start(nursery, guest)
            except StartError as failure:
                return str(failure.__cause__)
            return str(await (ref.wait() if ended else stop(ref)))


HOST = Name("host", Host)


class Guest(Server):
    """Calls the actor that waits for it."""


class Early(Guest):
    async def init(self) -> None:
        await HOST.call(Host.idle)


class Late(Guest):
    async def terminate(self, reason: ExitReason) -> None:
        try:
            await HOST.call(Host.idle)
        except CallCycle as cycle:
            raise Exit(attrs.evolve(reason, detail=str(cycle))) from None


class Awaited(Guest):
    async def init(self) -> None:
        self.continue_with("call")

    async def handle_continue(self, continuation: str) -> None:
        await trio.sleep(1)
        try:
            await HOST.call(Host.idle)
        except CallCycle as cycle:
            raise Exit(ExitReason("shutdown", str(cycle))) from None


@pytest.mark.parametrize(
    ("guest", "ended", "why"),
    [
        (Early, False, "Early calls host calls Early: idle() would never return"),
        (Late, False, "shutdown ('Late calls host calls Late: idle() would never return')"),
        (Awaited, True, "shutdown ('Awaited calls host calls Awaited: idle() would never return')"),
    ],
    ids=["starts it", "stops it", "waits for its end"],
)
async def test_a_call_to_an_actor_that_waits_for_the_start_or_end_is_refused(
    nursery: trio.Nursery, autojump_clock: MockClock, guest: type[Guest], ended: bool, why: str
) -> None:
    host = await start(nursery, Host, name=HOST)

    assert await host.call(Host.hold, guest, ended=ended) == why
    assert trio.current_time() <= 1
    await stop(host)


# -- the actor's own end


class Tired(Server):
    when_stopped = WhenStopped.DRAIN

    async def end(self) -> str:
        try:
            await stop(self.ref)
        except CallingSelf as refused:
            return f"{refused} {refused.paths}"
        raise AssertionError

    async def end_beside(self) -> None:
        self.nursery.start_soon(stop, self.ref)

    async def run(self) -> None:
        async with trio.open_nursery() as self.nursery:
            await super().run()
            self.nursery.cancel_scope.cancel()


async def test_an_actor_that_waits_for_its_own_end_is_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    tired = await start(nursery, Tired, path="/tired")

    assert await tired.call(Tired.end) == (
        "/tired waits for its own end, which would never come: raise Exit instead "
        "('/tired', '/tired')"
    )
    assert (await tired.wait()).kind == "shutdown"
    assert trio.current_time() == 0


async def test_a_task_beside_the_loop_may_wait_for_its_actor_to_drain(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    tired = await start(nursery, Tired)

    await tired.call(Tired.end_beside)

    assert (await tired.wait()).kind == "shutdown"
    assert trio.current_time() == 0


# -- a call sent before a wait for the caller's end closes the cycle


class Clerk(Server):
    """Calls another actor or waits for its end, and returns the outcome."""

    async def ask(self, other: Ref["Clerk"]) -> str:
        try:
            return await other.call(Clerk.answer)
        except CallCycle as cycle:
            return str(cycle)

    async def answer(self) -> str:
        return "answer"

    async def end(self, other: Ref["Clerk"]) -> str:
        await trio.sleep(1)
        return (await stop(other)).kind

    async def pass_on(self, other: Ref["Clerk"], third: Ref["Clerk"]) -> str:
        return await other.call(Clerk.ask, third)


class Drains(Clerk):
    when_stopped = WhenStopped.DRAIN


@pytest.mark.parametrize("by_way_of_another", [False, True])
async def test_a_sent_call_is_refused_when_its_callee_waits_for_the_caller(
    nursery: trio.Nursery, autojump_clock: MockClock, by_way_of_another: bool
) -> None:
    a, b, c = [await start(nursery, Drains, path=path, grace=60) for path in "abc"]
    ended = await a.request(Clerk.end, b)
    await wait_all_tasks_blocked()
    if by_way_of_another:
        said = await b.request(Clerk.pass_on, c, a)
        words = "c calls a calls b calls c: answer() would never return"
    else:
        said = await b.request(Clerk.ask, a)
        words = "b calls a calls b: answer() would never return"

    assert await said.result() == words
    assert await ended.result() == "shutdown"
    assert trio.current_time() == 1
    nursery.cancel_scope.cancel()


async def test_each_of_two_calls_to_the_waiting_actor_is_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    said: list[str] = []

    class Twice(Drains):
        async def pass_on(self, other: Ref[Clerk], third: Ref[Clerk]) -> str:
            async def ask() -> None:
                said.append(await other.call(Clerk.ask, third))

            async with trio.open_nursery() as both:
                both.start_soon(ask)
                both.start_soon(ask)
            return ""

    a, c = [await start(nursery, Drains, path=path, grace=60) for path in "ac"]
    b = await start(nursery, Twice, path="b", grace=60)
    ended = await a.request(Clerk.end, b)
    await wait_all_tasks_blocked()
    await b.cast(Clerk.pass_on, c, a)

    assert (await ended.result(), trio.current_time()) == ("shutdown", 1)
    assert said == ["c calls a calls b calls c: answer() would never return"] * 2
    nursery.cancel_scope.cancel()


async def test_a_sent_call_of_a_killed_caller_is_not_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    a, c = [await start(nursery, Drains, path=path) for path in "ac"]
    b = await start(nursery, Clerk, path="b")
    ended = await a.request(Clerk.end, b)
    await wait_all_tasks_blocked()
    asked = await b.request(Clerk.pass_on, c, a)

    assert await ended.result() == "shutdown"
    with pytest.raises(ActorExited):
        await asked.result()
    assert await c.call(Clerk.ask, a) == "answer"
    nursery.cancel_scope.cancel()


async def test_two_actors_that_wait_for_each_others_end_have_their_grace(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Waits(Drains):
        async def ask(self, other: Ref[Clerk]) -> str:
            return str(await other.wait())

    a = await start(nursery, Drains, path="a")
    b = await start(nursery, Waits, path="b", grace=3)
    ended = await a.request(Clerk.end, b)
    await wait_all_tasks_blocked()
    await b.cast(Clerk.ask, a)

    assert (await ended.result(), trio.current_time()) == ("killed", 4)
    nursery.cancel_scope.cancel()


# -- a finished wait whose task has not run yet


class Asker(Server):
    async def ask(self) -> str:
        return await ANSWERER.call(Answerer.answer)

    async def ask_for_space(self) -> None:
        await ANSWERER.cast(Answerer.rest, 1)
        await ANSWERER.cast(Answerer.call_back)
        await ANSWERER.cast(Answerer.rest, 0)

    async def here(self) -> str:
        return "here"


@attrs.define(eq=False)
class Answerer(Server):
    mailbox = MailboxPolicy(1)
    heard: list[str] = attrs.Factory(list)

    async def answer(self) -> str:
        self.continue_with("call back")
        return "answered"

    async def handle_continue(self, continuation: str) -> None:
        await self.call_back()

    async def call_back(self) -> None:
        self.heard.append(await ASKER.call(Asker.here))

    async def rest(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def all(self) -> list[str]:
        return self.heard


ASKER, ANSWERER = Name("asker", Asker), Name("answerer", Answerer)


async def test_an_answered_caller_can_be_called_back_in_the_same_step(
    nursery: trio.Nursery,
) -> None:
    asker = await start(nursery, Asker, name=ASKER)
    answerer = await start(nursery, Answerer, name=ANSWERER)

    assert await asker.call(Asker.ask) == "answered"
    assert await answerer.call(Answerer.all) == ["here"]
    nursery.cancel_scope.cancel()
