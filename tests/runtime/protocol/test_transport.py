"""A lane's connection: `receive` and `send` act at once or raise BlockingIOError."""

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


async def test_receive_without_data_raises_and_readable_waits(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    with pytest.raises(BlockingIOError):
        transport.receive(10)

    there.send(b"hello")
    await transport.readable()

    assert transport.receive(3) == b"hel"
    assert transport.receive(10) == b"lo"


async def test_send_to_a_full_buffer_raises_and_writable_waits(
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


async def test_a_closed_connection_is_received_as_empty_bytes(
    pair: tuple[SocketTransport, socket.socket],
) -> None:
    transport, there = pair
    there.close()

    await transport.readable()

    assert transport.receive(10) == b""


async def test_interrupt_ends_a_wait_but_not_the_connection(
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


async def test_data_is_pending_until_it_is_received(
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


async def test_close_ends_a_wait(
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


async def test_connect_turns_nagle_s_algorithm_off() -> None:
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
async def test_connect_works_with_a_replaced_socket_class(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        another_socket(monkeypatch)
        transport = await connect(host, server.getsockname()[1])

        assert transport.send(memoryview(b"hello")) == 5
        transport.close()


async def test_connect_times_out_if_the_server_does_not_accept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "CONNECT_LIMIT", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first:
        first.connect(full.getsockname())
        with pytest.raises(TimeoutError, match="did not accept a connection"):
            await connect(*full.getsockname())


async def test_connect_raises_os_error_if_nothing_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            await connect("127.0.0.1", bound.getsockname()[1])
