"""okibi as an internal extension: without one, Lambda ends a sandbox with SIGKILL alone.

With any extension registered SIGTERM comes first, and the tree has 300 ms (Runtime API). The
extension takes no events; it asks for one, as it must, and that request stays pending for ever
on a connection of its own.

    POST extension/register     written before user code is imported, so that the answer is there
                                when the tree has been built; behind the first GET /next none is
                                taken
    GET extension/event/next    once it is registered: the platform's init phase does not end
                                before it

Where there are no extensions (an emulator, ten others already), or the connection breaks, okibi
goes on without: then nothing tells it of its end, as nothing tells the official client.
"""

import socket

import trio

from ...actors import Actor, logs
from ..protocol.runtime_api import (
    ApiResponseParser,
    WireError,
    extension_event_request,
    register_request,
)
from ..protocol.transport import SocketTransport, Transport

logger = logs.logger("okibi")

NAME = b"okibi"
# Seconds for the connection, which on Lambda is one inside the machine, and for the answer: an
# init that waits longer for its end to be announced is a bad bargain.
CONNECT_LIMIT = 0.5
PATIENCE = 1.0
LIMIT = 64 * 1024


class ExtensionConnection:
    """The extension's connection and how far it has come. It outlives the actor that uses it.

    Args:
        host: the Runtime API's address, as it stands in the Host header.
    """

    __slots__ = ("_address", "_parser", "host", "identifier", "refused", "transport")

    def __init__(self, host: bytes) -> None:
        self.host = host
        self.transport: Transport | None = None
        # What the platform knows the extension by; empty until it has said so.
        self.identifier = b""
        # Why there is no extension, once that is certain.
        self.refused = ""
        self._parser = ApiResponseParser()
        self._address = ("", 0)

    def begin(self, address: tuple[str, int]) -> None:
        """Connect and ask to be registered, without waiting for the answer."""
        self._address = address
        try:
            self._send(register_request(self.host, NAME))
        except OSError as error:
            self.refuse(str(error))

    def _send(self, request: bytes) -> None:
        """Send a request over a new connection."""
        # Not `create_connection`: it looks the address up as a name, and for that imports IDNA.
        connected = socket.socket()
        try:
            connected.settimeout(CONNECT_LIMIT)
            connected.connect(self._address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.sendall(request)
            connected.setblocking(False)
        except OSError:
            connected.close()
            raise
        self.transport = SocketTransport(connected)

    def refuse(self, why: str) -> None:
        """Go on without an extension, for good."""
        logger.debug("no extension, so no SIGTERM from the platform: %s", why)
        self.refused = why
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def take(self, data: bytes) -> None:
        """Take the answer to the registration, and ask for the event that never comes.

        Raises:
            OSError: it was closed, or speaks no HTTP.
        """
        if not data:
            raise ConnectionResetError("it was closed")
        try:
            answers = self._parser.feed(data)
        except WireError as error:
            raise ConnectionAbortedError(str(error)) from error
        for answer in answers:
            if answer.status != 200:
                text = answer.body.decode("utf-8", "replace").strip()
                self.refuse(f"{answer.status} {text}")
                return
            if self.identifier:
                self.refuse("an event came that it has not subscribed to")
                return
            self.identifier = answer.headers.get(b"lambda-extension-identifier", b"")
            if not self.identifier:
                self.refuse("registered, but under no identifier")
                return
            request = extension_event_request(self.host, self.identifier)
            if not answer.keep_alive:
                # Lambda's own is; a registered extension that never asks would hold the init.
                self.close()
                self._parser = ApiResponseParser()
                self._send(request)
            # Two hundred bytes, on a connection with nothing under way: the kernel takes them.
            elif self.transport is None or self.transport.send(memoryview(request)) != len(request):
                raise BrokenPipeError("it takes no request")


class Extension(Actor):
    """Keeps the extension's request pending.

    Its `init` is over when the registration has been answered, so that the pollers, which start
    after it, ask for the first event behind that.

    Args:
        registration: its connection.
    """

    def __init__(self, registration: ExtensionConnection) -> None:
        self.registration = registration

    async def init(self) -> None:
        registration = self.registration
        with trio.move_on_after(PATIENCE) as waiting:
            while not registration.identifier and not registration.refused:
                await self._read()
        if waiting.cancelled_caught:
            logger.debug("the registration of the extension takes longer than %g s", PATIENCE)

    async def run(self) -> None:
        while self.registration.transport is not None:
            await self._read()
        # Not its end: that would count as a crash, or be repeated.
        await trio.sleep_forever()

    async def _read(self) -> None:
        registration = self.registration
        transport = registration.transport
        if transport is None:
            return
        try:
            await transport.readable()
            registration.take(transport.receive(LIMIT))
        except BlockingIOError:
            return
        except OSError as error:
            registration.refuse(str(error))
