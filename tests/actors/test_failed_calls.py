"""A failed call leaves no reference cycles."""

import gc
from collections.abc import Awaitable, Callable

import pytest
import trio

from okibi.actors import NO_REPLY, Refusal, ReplyLost, Server, start, stop
from tests.garbage import no_collector


class Desk(Server):
    """Fails calls in every way that leaves the server running."""

    async def refuse(self) -> str:
        raise Refusal("closed")

    async def refuse_in_a_nursery(self) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.refuse)
        return "opened"

    async def lose(self) -> str:
        self.reply_later()
        return NO_REPLY


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("how", [Desk.refuse, Desk.refuse_in_a_nursery, Desk.lose])
async def test_a_failed_call_leaves_nothing_to_the_garbage_collector(
    how: Callable[[Desk], Awaitable[str]], nursery: trio.Nursery
) -> None:
    desk = await start(nursery, Desk)

    async def ask() -> None:
        try:
            await desk.call(how)
        except (Refusal, ReplyLost):
            return

    await ask()
    gc.collect()
    for _ in range(5):
        await ask()

    assert gc.collect() == 0
    await stop(desk)
