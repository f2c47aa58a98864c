"""Faults on demand, over real sockets, as the runtime sees them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from okibi.local import (
    Direction,
    Fault,
    Faults,
    FunctionSettings,
    RuntimeApi,
    RuntimeApiOptions,
)
from tests.limits import HANG
from tests.support.platform_without_io import NEXT, PING


@asynccontextmanager
async def connected(*plan: Fault) -> AsyncIterator[tuple[RuntimeApi, trio.SocketStream]]:
    api = RuntimeApi(FunctionSettings("app.handler"), RuntimeApiOptions(faults=Faults(plan)))
    with trio.fail_after(HANG):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, api.serve_connection, listeners)
            port = listeners[0].socket.getsockname()[1]
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                yield api, stream
            nursery.cancel_scope.cancel()


async def rest_of(stream: trio.SocketStream) -> bytes:
    return b"".join([bytes(data) async for data in stream])


async def test_a_reset_fault_resets_the_connection() -> None:
    async with connected(Fault(Direction.FROM_RUNTIME, 0, 5, reset=True)) as (_, stream):
        await stream.send_all(PING)

        with pytest.raises(trio.BrokenResourceError):
            await rest_of(stream)


async def test_an_event_with_a_cut_response_is_sent_to_the_next_connection() -> None:
    async with (
        connected(Fault(Direction.TO_RUNTIME, 0, 30)) as (api, stream),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(api.invoke, b"1")
        await stream.send_all(NEXT)

        assert len(await rest_of(stream)) == 30
        assert api.current is not None
        assert api.current.payload == b"1"
        nursery.cancel_scope.cancel()
