"""HTTP/1.1 connections to one host, kept for the next call.

Three rules hold:

    No call gets the answer of another.   A call that fails or is cancelled closes its connection.
                                          So does an answer with bytes after its end.
    A closed connection fails no call.    A server may close a kept connection while the sandbox is
                                          frozen. If no byte of the answer has arrived, the error
                                          says so (`stale`), and the other idle connections are
                                          closed: the next attempt can follow at once.
    No wait is without an end.            Connecting and silence have limits in seconds, and the
                                          caller's deadline ends everything.

ssl is imported with the first connection that needs it.
"""

import os
import select
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httptools
import trio

from ..actors.freezes import current_monitors

if TYPE_CHECKING:
    import ssl

__all__ = ["Connections", "Endpoint", "Response", "TransportFailed", "parse_endpoint"]

# Seconds in which a connection must be established, TLS included.
CONNECT_LIMIT = 3.0
# Bytes of one read: more than a TLS record has, so a read leaves no decrypted bytes.
READ_SIZE = 65536
# Seconds after which an idle connection is closed unused. Something on the way to AWS may have
# forgotten the connection without a sign, and a request would wait for its time limit.
IDLE_LIMIT = 60.0


class TransportFailed(Exception):
    """There is no answer.

    Attributes:
        code: "Unreachable", "Disconnected" or "TimedOut".
        stale: whether a kept connection broke before a byte of the answer.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.stale = False


class Endpoint(NamedTuple):
    """Where a service listens: host, port, and whether by TLS."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """The header Host."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"


@lru_cache(64)
def parse_endpoint(url: str) -> Endpoint:
    """Return the endpoint of a URL.

    >>> parse_endpoint("http://localhost:8000").authority
    'localhost:8000'

    Raises:
        ValueError: the URL is not http or https, has a path, or no host or port.
    """
    scheme, _, rest = url.partition("://")
    name, _, port = rest.removesuffix("/").rpartition(":")
    if not port.isdecimal() or (name.startswith("[") and not name.endswith("]")):
        name, port = rest.removesuffix("/"), "443" if scheme == "https" else "80"
    is_host = name and url.isprintable() and not {"/", "@", " "} & {*name}
    if scheme not in ("http", "https") or not is_host or int(port) > 65535:
        raise ValueError(f"an endpoint is http://host:port or https://host, got {url!r}")
    return Endpoint(name.strip("[]"), int(port), scheme == "https")


class Response(NamedTuple):
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


class Connection:
    """One connection, used by one call at a time.

    Args:
        stream, socket: the open connection.
        undecrypted: the bytes of the server that a TLS stream has not decrypted yet.

    Attributes:
        has_begun: whether a byte of the current answer has arrived.
        can_be_kept: whether the connection is open and at the end of an answer.
    """

    # httptools calls the methods `on_...` by their names.
    __slots__ = ("_body", "_headers", "_parser", "_response", "_socket", "_stream", "_undecrypted",
                 "_used_at", "can_be_kept", "has_begun")  # fmt: skip

    def __init__(
        self,
        stream: trio.abc.Stream,
        socket: trio.socket.SocketType,
        undecrypted: "ssl.MemoryBIO | None" = None,
    ) -> None:
        self._stream = stream
        self._socket = socket
        self._undecrypted = undecrypted
        self._parser: Any = None
        self._used_at = current_monitors().read_clocks()
        self._response: Response | None = None
        self._reset()

    async def exchange(self, request: bytes, silence: float) -> Response:
        """Send a request, and return its answer. On any error the connection is closed.

        Raises:
            TransportFailed: there is no answer.
        """
        self._reset()
        self._parser = parser = httptools.HttpResponseParser(self)
        try:
            await self._within(silence, self._stream.send_all, request)
            while self._response is None:
                data = await self._receive(silence)
                if not data:
                    raise TransportFailed("Disconnected", "the server closed the connection")
                self.has_begun = True
                parser.feed_data(data)
        except (
            trio.BrokenResourceError,
            httptools.HttpParserError,
            httptools.HttpParserUpgrade,
        ) as error:
            self.close()
            if self._response is None:
                raise TransportFailed("Disconnected", _reason(error)) from error
            # What follows the end of an answer is no part of it.
        except BaseException:
            self.close()
            raise
        finally:
            # The parser refers to this connection: a cycle.
            self._parser = None
        self._used_at = current_monitors().read_clocks()
        if self._undecrypted is not None and self._undecrypted.pending:
            self.can_be_kept = False
        if not self.can_be_kept:
            self.close()
        response = self._response
        # An idle connection must not keep the answer.
        self._response = None
        self._body.clear()
        return response

    def _reset(self) -> None:
        self.has_begun = self.can_be_kept = False
        self._response = None

    async def _receive(self, silence: float) -> bytes:
        try:
            data: bytes = await self._within(silence, self._stream.receive_some, READ_SIZE)
        except TransportFailed:
            # A freeze ends the time, and the kernel's wait without a result: what arrived is there.
            if not self._has_input():
                raise
            data = await self._within(silence, self._stream.receive_some, READ_SIZE)
        return data

    def _has_input(self) -> bool:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def _within(self, seconds: float, function: Any, *args: Any) -> Any:
        with trio.move_on_after(seconds):
            return await function(*args)
        raise TransportFailed("TimedOut", f"no byte of the answer in {seconds:g} s")

    def is_usable(self) -> bool:
        """Return whether an idle connection may carry another request.

        The server sends nothing between two answers. Bytes or the end are no answer of ours.
        """
        now = current_monitors().read_clocks()
        if max(now.trio - self._used_at.trio, now.wall - self._used_at.wall) > IDLE_LIMIT:
            return False
        return not self._has_input()

    def close(self) -> None:
        """Close the connection at once."""
        self.can_be_kept = False
        self._socket.close()

    # -- callbacks of httptools

    def on_message_begin(self) -> None:
        # No request has asked for a second answer.
        self.can_be_kept = False
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._response is None:
            self.can_be_kept = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        is_interim = status < 200
        if self._response is None and not is_interim:
            self._response = Response(status, self._headers, b"".join(self._body))


