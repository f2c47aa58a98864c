"""The connection in memory behaves like a socket: bounded, interruptible, and closed for both."""

import pytest
import trio

from okibi import Context, streaming
from okibi.runtime import Response
from okibi.testing import running, virtual_time
from okibi.testing.memory_connection import LIMIT, MemoryConnection


@virtual_time
async def test_bytes_pass_in_both_directions() -> None:
    connection = MemoryConnection()
    assert connection.send(memoryview(b"request")) == 7
    assert await connection.server.receive_some() == b"request"
    await connection.server.send_all(b"response")

    assert connection.pending()
    assert (connection.receive(3), connection.receive(99)) == (b"res", b"ponse")
    with pytest.raises(BlockingIOError):
        connection.receive(1)


@virtual_time
async def test_a_full_connection_takes_no_more_until_it_is_read() -> None:
    connection = MemoryConnection()
    taken = connection.send(memoryview(bytes(LIMIT + 1)))
    with pytest.raises(BlockingIOError):
        connection.send(memoryview(b"x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.writable)
        await trio.sleep(1)
        assert nursery.child_tasks
        read = len(await connection.server.receive_some())

    assert taken == read == LIMIT


@virtual_time
async def test_a_full_response_waits_for_its_reader() -> None:
    connection = MemoryConnection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.server.send_all, bytes(LIMIT + 1))
        await connection.readable()
        first = len(connection.receive(LIMIT))
        await connection.readable()

    assert (first, len(connection.receive(LIMIT))) == (LIMIT, 1)


@virtual_time
async def test_an_interrupted_wait_raises_and_leaves_the_connection_open() -> None:
    connection = MemoryConnection()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_interrupt_later, connection)
        with pytest.raises(trio.ClosedResourceError):
            await connection.readable()

    await connection.server.send_all(b"open")
    await connection.readable()


async def _interrupt_later(connection: MemoryConnection) -> None:
    await trio.sleep(1)
    connection.interrupt()


@virtual_time
async def test_each_side_sees_the_close_of_the_other() -> None:
    closed_by_runtime, closed_by_server = MemoryConnection(), MemoryConnection()
    closed_by_runtime.close()
    await closed_by_server.server.aclose()

    assert await closed_by_runtime.server.receive_some() == b""
    with pytest.raises(trio.BrokenResourceError):
        await closed_by_runtime.server.send_all(b"late")
    assert closed_by_server.receive(1) == b""
    with pytest.raises(BrokenPipeError):
        closed_by_server.send(memoryview(b"late"))


@virtual_time
async def test_a_slow_reader_of_a_stream_makes_the_handler_wait() -> None:
    written = list[int]()

    @streaming
    async def handler(event: int, response: Response, context: Context) -> None:
        for number in range(event):
            await response.write(bytes(1 << 20))
            written.append(number)

    async with running(handler) as app, app.stream(20) as response:
        await trio.sleep(1)
        assert len(written) < 20
        assert sum([len(piece) async for piece in response]) == 20 << 20
        assert (await response.result()).error_type is None
