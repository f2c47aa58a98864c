"""A lane's socket: each step is done at once or refused, and only waiting awaits."""

import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.runtime.protocol import transport
from okibi.runtime.protocol.transport import SocketTransport, connect
from tests.support.doubles import another_socket


@pytest.fixture
def pair() -> Iterator[tuple[SocketTransport, socket.socket]]:
    here, there = socket.socketpair()
    here.setblocking(False)
    with there:
        yield SocketTransport(here), there
        here.close()


async def test_nothing_there_is_refused_and_waited_for(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    with pytest.raises(BlockingIOError):
        transport.receive(10)

    there.send(b"hello")
    await transport.readable()

    assert transport.receive(3) == b"hel"
    assert transport.receive(10) == b"lo"


async def test_a_full_kernel_is_refused_and_waited_for(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    data = memoryview(b"x" * (1 << 20))
    sent = _fill(transport, data)
    with pytest.raises(BlockingIOError):
        transport.send(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.writable)
        await wait_all_tasks_blocked()
        received = 0
        while received < sent:
            received += len(there.recv(1 << 20))

    assert transport.send(data) > 0


def _fill(transport: SocketTransport, data: memoryview) -> int:
    sent = 0
    try:
        while True:
            sent += transport.send(data)
    except BlockingIOError:
        return sent


async def test_the_other_side_s_close_is_empty_bytes(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    there.close()

    await transport.readable()

    assert transport.receive(10) == b""


async def test_an_interruption_ends_a_wait_and_not_the_connection(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    with pytest.RaisesGroup(trio.ClosedResourceError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.readable)
            await wait_all_tasks_blocked()
            transport.interrupt()

    there.send(b"hello")
    await transport.readable()
    assert transport.receive(10) == b"hello"


async def test_what_has_come_is_pending_until_it_is_received(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    assert not transport.pending()
    there.sendall(b"1")
    await transport.readable()
    assert transport.pending()

    assert transport.receive(10) == b"1"
    assert not transport.pending()
    there.close()
    await transport.readable()
    assert transport.pending()


async def test_whoever_waits_is_told_of_the_close(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, _ = pair

    async def waits() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.readable()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        transport.close()


async def test_it_connects_without_delay_of_small_writes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        transport = await connect("127.0.0.1", server.getsockname()[1])
        accepted, _ = server.accept()

        assert isinstance(transport, SocketTransport)
        assert transport.connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert transport.send(memoryview(b"hello")) == 5
        assert accepted.recv(10) == b"hello"
        accepted.close()
        transport.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_connects_by_itself_whatever_class_a_user_s_module_has_put_into_socket_s_place(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        another_socket(monkeypatch)
        transport = await connect(host, server.getsockname()[1])

        assert transport.send(memoryview(b"hello")) == 5
        transport.close()


async def test_a_connection_that_nobody_takes_is_an_os_error_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "CONNECT_LIMIT", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())
        with pytest.raises(TimeoutError, match="did not accept a connection"):
            await connect(*full.getsockname())


async def test_nobody_there_is_an_os_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            await connect("127.0.0.1", bound.getsockname()[1])
