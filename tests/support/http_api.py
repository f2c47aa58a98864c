"""An HTTP server on trio. A test says how it fails; it counts the requests that it handles."""

import math
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from struct import pack

import attrs
import trio
from trio import socket

RESET = pack("ii", 1, 0)  # SO_LINGER: close sends a reset


@attrs.define(eq=False)
class Connection:
    """A connection of a client.

    Attributes:
        busy: whether the server handles a request on it.
        served: whether it has served a request.
        died: the time at which the server has forgotten it: a request on it gets a reset.
    """

    stream: trio.SocketStream
    busy: bool = False
    served: bool = False
    died: float = math.inf


@attrs.define(eq=False)
class HttpApi:
    """Each request has a path `/number/plan`, for example `/7/reset-500-`.

    The plan has a step for each attempt, by its number; the last step stays. Steps: empty (200),
    a status, `reset` after the request was handled, `slow`, `cut` in the middle of the body, and
    `close` (200, and the connection is closed without notice).

    Attributes:
        idle: seconds after which the server closes an idle connection.
        slow: seconds of a slow answer.
        received: attempts of each number that were read whole.
        handled: those that were handled: not refused by 429.
        forgotten: attempts that came on a dead connection; not handled. With a header `x-began`,
            those alone that began after its death.
    """

    idle: float = 60.0
    slow: float = 60.0
    port: int = 0
    opened: int = 0
    received: Counter[str] = attrs.Factory(Counter)
    handled: Counter[str] = attrs.Factory(Counter)
    forgotten: list[str] = attrs.Factory(list)
    connections: set[Connection] = attrs.Factory(set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        async with trio.open_nursery() as nursery:
            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=200)
            self.port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, self._serve, [listener])
            yield
            nursery.cancel_scope.cancel()

    def forget_idle(self) -> None:
        """Let all idle connections die, as those of a client that was frozen for long."""
        for connection in self.connections:
            if not connection.busy:
                connection.died = min(connection.died, trio.current_time())

    async def _serve(self, stream: trio.SocketStream) -> None:
        self.opened += 1
        connection = Connection(stream)
        self.connections.add(connection)
        try:
            async with stream:
                while await self._serve_request(connection):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            self.connections.remove(connection)

    async def _serve_request(self, connection: Connection) -> bool:
        """Serve a request; return whether the connection stays open."""
        data = b""
        with trio.move_on_after(self.idle if connection.served else math.inf):
            data = await connection.stream.receive_some()
        if not data:
            return False
        connection.busy = True
        while b"\r\n\r\n" not in data:
            data += await connection.stream.receive_some()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("ascii").lower().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        while len(body) < int(fields.get("content-length", "0")):
            body += await connection.stream.receive_some()
        if connection.died < math.inf:
            if float(fields.get("x-began", "inf")) > connection.died:
                self.forgotten.append(lines[0])
            self._reset(connection)
            return False
        stays = await self._answer(connection, lines[0].split()[1])
        connection.busy, connection.served = False, True
        return stays

    async def _answer(self, connection: Connection, path: str) -> bool:
        _, number, plan = path.split("/")
        steps = plan.split("-")
        step = steps[min(self.received[number], len(steps) - 1)]
        self.received[number] += 1
        self.handled[number] += step != "429"
        match step:
            case "reset":
                self._reset(connection)
                return False
            case "slow":
                await trio.sleep(self.slow)
            case "cut":
                await connection.stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut")
                return False
            case _:
                pass
        status = step if step.isdigit() else "200"
        head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(number)}\r\n\r\n{number}"
        await connection.stream.send_all(head.encode("ascii"))
        return step != "close"

    def _reset(self, connection: Connection) -> None:
        connection.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
