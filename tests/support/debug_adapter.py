"""A client of debugpy: what an IDE sends (Debug Adapter Protocol)."""

import json
from typing import Any

import attrs
import trio

from tests.limits import HANG


@attrs.define(eq=False)
class Debugger:
    """An IDE that is connected to debugpy."""

    stream: trio.SocketStream
    _buffer: bytes = b""
    _sequence: int = 0

    @classmethod
    async def connect(cls, port: int) -> "Debugger":
        """Connect as soon as debugpy listens."""
        with trio.fail_after(HANG):
            while True:
                try:
                    return cls(await trio.open_tcp_stream("127.0.0.1", port))
                except OSError:
                    await trio.sleep(0.02)

    async def attach(self, file: str, line: int) -> None:
        """Attach, with a breakpoint; the program goes on."""
        await self.send("initialize", adapterID="tests")
        await self.wait_for(command="initialize")
        await self.send("attach", justMyCode=True)
        await self.wait_for(event="initialized")
        await self.send("setBreakpoints", source={"path": file}, breakpoints=[{"line": line}])
        await self.wait_for(command="setBreakpoints")
        await self.send("configurationDone")

    async def send(self, command: str, **arguments: object) -> None:
        self._sequence += 1
        message = {
            "seq": self._sequence,
            "type": "request",
            "command": command,
            "arguments": arguments,
        }
        body = json.dumps(message).encode()
        await self.stream.send_all(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    async def wait_for(self, **fields: str) -> dict[str, Any]:
        """Wait for a message with these fields."""
        while True:
            message = await self._read()
            if message["type"] != "request" and all(
                message.get(name) == value for name, value in fields.items()
            ):
                return message

    async def _read(self) -> dict[str, Any]:
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += await self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].split()[0])
        while len(self._buffer) < size:
            self._buffer += await self._receive()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        message: dict[str, Any] = json.loads(body)
        return message

    async def _receive(self) -> bytes:
        data = await self.stream.receive_some()
        assert data, "debugpy has closed the connection"
        return bytes(data)
