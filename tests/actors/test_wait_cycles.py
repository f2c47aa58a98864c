"""A call that closes a cycle of waits is refused; other waits are not."""

from functools import partial

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    CallCycle,
    CallingSelf,
    MailboxFull,
    MailboxPolicy,
    Name,
    Ref,
    Reply,
    Server,
    debug,
    start,
)
from okibi.actors.mailbox import Mailbox


@attrs.define(eq=False)
class Peer(Server):
    """Passes a call along a chain of names and returns the outcome."""

    mailbox = MailboxPolicy(1)
    replies: list[Reply[str]] = attrs.Factory(list)
    beside: trio.Nursery | None = None

    async def ask(self, *chain: str) -> str:
        if not chain:
            return f"{self.path} answers"
        first, *rest = chain
        try:
            return await name(first).call(Peer.ask, *rest)
        except CallCycle as cycle:
            return str(cycle) if cycle.paths[0] == cycle.paths[-1] == self.path else "wrong paths"

    async def ask_later(self, *chain: str) -> str:
        first, *rest = chain
        pending = await name(first).request(Peer.ask, *rest)
        try:
            return await pending.result()
        except CallCycle as cycle:
            return str(cycle)

    async def ask_in_a_nursery(self, *chain: str) -> str:
        said: list[str] = []

        async def ask() -> None:
            said.append(await self.ask(*chain))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
        return said[0]

    async def ask_twice(self, *chain: str) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(self.ask_in_a_nursery, *chain)

    async def ask_beside_a_flood(self, whom: str, *chain: str) -> str:
        """Ask while another task of the same method is blocked by a full mailbox."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.flood, whom)
            await wait_all_tasks_blocked()
            return await self.ask(*chain)

    async def ask_beside(self, *chain: str) -> str:
        """Ask in a task beside the loop, and put the reply off until then."""
        reply: Reply[str] = self.reply_later()

        async def ask() -> None:
            reply.send(await self.ask(*chain))

        assert self.beside is not None
        self.beside.start_soon(ask)
        return NO_REPLY

    async def ask_of(self, whom: str) -> str:
        """Wait for a reply that the other puts off until it has called back."""
        return await name(whom).call(Peer.put_off, self.path[1:])

    async def put_off(self, caller: str) -> str:
        self.replies.append(self.reply_later())
        assert self.beside is not None
        self.beside.start_soon(self.answer_all)
        return NO_REPLY

    async def answer_all(self) -> None:
        # This loop waits for c meanwhile, and c's loop for no actor.
        await self.ref.cast(Peer.ask, "c")
        await trio.lowlevel.checkpoint()
        for reply in self.replies:
            reply.send(await name("c").call(Peer.ask))

    async def flood(self, whom: str, times: int = 3) -> str:
        try:
            for _ in range(times):
                await name(whom).cast(Peer.ask)
        except MailboxFull as full:
            return str(full)
        return "let in"

    async def be_flooded_by(self, whom: str, times: int = 3) -> str:
        return await name(whom).call(Peer.flood, self.path[1:], times)

    async def ask_after(self, event: trio.Event, *chain: str) -> str:
        await event.wait()
        return await self.ask(*chain)

    async def run(self) -> None:
        async with trio.open_nursery() as self.beside:
            await super().run()


def name(key: str) -> Name[Peer]:
    return Name(key, Peer)


@pytest.fixture
async def peers(nursery: trio.Nursery) -> None:
    for key in "abc":
        await start(nursery, Peer, name=name(key), path=f"/{key}")


async def test_a_cycle_of_two_names_the_call_that_closes_it(peers: None) -> None:
    said = await name("a").call(Peer.ask, "b", "a")

    assert said == "/b calls /a calls /b: ask() would never return"


async def test_a_call_to_itself_is_refused(peers: None) -> None:
    said = await name("a").call(Peer.ask, "a")

    assert said == "/a calls itself: ask() would never return"
    assert issubclass(CallingSelf, CallCycle)


async def test_a_task_in_a_nursery_of_a_method_can_close_a_cycle(peers: None) -> None:
    said = await name("a").call(Peer.ask_in_a_nursery, "b", "a")

    assert said == "/b calls /a calls /b: ask() would never return"


async def test_a_wait_for_a_result_can_close_a_cycle(peers: None, nursery: trio.Nursery) -> None:
    said: list[str] = []

    async def ask(key: str, other: str) -> None:
        said.append(await name(key).call(Peer.ask_later, other))

    # Both requests are sent before either task waits for its result.
    nursery.start_soon(ask, "a", "b")
    nursery.start_soon(ask, "b", "a")
    await wait_all_tasks_blocked()

    cycles = [text for text in said if "would never return" in text]
    assert len(cycles) == 1
    assert len(said) == 2


async def test_a_task_beside_the_loop_closes_no_cycle(peers: None) -> None:
    assert await name("a").call(Peer.ask_beside, "b", "a") == "/a answers"


async def test_a_waiting_actor_accepts_at_most_twice_its_capacity(peers: None) -> None:
    said = await name("a").call(Peer.be_flooded_by, "b")

    assert said == (
        "/a cannot take ask(): its mailbox is full, and would never empty: /b waits for /a waits "
        "for /b"
    )


@attrs.define(eq=False)
class Relay(Server):
    """Passes each message on to another actor, as often as the message says."""

    mailbox = MailboxPolicy(1)
    to: Name["Relay"]
    passed: int = 0

    async def pass_on(self, times: int) -> None:
        self.passed += 1
        if times:
            await self.to.cast(Relay.pass_on, times - 1)


@pytest.mark.parametrize("size", [2, 3])
async def test_a_cycle_of_casts_between_full_mailboxes_goes_on(
    nursery: trio.Nursery, size: int
) -> None:
    """In OTP a mailbox is unbounded, so a cast never waits."""
    path = [Name(f"relay {n}", Relay) for n in range(size)]
    relays = [
        await start(nursery, partial(Relay, path[(n + 1) % size]), name=path[n])
        for n in range(size)
    ]

    with trio.fail_after(60):
        async with trio.open_nursery() as senders:
            for number in range(10 * size):
                senders.start_soon(path[number % size].cast, Relay.pass_on, 2 * size - 1)
        await wait_all_tasks_blocked()

    states = [await debug.get_state(relay) for relay in relays]
    assert [state["passed"] for state in states] == [20 * size] * size
    assert max(relay.mailbox_statistics.peak for relay in relays) == 2
    assert [relay.process().waits.callees for relay in relays] == [{}] * size


@attrs.define(eq=False)
class Manager(Server):
    """Hands out jobs, and is called while its worker's full mailbox blocks it."""

    async def hand_out(self, jobs: int) -> None:
        for job in range(jobs):
            await Name("worker", Worker).cast(Worker.work, job)

    async def rate(self) -> int:
        return 10


