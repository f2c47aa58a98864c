"""What the thread of a plain handler leaves in the thread that trio keeps for what comes next."""

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
    """Waits until the one thread that trio has here has nothing to do: it is taken next."""
    cache = _thread_cache.ThreadCache()
    monkeypatch.setattr(_thread_cache, "THREAD_CACHE", cache)

    async def until_idle() -> None:
        with trio.fail_after(HANG):
            while not cache._idle_workers:  # noqa: ASYNC110, of a thread
                await trio.sleep(0.001)

    return until_idle


async def called(act: Callable[[], object]) -> object:
    """What a thread of its own makes of a call."""
    async with trio.open_nursery() as nursery:
        result = await HandlerThread(nursery).call(act)
        nursery.cancel_scope.cancel()
    return result


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="nor does the main thread have one")
@pytest.mark.parametrize("own", [False, True])
async def test_the_next_handler_s_thread_has_a_new_loop(own: bool, idle: Idle) -> None:
    loops, idents = list[asyncio.AbstractEventLoop](), set[int]()

    def act() -> int:
        idents.add(threading.get_ident())
        if own and not loops:
            asyncio.set_event_loop(asyncio.new_event_loop())
        loops.append(asyncio.get_event_loop())
        told = loops[-1].run_until_complete(asyncio.sleep(0, len(loops)))
        if own:
            loops[-1].close()
        return told

    assert await called(act) == 1
    await idle()
    assert loops[0].is_closed()
    assert await called(act) == 2

    await idle()
    assert len(idents) == 1
    assert loops[0] is not loops[1]
    assert loops[1].is_closed()


async def test_what_is_no_handler_s_is_made_none(idle: Idle) -> None:
    before = await called(threading.get_ident)
    await idle()

    def act() -> None:
        assert threading.get_ident() == before
        with pytest.raises(RuntimeError, match="no current event loop"):
            asyncio.get_event_loop()

    await trio.to_thread.run_sync(act)
