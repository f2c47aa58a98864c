"""okibi as an internal extension: without one, Lambda ends a sandbox with SIGKILL alone.

With any extension registered SIGTERM comes first, and the tree has 300 ms (Runtime API). The
extension takes no events; it asks for one, as it must, and that request stays pending for ever
on a connection of its own.

    POST extension/register     written before user code is imported, so that the answer is there
                                when the tree has been built; behind the first GET /next none is
                                taken
    GET extension/event/next    once it is registered: the platform's init phase does not end
                                before it

Where there are no extensions (an emulator, ten others already) okibi goes on without: then
nothing tells it of its end, as nothing tells the official client.
"""

import socket

import trio

from ...actors import Actor, logs
from ..protocol.runtime_api import (
    AnswerParser,
    WireError,
    extension_event_request,
    register_request,
)
from ..protocol.transport import Connect, SocketTransport, Transport

logger = logs.logger("okibi")

NAME = b"okibi"
# Seconds for the connection, which on Lambda is one inside the machine, and for the answer: an
# init that waits longer for its end to be announced is a bad bargain.
CONNECT_LIMIT = 0.5
PATIENCE = 1.0
# Seconds before a connection that broke is made again, and before another event is asked for where
# one has come, twice as long each time.
FIRST_PAUSE, LAST_PAUSE = 0.1, 60.0
LIMIT = 64 * 1024


class Registration:
    """The extension's connection and how far it has come. It outlives the actor that uses it.

    Args:
        host: the Runtime API's address, as it stands in the Host header.
    """

    __slots__ = ("_parser", "asked", "host", "identifier", "refused", "transport")

    def __init__(self, host: bytes) -> None:
        self.host = host
        self.transport: Transport | None = None
        # What the platform knows the extension by; empty until it has said so.
        self.identifier = b""
        # Whether the event that never comes has been asked for on this connection.
        self.asked = False
        # Why there is no extension, once that is certain.
        self.refused = ""
        self._parser = AnswerParser()

    def begin(self, address: tuple[str, int]) -> None:
        """Connect and ask to be registered, without waiting for the answer."""
        # Not `create_connection`: it looks the address up as a name, and for that imports IDNA.
        connected: socket.socket | None = None
        try:
            connected = socket.socket()
            connected.settimeout(CONNECT_LIMIT)
            connected.connect(address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.sendall(register_request(self.host, NAME))
            connected.setblocking(False)
        except OSError as error:
            if connected is not None:
                connected.close()
            self.refuse(str(error))
        else:
            self.transport = SocketTransport(connected)

    def refuse(self, why: str) -> None:
        """Go on without an extension, for good."""
        logger.debug("no extension, so no SIGTERM from the platform: %s", why)
        self.refused = why
        self.close()

    def connected(self, transport: Transport) -> None:
        """Go on, over a new connection."""
        self.transport = transport
        self._parser = AnswerParser()

    def close(self) -> None:
        """Close the connection, if there is one."""
        self.asked = False
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def ask(self) -> None:
        """Ask for the event that never comes, if that has not been done."""
        if self.transport is not None and self.identifier and not self.asked:
            request = memoryview(extension_event_request(self.host, self.identifier))
            # Two hundred bytes, on a connection with nothing under way: the kernel takes them.
            if self.transport.send(request) != len(request):
                raise BrokenPipeError("it takes no request")
            self.asked = True

    def take(self, data: bytes) -> None:
        """Take what has come: the registration, or an event.

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
            registered = self.identifier
            if registered:
                # An event it has not subscribed to: it is let pass.
                self.asked = False
            else:
                self.identifier = answer.headers.get(b"lambda-extension-identifier", b"")
                if not self.identifier:
                    self.refuse("registered, but under no identifier")
                    return
            if not answer.keep_alive:
                raise ConnectionResetError("it was not kept alive")
            if not registered:
                self.ask()


class Extension(Actor):
    """Keeps the extension's request pending.

    Its `init` is over when the registration has been answered, so that the pollers, which start
    after it, ask for the first event behind that.

    Args:
        registration: its connection.
        connect: makes another when that breaks.
    """

    def __init__(self, registration: Registration, connect: Connect) -> None:
        self.registration = registration
        self.connect = connect

    async def init(self) -> None:
        registration = self.registration
        with trio.move_on_after(PATIENCE) as waiting:
            while not registration.identifier and not registration.refused:
                await self._read()
        if waiting.cancelled_caught:
            logger.debug("the registration of the extension takes longer than %g s", PATIENCE)

    async def run(self) -> None:
        registration, pause = self.registration, FIRST_PAUSE
        while not registration.refused:
            if registration.transport is None:
                await trio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
                await self._connect_again()
            elif registration.identifier and not registration.asked:
                # Who sends one event unasked may send the next as soon as he can.
                await trio.sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
                self._ask_again()
            else:
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
            if registration.identifier:
                logger.debug("the extension lost its connection: %s", error)
                registration.close()
            else:
                registration.refuse(str(error))

    def _ask_again(self) -> None:
        try:
            self.registration.ask()
        except OSError as error:
            logger.debug("the extension lost its connection: %s", error)
            self.registration.close()

    async def _connect_again(self) -> None:
        registration = self.registration
        try:
            registration.connected(await self.connect())
            registration.ask()
        except OSError as error:
            logger.debug("the extension has no connection: %s", error)
            registration.close()