@attrs.define(eq=False)
class Worker(Server):
    mailbox = MailboxPolicy(3)
    earned: int = 0

    async def work(self, job: int) -> None:
        self.earned += await Name("manager", Manager).call(Manager.rate)


async def test_a_call_to_an_actor_blocked_by_the_callers_mailbox_returns(
    nursery: trio.Nursery,
) -> None:
    manager = await start(nursery, Manager, name=Name("manager", Manager))
    worker = await start(nursery, Worker, name=Name("worker", Worker))

    await manager.cast(Manager.hand_out, 5)
    await wait_all_tasks_blocked()

    assert await debug.get_state(worker) == {"earned": 50}


async def test_a_cycle_that_multiplies_casts_is_refused_at_twice_the_capacity(
    nursery: trio.Nursery,
) -> None:
    class Doubler(Relay):
        async def pass_on(self, times: int) -> None:
            try:
                for _ in range(2):
                    await super().pass_on(times)
            except MailboxFull as full:
                refused.append(str(full))

    refused: list[str] = []
    first, second = Name("first", Relay), Name("second", Relay)
    relays = [
        await start(nursery, partial(Doubler, second), name=first),
        await start(nursery, partial(Doubler, first), name=second),
    ]

    with trio.fail_after(60):
        await relays[0].cast(Relay.pass_on, 9)
        await wait_all_tasks_blocked()

    assert any("first waits for second waits for first" in why for why in refused)
    assert max(relay.mailbox_statistics.peak for relay in relays) == 2


async def test_a_lane_beyond_its_capacity_admits_no_sender(nursery: trio.Nursery) -> None:
    """Otherwise each cycle would lengthen the lane of an actor under load."""
    mailbox = Mailbox(MailboxPolicy(1))
    mailbox.offer("first")
    nursery.start_soon(mailbox.wait_for_space, "in line")
    await wait_all_tasks_blocked()
    assert mailbox.put_beyond_capacity("beyond")
    assert not mailbox.put_beyond_capacity("too many")

    assert await mailbox.receive() == "first"
    assert mailbox.statistics().blocked == 1
    assert await mailbox.receive() == "beyond"
    assert await mailbox.receive() == "in line"
    assert mailbox.statistics().peak == 2


async def test_a_full_actor_that_waits_for_the_sender_accepts_its_cast(peers: None) -> None:
    assert await name("a").call(Peer.be_flooded_by, "b", 2) == "let in"
    assert name("a").process().mailbox.statistics().peak == 2


# -- long cycles


@attrs.define(eq=False)
class Link(Server):
    """Calls the next actor of a chain, and answers once the last one has answered."""

    others: "list[Ref[Link]]"
    at: int
    closes: bool = False
    held: trio.Event = attrs.Factory(trio.Event)

    async def ask(self) -> str:
        if self.at + 1 < len(self.others):
            return await self.others[self.at + 1].call(Link.ask)
        if not self.closes:
            await self.held.wait()
            return "answered"
        with pytest.raises(CallCycle) as refused:
            await self.others[0].call(Link.ask)
        assert refused.value.paths[0] == refused.value.paths[-1] == self.path
        return f"{len(refused.value.paths)} in {refused.value}"


async def chain(nursery: trio.Nursery, length: int, closes: bool) -> list[Ref[Link]]:
    links: list[Ref[Link]] = []
    for at in range(length):
        links.append(await start(nursery, partial(Link, links, at, closes), path=f"/{at}"))
    return links


async def test_a_cycle_of_1200_is_refused_with_a_short_message(
    nursery: trio.Nursery,
) -> None:
    first, *_ = await chain(nursery, 1200, True)

    assert await first.call(Link.ask) == (
        "1201 in /1199 calls /0 calls /1 calls /2 calls (1,193 more) calls /1196 calls /1197 calls "
        "/1198 calls /1199: ask() would never return"
    )
