"""Threads, and an actor for them to call, shared by the tests of portals."""

import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs
import outcome
import pytest
import trio
from trio.lowlevel import current_trio_token

from okibi.actors import MailboxPolicy, Name, Portal, Ref, Refusal, Server, from_sync, from_thread

R = TypeVar("R")
Thread = Callable[[Callable[[], R]], Awaitable[R]]


class Empty(Refusal): ...


@attrs.define(eq=False)
class Till(Server):
    mailbox = MailboxPolicy(1)
    total: int = 0
    sent: list[object] = attrs.Factory(list)
    busy: trio.Event = attrs.Factory(trio.Event)
    go: trio.Event = attrs.Factory(trio.Event)

    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total

    async def what_was_sent(self) -> list[object]:
        return self.sent

    async def wait(self) -> str:
        self.busy.set()
        await self.go.wait()
        return "gone on"

    async def empty(self) -> None:
        raise Empty("nothing in it")

    async def crash(self) -> None:
        raise ValueError("boom")

    async def handle_info(self, message: object) -> None:
        self.sent.append(message)


TILL = Name("till", Till)


def till(ref: Ref[Till]) -> Till:
    actor = ref.process().actor
    assert isinstance(actor, Till)
    return actor


async def trios_thread(work: Callable[[], R]) -> R:
    return await trio.to_thread.run_sync(work)


async def thread_to_abandon(work: Callable[[], R]) -> R:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


async def foreign_thread(work: Callable[[], R]) -> R:
    """Run work in a thread that trio does not know."""

    def body() -> None:
        results.append(outcome.capture(work))
        token.run_sync_soon(done.set)

    results: list[outcome.Outcome[R]] = []
    token, done = current_trio_token(), trio.Event()
    thread = threading.Thread(target=body)
    thread.start()
    await done.wait()
    thread.join()
    return results[0].unwrap()


WAYS: list[tuple[Callable[[], Portal], Thread[object]]] = [
    (lambda: from_thread, trios_thread),
    (lambda: from_thread, thread_to_abandon),
    (lambda: from_sync, trios_thread),
    (lambda: from_sync, thread_to_abandon),
    (Portal, trios_thread),
    (Portal, thread_to_abandon),
    (Portal, foreign_thread),
]
every_way = pytest.mark.parametrize(("make", "thread"), WAYS)
