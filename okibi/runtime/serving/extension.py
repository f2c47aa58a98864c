"""okibi registers itself as an internal extension, which makes Lambda send SIGTERM.

Without extensions Lambda ends a sandbox with SIGKILL alone. With one, SIGTERM comes first and the
tree has 300 ms (Runtime API). This extension subscribes to no events. It must request one all the
same, and that request stays pending on its own connection.

    POST extension/register     written before trio is imported (`protocol.registration`): the
                                response is there when the tree has been built. After the first
                                GET /next, the platform takes no registration
    GET extension/event/next    written after the registration: the platform's init phase lasts
                                until then

Without extensions (an emulator, ten others already) or after a broken connection, okibi goes on
without SIGTERM, like the official client.
"""

from socket import socket

import trio
from trio.lowlevel import ParkingLot

from ...actors import Actor, logs
from ..protocol.registration import open_connection
from ..protocol.runtime_api import ApiResponseParser, WireError, extension_event_request
from ..protocol.transport import SocketTransport, Transport

logger = logs.logger("okibi")

# Seconds to wait for the response to the registration. A longer init costs more than an orderly
# shutdown is worth.
REGISTRATION_LIMIT = 1.0
# Bytes of one read.
READ_SIZE = 64 * 1024


class ExtensionConnection:
    """The extension's connection and state. It outlives the actor that uses it.

    Args:
        host: the Runtime API's address, for the Host header.
    """

    __slots__ = (
        "_address",
        "_parser",
        "_reconnected",
        "failure",
        "host",
        "identifier",
        "transport",
    )

    def __init__(self, host: bytes) -> None:
        self.host = host
        self.transport: Transport | None = None
        # The platform's identifier of the extension; empty until it is registered.
        self.identifier = b""
        # Why there is no extension; empty while there may be one.
        self.failure = ""
        self._parser = ApiResponseParser()
        self._address = ("", 0)
        self._reconnected = ParkingLot()

    def register(self, address: tuple[str, int], registration: socket | OSError) -> None:
        """Take over the connection on which the registration was sent.

        Args:
            address: the Runtime API's host and port.
            registration: the connection, or why there is none.
        """
        self._address = address
        if isinstance(registration, OSError):
            self.give_up(str(registration))
        else:
            self.transport = SocketTransport(registration)

    def reconnect(self) -> None:
        """Request the event again over a new connection, if the extension is registered.

        After SnapStart's restore the old connection is dead. A platform that still has the first
        request refuses this one with 403. Nothing is lost then: the extension stays registered.
        """
        self.close()
        if not self.identifier:
            return
        self.failure, self._parser = "", ApiResponseParser()
        try:
            request = extension_event_request(self.host, self.identifier)
            self.transport = SocketTransport(open_connection(self._address, request))
        except OSError as error:
            self.give_up(str(error))
        self._reconnected.unpark_all()

    async def wait_reconnected(self) -> None:
        """Wait for the next `reconnect`."""
        await self._reconnected.park()

    def give_up(self, why: str) -> None:
        """Go on without an extension."""
        logger.debug("no extension, and no SIGTERM from the platform: %s", why)
        self.failure = why
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def feed(self, data: bytes) -> None:
        """Take received bytes: after the registration, request the event that never comes.

        Raises:
            OSError: the server has closed, or speaks no HTTP.
        """
        if not data:
            raise ConnectionResetError("the server closed the connection")
        try:
            responses = self._parser.feed(data)
        except WireError as error:
            raise ConnectionAbortedError(str(error)) from error
        for response in responses:
            if response.status != 200:
                text = response.body.decode("utf-8", "replace").strip()
                self.give_up(f"{response.status} {text}")
                return
            if self.identifier:
                self.give_up("an event came, without a subscription")
                return
            self.identifier = response.headers.get(b"lambda-extension-identifier", b"")
            if not self.identifier:
                self.give_up("the response to the registration has no identifier")
                return
            request = extension_event_request(self.host, self.identifier)
            if not response.keep_alive:
                # Lambda keeps it alive. A registered extension that never asks delays the init.
                self.close()
                self._parser = ApiResponseParser()
                self.transport = SocketTransport(open_connection(self._address, request))
            # Two hundred bytes on an idle connection: the kernel takes them in one call.
            elif self.transport is None or self.transport.send(memoryview(request)) != len(request):
                raise BrokenPipeError("the connection takes no request")


class InternalExtension(Actor):
    """Keeps the extension's event request pending.

    `init` ends with the response to the registration. The pollers start later, and their first
    GET /next follows the registration.

    Args:
        connection: the extension's connection.
    """

    def __init__(self, connection: ExtensionConnection) -> None:
        self.connection = connection

    async def init(self) -> None:
        connection = self.connection
        with trio.move_on_after(REGISTRATION_LIMIT) as waiting:
            while not connection.identifier and not connection.failure:
                await self._read()
        if waiting.cancelled_caught:
            logger.debug("no response to the extension's registration in %g s", REGISTRATION_LIMIT)

    async def run(self) -> None:
        while True:
            while self.connection.transport is not None:
                await self._read()
            # To end would count as a crash and be repeated.
            await self.connection.wait_reconnected()

    async def _read(self) -> None:
        connection = self.connection
        transport = connection.transport
        if transport is None:
            return
        try:
            await transport.readable()
            if connection.transport is transport:
                connection.feed(transport.receive(READ_SIZE))
        except (BlockingIOError, trio.ClosedResourceError):
            # Closed: `reconnect` has replaced it.
            return
        except OSError as error:
            connection.give_up(str(error))