class Connections:
    """The connections to one endpoint.

    Args:
        endpoint: the endpoint.
        limit: the most connections at once. Further calls wait.
        context: the TLS settings; None for the system's.
    """

    def __init__(self, endpoint: Endpoint, limit: int, context: "ssl.SSLContext | None") -> None:
        self._endpoint = endpoint
        self._slots = trio.Semaphore(limit)
        self._context = context
        self._idle: list[Connection] = []

    async def exchange(self, request: bytes, silence: float) -> Response:
        """Send a request on a kept or new connection, and return its answer.

        Raises:
            TransportFailed: there is no answer.
        """
        async with self._slots:
            connection = self._take_idle()
            if connection is not None:
                try:
                    return await self._exchange_on(connection, request, silence)
                except TransportFailed as error:
                    if not connection.has_begun and error.code == "Disconnected":
                        error.stale = True
                        self.close_idle()
                    raise
            return await self._exchange_on(await self._connect(), request, silence)

    async def _exchange_on(
        self, connection: Connection, request: bytes, silence: float
    ) -> Response:
        response = await connection.exchange(request, silence)
        if connection.can_be_kept:
            self._idle.append(connection)
        return response

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        host, port, tls = self._endpoint
        try:
            with trio.move_on_after(CONNECT_LIMIT):
                plain = await trio.open_tcp_stream(host, port)
                if not tls:
                    return Connection(plain, plain.socket)
                try:
                    context = _Context(
                        self._context or default_context(os.environ.get("AWS_CA_BUNDLE"))
                    )
                    stream = trio.SSLStream(
                        plain, cast("Any", context), server_hostname=host, https_compatible=True
                    )
                    await stream.do_handshake()
                except BaseException:
                    plain.socket.close()
                    raise
                return Connection(stream, plain.socket, context.undecrypted)
        except (OSError, UnicodeError, trio.BrokenResourceError) as error:
            text = f"no connection to {self._endpoint.authority}: {_reason(error)}"
            raise TransportFailed("Unreachable", text) from error
        text = f"no connection to {self._endpoint.authority} in {CONNECT_LIMIT:g} s"
        raise TransportFailed("Unreachable", text)

    def close_idle(self) -> None:
        """Close the connections that no call uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class _Context:
    """TLS settings for one stream of trio's.

    Attributes:
        undecrypted: the bytes of the server that the stream has not decrypted yet. trio keeps them
            to itself.
    """

    def __init__(self, settings: "ssl.SSLContext") -> None:
        self._settings = settings

    def wrap_bio(
        self, incoming: "ssl.MemoryBIO", outgoing: "ssl.MemoryBIO", **options: Any
    ) -> "ssl.SSLObject":
        """Start TLS as `ssl.SSLContext` does."""
        self.undecrypted = incoming
        return self._settings.wrap_bio(incoming, outgoing, **options)


def _reason(error: BaseException) -> str:
    # trio wraps the error of TLS, and those of the addresses that it has tried.
    cause = error.__cause__ or error
    causes: Sequence[BaseException] = getattr(cause, "exceptions", (cause,))
    return "; ".join(dict.fromkeys(map(str, causes))) or type(error).__name__


# Amazon Root CA 1 in a folder of hashed names (OpenSSL: c_rehash).
_AMAZON_ROOT = "ce5e74ef.0"


@lru_cache(4)
def default_context(bundle: str | None) -> "ssl.SSLContext":
    """Return the TLS settings with the roots of the system.

    OpenSSL reads a folder of hashed names as it needs them, and a file of all roots at once, in 10
    ms. So the folder is used where it has Amazon's root.

    Args:
        bundle: a file of roots to use instead (AWS_CA_BUNDLE).

    Raises:
        OSError: the bundle cannot be read.
    """
    import ssl

    if bundle:
        try:
            return ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise OSError(f"AWS_CA_BUNDLE {bundle}: {error}") from None
    paths = ssl.get_default_verify_paths()
    is_hashed = paths.capath and os.path.exists(os.path.join(paths.capath, _AMAZON_ROOT))
    if is_hashed and paths.openssl_cafile_env not in os.environ:
        return ssl.create_default_context(capath=paths.capath)
    return ssl.create_default_context()
