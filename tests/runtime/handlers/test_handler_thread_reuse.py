"""trio reuses the threads of plain handlers; none keeps an asyncio loop."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio._core import _thread_cache

from okibi.runtime.handlers.handler_thread import HandlerThread
from tests.limits import HANG

Idle = Callable[[], Awaitable[None]]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Idle:
    """Returns a function that waits until trio's only thread here is idle, and so reused next."""
    cache = _thread_cache.ThreadCache()
    monkeypatch.setattr(_thread_cache, "THREAD_CACHE", cache)

    async def until_idle() -> None:
        with trio.fail_after(HANG):
            while not cache._idle_workers:  # noqa: ASYNC110, of a thread
                await trio.sleep(0.001)

    return until_idle


async def called(act: Callable[[], object]) -> object:
    """Call a function in a new HandlerThread."""
    async with trio.open_nursery() as nursery:
        result = await HandlerThread(nursery).call(act)
        nursery.cancel_scope.cancel()
    return result


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no loop is created from 3.14 on")
@pytest.mark.parametrize("own", [False, True])
async def test_a_reused_thread_has_a_new_asyncio_loop(own: bool, idle: Idle) -> None:
    loops, idents = list[asyncio.AbstractEventLoop](), set[int]()

    def act() -> int:
        idents.add(threading.get_ident())
        if own and not loops:
            asyncio.set_event_loop(asyncio.new_event_loop())
        loops.append(asyncio.get_event_loop())
        count = loops[-1].run_until_complete(asyncio.sleep(0, len(loops)))
        if own:
            loops[-1].close()
        return count

    assert await called(act) == 1
    await idle()
    assert loops[0].is_closed()
    assert await called(act) == 2

    await idle()
    assert len(idents) == 1
    assert loops[0] is not loops[1]
    assert loops[1].is_closed()


async def test_a_thread_of_trio_to_thread_has_no_asyncio_loop(idle: Idle) -> None:
    before = await called(threading.get_ident)
    await idle()

    def act() -> None:
        assert threading.get_ident() == before
        with pytest.raises(RuntimeError, match="no current event loop"):
            asyncio.get_event_loop()

    await trio.to_thread.run_sync(act)
