"""Serve an ASGI application over HTTP/1.1 and HTTP/2 with anycorn.

This module accepts the connections, and anycorn serves each. anycorn's own `serve` (0.20.1) has two
defects: the whole server ends if one connection raises, as after a WebSocket upgrade whose header
is not ASCII; and the socket of a client that has left stays open until the idle limit.
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import anycorn
import anyio
import attrs
import trio
from anycorn import tcp_server, utils, worker_context
from anyio.abc import SocketStream

from .asgi import AsgiApplication

# Bytes of a request's line and headers.
MAX_HEADER_SIZE = 64 * 1024

# Seconds for which a connection without a request stays open.
IDLE_LIMIT = 60.0

# Seconds that requests in progress have at the end of the server.
#
# The sandboxes end at the same time, so the events that run have an outcome at once.
END_LIMIT = 0.3

_logger = logging.getLogger("okibi.dev")

# anycorn's types spell out each message of ASGI.
_wrap_app: Any = cast(Any, utils).wrap_app
_TcpServer: Any = tcp_server.TCPServer


async def serve_application(
    application: AsgiApplication, listeners: Sequence[trio.SocketListener]
) -> None:
    """Serve connections until cancelled.

    Then the listeners close at once, idle connections too, and requests in progress have 0.3 s.

    Args:
        application: an ASGI 3 application. It gets no lifespan messages.
        listeners: the listeners to which clients connect.

    Example:
        nursery.start_soon(serve_application, application, listeners)
    """
    contexts = set[worker_context.WorkerContext]()
    serve = partial(_serve_connection, _wrap_app(application, 0, "asgi"), _configure(), contexts)
    opened, ended = list[trio.Nursery](), trio.Event()
    async with trio.open_nursery() as nursery:
        # Not `nursery.start`, which a cancel would let wait for the end of the shielded task.
        nursery.start_soon(_hold_connections, opened, ready := trio.Event(), ended)
        try:
            await ready.wait()
            await trio.serve_listeners(serve, list(listeners), handler_nursery=opened[0])
        finally:
            ended.set()
            with trio.CancelScope(shield=True):
                for context in list(contexts):
                    await context.terminated.set()


async def _hold_connections(
    opened: list[trio.Nursery], ready: trio.Event, ended: trio.Event
) -> None:
    """Keep the connections open until `ended` is set and they have ended, also if cancelled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as connections:
            opened.append(connections)
            ready.set()
            await ended.wait()
            connections.cancel_scope.deadline = trio.current_time() + END_LIMIT


def _configure() -> anycorn.Config:
    config = anycorn.Config()
    config.errorlog = _logger
    config.h11_max_incomplete_size = MAX_HEADER_SIZE
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_LIMIT
    return config


async def _serve_connection(
    application: object,
    config: anycorn.Config,
    contexts: set[worker_context.WorkerContext],
    stream: trio.SocketStream,
) -> None:
    raw = socket.socket(fileno=stream.socket.detach())
    # With a context of its own, a connection can be told to end.
    context = worker_context.WorkerContext(None)
    contexts.add(context)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_shut_down_when_cancelled, raw)
            client = _ClientStream(
                await SocketStream.from_socket(raw),
                context.terminated.set,
                nursery.cancel_scope.cancel,
            )
            await _TcpServer(application, config, context, {}, client).run()
            nursery.cancel_scope.cancel()
    except Exception as error:
        _logger.info("closed a connection: %s", _describe(error))
    finally:
        contexts.remove(context)


async def _shut_down_when_cancelled(raw: socket.socket) -> None:
    """Wake anycorn, which shields its writes: a client that does not read would block the end."""
    try:
        await trio.sleep_forever()
    finally:
        with suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)


@attrs.define(eq=False)
class _ClientStream:
    """A connection that ends all of its tasks when it is closed.

    Args:
        stream: the connection.
        on_end: called when the client has sent its last byte. It may still read.
        on_close: called when the connection has been closed.
    """

    _stream: SocketStream
    _on_end: Callable[[], Awaitable[None]]
    _on_close: Callable[[], None]

    async def receive(self, max_bytes: int) -> bytes:
        try:
            return await self._stream.receive(max_bytes)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            await self._on_end()
            raise

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._on_close()

    def extra(self, attribute: Any) -> Any:
        return self._stream.extra(attribute)


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return f"{type(error).__name__}: {error}"
