"""Circles of waiting calls are refused, with all who are in them; other waits are not."""

from functools import partial

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import (
    NO_REPLY,
    CallCycle,
    CallingSelf,
    MailboxFull,
    MailboxPolicy,
    Name,
    Ref,
    Reply,
    Server,
    start,
)


@attrs.define(eq=False)
class Peer(Server):
    """Passes a question along a chain of names, and says what became of it."""

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

    async def ask_beside(self, *chain: str) -> str:
        """Have a task beside the loop ask, and put the reply off till then."""
        reply: Reply[str] = self.reply_later()

        async def ask() -> None:
            reply.send(await self.ask(*chain))

        assert self.beside is not None
        self.beside.start_soon(ask)
        return NO_REPLY

    async def ask_of(self, whom: str) -> str:
        """Wait for a reply that the other puts off until it has asked back."""
        return await name(whom).call(Peer.put_off, self.path[1:])

    async def put_off(self, caller: str) -> str:
        self.replies.append(self.reply_later())
        assert self.beside is not None
        self.beside.start_soon(self.answer_all)
        return NO_REPLY

    async def answer_all(self) -> None:
        # Its own loop waits for c meanwhile, and c's for nobody.
        await self.ref.cast(Peer.ask, "c")
        await trio.lowlevel.checkpoint()
        for reply in self.replies:
            reply.send(await name("c").call(Peer.ask))

    async def flood(self, whom: str) -> str:
        try:
            for _ in range(3):
                await name(whom).cast(Peer.ask)
        except MailboxFull as full:
            return str(full)
        return "let in"

    async def be_flooded_by(self, whom: str) -> str:
        return await name(whom).call(Peer.flood, self.path[1:])

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


async def test_a_circle_of_two_is_told_with_the_call_that_closes_it(peers: None) -> None:
    said = await name("a").call(Peer.ask, "b", "a")

    assert said == "/b calls /a calls /b: ask() would never return"


async def test_a_circle_of_three_is_told_as_a_whole(peers: None) -> None:
    said = await name("a").call(Peer.ask, "b", "c", "a", "b")

    assert said == "/c calls /a calls /b calls /c: ask('b') would never return"


async def test_a_circle_that_the_first_caller_is_not_in_is_found_too(peers: None) -> None:
    said = await name("a").call(Peer.ask, "b", "c", "b")

    assert said == "/c calls /b calls /c: ask() would never return"


async def test_a_call_to_oneself_is_the_smallest_circle(peers: None) -> None:
    said = await name("a").call(Peer.ask, "a")

    assert said == "/a calls itself: ask() would never return"
    assert issubclass(CallingSelf, CallCycle)


async def test_a_task_that_a_method_waits_for_is_in_the_circle_too(peers: None) -> None:
    said = await name("a").call(Peer.ask_in_a_nursery, "b", "a")

    assert said == "/b calls /a calls /b: ask() would never return"


async def test_a_wait_for_a_result_may_close_it(peers: None, nursery: trio.Nursery) -> None:
    said: list[str] = []

    async def ask(key: str, other: str) -> None:
        said.append(await name(key).call(Peer.ask_later, other))

    # Both have sent their request before either waits for the result.
    nursery.start_soon(ask, "a", "b")
    nursery.start_soon(ask, "b", "a")
    await wait_all_tasks_blocked()

    circles = [text for text in said if "would never return" in text]
    assert len(circles) == 1
    assert len(said) == 2


async def test_a_chain_that_ends_is_none(peers: None) -> None:
    assert await name("a").call(Peer.ask, "b", "c") == "/c answers"


async def test_after_a_circle_all_of_them_serve_on(peers: None) -> None:
    await name("a").call(Peer.ask, "b", "c", "a")

    assert [await name(key).call(Peer.ask) for key in "abc"] == [
        "/a answers",
        "/b answers",
        "/c answers",
    ]
    assert [name(key).process().waits for key in "abc"] == [{}, {}, {}]


async def test_a_task_beside_the_loop_closes_no_circle(peers: None) -> None:
    assert await name("a").call(Peer.ask_beside, "b", "a") == "/a answers"


async def test_a_reply_that_was_put_off_closes_none(peers: None, nursery: trio.Nursery) -> None:
    said: list[str] = []

    async def ask() -> None:
        said.append(await name("a").call(Peer.ask_of, "b"))

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()

    assert said == ["/c answers"]


async def test_no_room_at_an_actor_that_waits_for_the_sender_is_refused(peers: None) -> None:
    said = await name("a").call(Peer.be_flooded_by, "b")

    assert said == "/a is full and would never take ask(): /b waits for /a waits for /b"


async def test_a_wait_for_room_may_be_part_of_it(peers: None, nursery: trio.Nursery) -> None:
    said: list[str] = []
    event = trio.Event()

    async def ask() -> None:
        said.append(await name("a").call(Peer.ask_after, event, "b"))

    nursery.start_soon(ask)
    await wait_all_tasks_blocked()
    nursery.start_soon(name("b").call, Peer.flood, "a")
    await wait_all_tasks_blocked()
    event.set()
    await wait_all_tasks_blocked()

    assert said == ["/a calls /b calls /a: ask() would never return"]


async def test_a_wait_for_room_that_is_let_in_is_none(peers: None) -> None:
    assert await name("c").call(Peer.flood, "a") == "let in"


async def test_a_chain_of_waits_that_ends_somewhere_is_no_circle(
    nursery: trio.Nursery, peers: None
) -> None:
    event = trio.Event()
    said: list[str] = []

    async def ask_b() -> None:
        said.append(await name("a").call(Peer.ask, "b"))

    nursery.start_soon(name("c").call, Peer.ask_after, event)
    await wait_all_tasks_blocked()
    nursery.start_soon(name("b").call, Peer.ask, "c")
    await wait_all_tasks_blocked()
    nursery.start_soon(ask_b)
    await wait_all_tasks_blocked()
    event.set()
    await wait_all_tasks_blocked()

    assert said == ["/b answers"]
    nursery.cancel_scope.cancel()


# -- long ones


@attrs.define(eq=False)
class Link(Server):
    """Calls the next of a chain, and answers once the last of it has."""

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


async def test_a_circle_of_1200_is_refused_and_its_sentence_is_short(
    nursery: trio.Nursery,
) -> None:
    first, *_ = await chain(nursery, 1200, True)

    assert await first.call(Link.ask) == (
        "1201 in /1199 calls /0 calls /1 calls /2 calls (1,193 more) calls /1196 calls /1197 calls "
        "/1198 calls /1199: ask() would never return"
    )


async def test_a_call_to_the_first_of_a_chain_of_1200_waits_for_the_last(
    nursery: trio.Nursery,
) -> None:
    said: list[str] = []

    async def ask(ref: Ref[Link]) -> None:
        said.append(await ref.call(Link.ask))

    links = await chain(nursery, 1200, False)
    # The outermost caller waits for another that joins the chain.
    client = [await start(nursery, partial(Link, links, -1), path="/client")]
    outer = await start(nursery, partial(Link, client, -1), path="/outer")
    nursery.start_soon(ask, links[0])
    await wait_all_tasks_blocked()
    nursery.start_soon(ask, outer)
    await wait_all_tasks_blocked()
    for link in links:
        actor = link.process().actor
        assert isinstance(actor, Link)
        actor.held.set()
    await wait_all_tasks_blocked()

    assert said == ["answered", "answered"]
