"""Http: one httpx client for an API, kept open across events, with retries that cannot do harm.

Theory of operation. A request runs in the task of its caller: the caller's cancel scope ends the
request, and many requests run at once. It waits for one of `limit` places of its host, borrows the
client, and is sent. What the attempt brought decides what follows. `fate_of` and `may_repeat` are
the tables:

    what an attempt brought           fate      sent again
    no connection                     UNSENT    any request
    429                               REFUSED   any request whose body is in memory
    a broken connection, no answer    UNKNOWN   GET, HEAD, OPTIONS, TRACE, PUT, DELETE, or a request
    in time, 500, 502, 503, 504                 with an Idempotency-Key; the body is in memory
    anything else                     FINAL     none

Before the next attempt is a pause: exponential with full jitter, or the server's Retry-After. If
the pause, and an attempt as long as the last one, do not fit before the caller's deadline, the
caller gets the response or the error at once.

A server closes a connection that was idle for some seconds. A request on a closed connection may
fail after it was sent, and a POST is lost then. So a connection is used again only if it was idle
for less than `keepalive` seconds. httpx measures them by the monotonic clock, which advances while
the process is stopped. That clock stands still while a virtual machine is stopped, and the wall
clock does not: if the wall clock has run ahead since the last request, the client with all its
connections is replaced. The old client is closed when its last request has ended.

The client belongs to one run of trio. A system task closes it when the run ends, after all actors.

Rejected: an actor, or a child that owns the client. A client is not broken by a failed request, so
a supervisor has nothing to restart; the order of closing would matter to every actor that sends a
last request in `terminate`; a plain trio program has no tree. Rejected: limits a little shorter
than the caller's deadline, for an error of httpx in place of the cancellation. The deadline may be
that of `trio.move_on_after`, which would raise then.
"""

import enum
import math
import random
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from typing import Any, TypedDict, Unpack

import trio
from trio.lowlevel import (
    TrioToken,
    checkpoint_if_cancelled,
    current_trio_token,
    in_trio_run,
    spawn_system_task,
)

from .actors import logs
from .actors.freezes import current_monitors, frozen_seconds

try:
    import httpx
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ImportError("okibi.http needs httpx; run: pip install 'okibi[http]'") from None

__all__ = ["Http", "HttpOptions"]

logger = logs.logger("okibi")

# Seconds: the longest pause before the first retry, and before any later one.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
# Seconds: a server that asks for a longer pause gets no further attempt.
LONGEST_RETRY_AFTER = 60.0
# RFC 9110, 9.2.2: a second request has the effect of one.
IDEMPOTENT = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})


class Fate(enum.Enum):
    """What a failed attempt says about its request; the table is in this module's docstring."""

    UNSENT = "unsent"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    FINAL = "final"


STATUSES = {429: Fate.REFUSED, **dict.fromkeys((500, 502, 503, 504), Fate.UNKNOWN)}
ERRORS: dict[type[httpx.TransportError], Fate] = {
    httpx.ConnectError: Fate.UNSENT,
    httpx.ConnectTimeout: Fate.UNSENT,
    httpx.NetworkError: Fate.UNKNOWN,
    httpx.RemoteProtocolError: Fate.UNKNOWN,
    httpx.TimeoutException: Fate.UNKNOWN,
}


def fate_of(outcome: httpx.Response | httpx.TransportError) -> Fate:
    """Classify what an attempt brought.

    >>> fate_of(httpx.Response(404)).value, fate_of(httpx.ReadError("reset by peer")).value
    ('final', 'unknown')
    """
    if isinstance(outcome, httpx.Response):
        return STATUSES.get(outcome.status_code, Fate.FINAL)
    return next((fate for kind, fate in ERRORS.items() if isinstance(outcome, kind)), Fate.FINAL)


def may_repeat(fate: Fate, request: httpx.Request, whole: bool) -> bool:
    """Decide whether a request may be sent again.

    >>> may_repeat(Fate.UNKNOWN, httpx.Request("POST", "https://api.example.com/orders"), True)
    False

    Args:
        fate: what the last attempt says.
        request: the request.
        whole: whether its body is in memory. A stream, or files, can be read once.
    """
    match fate:
        case Fate.FINAL:
            return False
        case Fate.UNSENT:
            return True
        case Fate.REFUSED:
            return whole
        case Fate.UNKNOWN:
            return whole and (request.method in IDEMPOTENT or "idempotency-key" in request.headers)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header Retry-After; None without a valid one.

    A date counts from the server's own date: the clock of this machine may differ.

    >>> retry_after({"retry-after": "7"})
    7.0
    >>> date = "Wed, 02 Dec 2026 03:00:00 GMT"
    >>> retry_after({"retry-after": "Wed, 02 Dec 2026 03:00:30 GMT", "date": date})
    30.0
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None


def pause_before(attempt: int, asked: float | None, drawn: float) -> float:
    """Return the seconds of the pause before an attempt; inf if the server asks for too many.

    >>> pause_before(2, None, 0.5), pause_before(3, None, 0.5), pause_before(2, 7.0, 0.5)
    (0.1, 0.2, 7.1)

    Args:
        attempt: the number of the attempt, 2 for the first retry.
        asked: the seconds of Retry-After. The jitter comes on top.
        drawn: a random number from 0 to 1.
    """
    jitter = drawn * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 2))
    if asked is None:
        return jitter
    return asked + jitter if asked <= LONGEST_RETRY_AFTER else math.inf


class HttpOptions(TypedDict, total=False):
    """The options of a request, as httpx has them.

    Attributes:
        params: the query.
        headers: further headers; they replace those of the Http.
        json: a value that is sent as JSON.
        content: the body; a request with an asynchronous iterator is sent once.
        data: the fields of a form.
        files: the files of a form; the request is sent once.
        auth: replaces that of the Http.
        follow_redirects: whether a redirect is followed. It counts for the first host's limit.
        timeout: seconds that one attempt may take, in place of the Http's.
    """

    params: Mapping[str, Any]
    headers: Mapping[str, str]
    json: Any
    content: str | bytes | AsyncIterable[bytes]
    data: Mapping[str, Any]
    files: Any
    auth: httpx.Auth | tuple[str, str] | None
    follow_redirects: bool
    timeout: float


class Http:
    """An HTTP API: a value in a module, with one httpx client for all events.

    >>> import trio
    >>> from okibi.http import Http
    >>> API = Http("https://api.example.com", headers={"accept": "application/json"})
    >>> async def main():
    ...     response = await API.get("/orders/7", params={"fields": "price"})
    ...     print(response.raise_for_status().json())
    >>> with API.answered_by(lambda request: httpx.Response(200, json={"price": 3})):
    ...     trio.run(main)
    {'price': 3}

    The certificates for TLS are read when the value is made, in Lambda's init. The client is opened
    by the first request, and closed when the run of trio ends. Connections stay open across events;
    after a freeze, none is used again that the server may have closed. A response of any status is
    returned: `raise_for_status` is yours. Errors are httpx's; their text has the method, the URL
    without its query, and the status, or the limit and the attempts. Cookies of a response are not
    kept, because the next request may be another user's.

    On okibi's asyncio loop: `await from_asyncio.run(API.get, "/orders/7")`. In a plain `def` in a
    thread: `trio.from_thread.run(API.get, "/orders/7")`.

    Args:
        base_url: the URL before that of each request. Absolute URLs need none.
        headers: the headers of each request.
        auth: a user and a password, or an `httpx.Auth`.
        timeout: seconds that one attempt may take, > 0, from its start to the end of the answer.
            The caller's deadline ends a request earlier.
        connect: seconds for opening a connection, > 0, inside `timeout`.
        retries: further attempts after a failed one, >= 0, where the request may be sent again.
        limit: requests to one host at the same time, >= 1. Others wait, in their order.
        rate: requests to one host that begin in a second, > 0; None for any number.
        keepalive: seconds, >= 0, after which an idle connection is not used again. Stay below the
            server's limit.
        transport: makes the transport of httpx, for example
            `lambda: httpx.AsyncHTTPTransport(verify=context)`. It is called again after a freeze.

    Raises:
        ValueError: a number is out of its range.
    """

    __slots__ = (
        "_answer", "_auth", "_base_url", "_connect", "_headers", "_in_run", "_keepalive",
        "_limit", "_rate", "_retries", "_timeout", "_transport",
    )  # fmt: skip

    # The state, and the run of trio that it belongs to.
    _in_run: "tuple[TrioToken, _State] | None"

    def __init__(
        self,
        base_url: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | tuple[str, str] | None = None,
        timeout: float = 10.0,
        connect: float = 3.0,
        retries: int = 2,
        limit: int = 100,
        rate: float | None = None,
        keepalive: float = 4.0,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        for name, given, valid, range_ in (
            ("timeout", timeout, timeout > 0, "> 0 seconds"),
            ("connect", connect, connect > 0, "> 0 seconds"),
            ("retries", retries, retries >= 0, ">= 0"),
            ("limit", limit, limit >= 1, ">= 1"),
            ("rate", rate, rate is None or rate > 0, "> 0 a second"),
            ("keepalive", keepalive, keepalive >= 0, ">= 0 seconds"),
        ):
            if not valid:
                raise ValueError(f"Http: {name} must be {range_}, got {given!r}")
        self._base_url = base_url
        self._headers = headers
        self._auth = auth
        self._timeout = timeout
        self._connect = connect
        self._retries = retries
        self._limit = limit
        self._rate = rate
        self._keepalive = keepalive
        self._transport = transport
        if transport is None:
            # Here and not in the first request: a module is imported in Lambda's init.
            _ssl_context()
        self._answer: httpx.MockTransport | None = None
        self._in_run = None

    async def request(
        self, method: str, url: str, **options: Unpack[HttpOptions]
    ) -> httpx.Response:
        """Send a request, and return its response. A checkpoint.

        Args:
            method: "GET", "POST", and so on.
            url: the path after `base_url`, or an absolute URL.
            options: the options of httpx, see HttpOptions.

        Raises:
            httpx.TransportError: there is no response, for example httpx.ConnectError or
                httpx.ReadTimeout; and any other error of httpx.
            httpx.UnsupportedProtocol: the URL, joined to `base_url`, is not one of http or https.
            RuntimeError: this code does not run on trio.
        """
        call = self._call(method, url, options)
        response = await call.open(stream=False)
        await call.close()
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, **options: Unpack[HttpOptions]
    ) -> AsyncGenerator[httpx.Response]:
        """Send a request, and let the block read the body of the response piece by piece.

            async with API.stream("GET", "/export") as response:
                async for part in response.aiter_bytes():
                    ...

        `timeout` limits the time to the head of the response, and the time to each piece. The
        request has its place of `limit` until the end of the block. A body that breaks off is not
        asked for again.

        Args:
            method, url, options: as for `request`.

        Raises:
            httpx.TransportError, RuntimeError: as for `request`.
        """
        call = self._call(method, url, options)
        response = await call.open(stream=True)
        try:
            yield response
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()
            await call.close()

    async def get(self, url: str, **options: Unpack[HttpOptions]) -> httpx.Response:
        """Send a GET; see `request`."""
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Unpack[HttpOptions]) -> httpx.Response:
        """Send a POST; see `request`. With a header Idempotency-Key it may be sent again."""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Unpack[HttpOptions]) -> httpx.Response:
        """Send a PUT; see `request`."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Unpack[HttpOptions]) -> httpx.Response:
        """Send a PATCH; see `request`. With a header Idempotency-Key it may be sent again."""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Unpack[HttpOptions]) -> httpx.Response:
        """Send a DELETE; see `request`."""
        return await self.request("DELETE", url, **options)

    @contextmanager
    def answered_by(
        self,
        answer: Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]],
    ) -> Generator[None]:
        """Let a function answer all requests of the block, in a test; no connection is opened.

        Args:
            answer: a `def` or an `async def`, as for httpx.MockTransport. It may raise an error of
                httpx.
        """
        before = self._answer, self._in_run
        self._answer, self._in_run = httpx.MockTransport(answer), None  # type: ignore[arg-type]
        try:
            yield
        finally:
            self._answer, self._in_run = before

    def __repr__(self) -> str:
        return f"<Http {self._base_url}>" if self._base_url else "<Http>"

    def _state(self) -> "_State":
        if not in_trio_run():
            raise RuntimeError(
                f"{self!r} sends on trio: in a thread use trio.from_thread.run(....get, url), on "
                "okibi's asyncio loop use `await from_asyncio.run(....get, url)`"
            )
        run = current_trio_token()
        if self._in_run is None or self._in_run[0] is not run:
            state = _State(self._open_client, self._limit, self._rate)
            spawn_system_task(state.close_at_end, name=f"close {self!r}")
            self._in_run = run, state
        return self._in_run[1]

    def _open_client(self) -> httpx.AsyncClient:
        transport = self._answer or (self._transport and self._transport())
        return httpx.AsyncClient(
            base_url=self._base_url,
            headers=self._headers,
            auth=self._auth,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(keepalive_expiry=self._keepalive),
            verify=_ssl_context() if transport is None else True,
            transport=transport,
        )

    def _call(self, method: str, url: str, options: HttpOptions) -> "_Call":
        state = self._state()
        timeout = options.get("timeout", self._timeout)
        connect = min(self._connect, timeout)
        request = state.client.http.build_request(
            method,
            url,
            params=options.get("params"),
            headers=options.get("headers"),
            json=options.get("json"),
            content=options.get("content"),
            data=options.get("data"),
            files=options.get("files"),
            timeout=httpx.Timeout(timeout, connect=connect),
        )
        if request.url.scheme not in ("http", "https") or not request.url.host:
            text = f"{_name_request(request)}: the URL needs http:// or https:// and a host"
            base = "" if self._base_url else "; this Http has no base_url"
            raise httpx.UnsupportedProtocol(text + base, request=request)
        return _Call(state, request, timeout, connect, self._retries + 1, options)


@cache
def _ssl_context() -> SSLContext:
    # Reading the certificates takes 10 ms and more: once for all clients.
    context = httpx.create_ssl_context()
    # The first transport imports httpcore: 30 ms.
    httpx.AsyncHTTPTransport(verify=context)
    return context


def _name_request(request: httpx.Request) -> str:
    # Without user, password and query, which may be secret.
    url = request.url
    path = url.raw_path.partition(b"?")[0].decode("ascii")
    scheme = url.scheme and f"{url.scheme}://"
    return f"{request.method} {scheme}{url.netloc.decode('ascii')}{path}"


class _Response(httpx.Response):
    """A response whose error names its URL without the query."""

    def raise_for_status(self) -> httpx.Response:
        """Raise httpx.HTTPStatusError if the status is none of 200 to 299."""
        if self.is_success:
            return self
        text = f"{_name_request(self.request)}: {self.status_code} {self.reason_phrase}".rstrip()
        raise httpx.HTTPStatusError(text, request=self.request, response=self)


class _Call:
    """One request of a caller, with all its attempts.

    Attributes:
        attempt: the number of the attempt; 0 while the request waits for its place.
        attempts: the highest number that it may have.
        client: the client that the request has borrowed.
        place: the host where the request has its place.
        whole: whether the body is in memory. httpx.MockTransport reads a stream into memory later.
    """

    __slots__ = (
        "attempt", "attempts", "began", "client", "connect", "deadline", "options", "place",
        "request", "state", "timeout", "whole",
    )  # fmt: skip

    def __init__(
        self,
        state: "_State",
        request: httpx.Request,
        timeout: float,
        connect: float,
        attempts: int,
        options: HttpOptions,
    ) -> None:
        self.state = state
        self.request = request
        self.whole = isinstance(request.stream, httpx.ByteStream)
        self.timeout = timeout
        self.connect = connect
        self.attempts = attempts
        self.options = options
        self.began = trio.current_time()
        self.deadline = trio.current_effective_deadline()
        self.attempt = 0
        self.place: _Host | None = None
        self.client: _Client | None = None

    async def open(self, stream: bool) -> httpx.Response:
        """Send the request as often as it needs and may, and return the last response."""
        # A caller whose deadline has passed sends nothing.
        await checkpoint_if_cancelled()
        try:
            self.place = await self.state.take_place(self.request.url.netloc)
            return await self._send(stream)
        except BaseException as error:
            if isinstance(error, trio.Cancelled) and trio.current_time() >= self.deadline:
                logger.warning("%s", self._describe("the caller's deadline came"))
            await self.close()
            raise

    async def close(self) -> None:
        """Give the client and the place back."""
        client, self.client = self.client, None
        place, self.place = self.place, None
        if place is not None:
            self.state.free_place(place)
        if client is not None:
            await self.state.give_back(client)

    async def _send(self, stream: bool) -> httpx.Response:
        while True:
            self.attempt += 1
            await self.state.wait_for_turn(self.place)
            self.client = await self.state.borrow()
            began = trio.current_time()
            outcome = await self._attempt(self.client, stream)
            pause, why = self._judge(outcome, trio.current_time() - began)
            if isinstance(outcome, httpx.Response):
                if pause is None:
                    outcome.__class__ = _Response
                    return outcome
                await outcome.aclose()
            elif pause is None:
                cause = outcome if outcome.__traceback__ else None
                raise self._error(outcome, why) from cause
            client, self.client = self.client, None
            await self.state.give_back(client)
            await trio.sleep(pause)

    async def _attempt(
        self, client: "_Client", stream: bool
    ) -> httpx.Response | httpx.TransportError:
        options = self.options
        try:
            with trio.move_on_after(self.timeout):
                return await client.http.send(
                    self.request,
                    stream=stream,
                    auth=options.get("auth", httpx.USE_CLIENT_DEFAULT),
                    follow_redirects=options.get("follow_redirects", False),
                )
        except httpx.TransportError as error:
            return error
        return httpx.ReadTimeout("")

    def _judge(
        self, outcome: httpx.Response | httpx.TransportError, took: float
    ) -> tuple[float | None, str]:
        """Return the pause before the next attempt, or None and the reason why there is none."""
        fate = fate_of(outcome)
        if fate is Fate.FINAL:
            return None, ""
        if not may_repeat(fate, self.request, self.whole):
            return None, "not sent again: the server may have handled it"
        if self.attempt == self.attempts:
            return None, ""
        asked = retry_after(outcome.headers) if isinstance(outcome, httpx.Response) else None
        pause = pause_before(self.attempt + 1, asked, random.random())
        # The deadline of a Cached value's fetch changes with the readers that wait for it.
        deadline = trio.current_effective_deadline()
        if deadline != -math.inf:
            self.deadline = deadline
        if pause == math.inf or trio.current_time() + pause + took >= self.deadline:
            return None, "not sent again: the caller's deadline leaves too little time"
        return pause, ""

    def _error(self, error: httpx.TransportError, why: str) -> httpx.TransportError:
        match error:
            case httpx.ConnectTimeout():
                what = f"no connection within {self.connect:g} s (connect)"
            case httpx.TimeoutException():
                what = f"no answer within {self.timeout:g} s (timeout)"
            case _:
                what = str(error).rstrip(".") or type(error).__name__
        text = self._describe(what)
        return type(error)(f"{text}; {why}" if why else text, request=self.request)

    def _describe(self, what: str) -> str:
        seconds = trio.current_time() - self.began
        if self.place is None:
            where = f"waiting for one of {self.state.limit} places of this host (limit)"
        else:
            where = f"attempt {self.attempt} of {self.attempts}"
        return f"{_name_request(self.request)}: {what}; {where}, {seconds:.1f} s in all"


class _Host:
    """The requests to one host.

    Attributes:
        places: the free places of `limit`.
        next_start: the earliest start of the next attempt with a `rate`, by trio's clock.
    """

    __slots__ = ("name", "next_start", "places")

    def __init__(self, name: bytes, limit: int) -> None:
        self.name = name
        self.places = trio.Semaphore(limit)
        self.next_start = -math.inf


class _Client:
    """A client of httpx, and the number of requests that use it."""

    __slots__ = ("http", "users")

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.users = 0


class _State:
    """The client and the hosts in one run of trio.

    Attributes:
        client: the client for new requests.
        limit: as for Http.
    """

    __slots__ = ("_clocks", "_hosts", "_last", "_open_client", "_rate", "client", "limit")

    def __init__(
        self, open_client: Callable[[], httpx.AsyncClient], limit: int, rate: float | None
    ) -> None:
        self._open_client = open_client
        self._rate = rate
        self._clocks = current_monitors()
        self._last = self._clocks.read_clocks()
        self._hosts: dict[bytes, _Host] = {}
        self.client = _Client(open_client())
        self.limit = limit

    async def take_place(self, name: bytes) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, self.limit)
        try:
            host.places.acquire_nowait()
        except trio.WouldBlock:
            logs.count(logs.POOL_WAITS, name.decode("latin-1"))
            await host.places.acquire()
        return host

    def free_place(self, host: _Host) -> None:
        host.places.release()
        if host.places.value == self.limit and trio.current_time() >= host.next_start:
            self._hosts.pop(host.name, None)

    async def wait_for_turn(self, host: _Host | None) -> None:
        """Wait until the rate allows another request to the host."""
        if self._rate is not None and host is not None:
            start = max(trio.current_time(), host.next_start)
            host.next_start = start + 1 / self._rate
            await trio.sleep_until(start)

    async def borrow(self) -> _Client:
        """Return the client; a new one if a virtual machine was stopped since the last request."""
        last, self._last = self._last, self._clocks.read_clocks()
        if frozen_seconds(last, self._last, planned=0, blocked=True):
            old, self.client = self.client, _Client(self._open_client())
            await self._close_unused(old)
        client = self.client
        client.users += 1
        return client

    async def give_back(self, client: _Client) -> None:
        client.users -= 1
        await self._close_unused(client)

    async def close_at_end(self) -> None:
        """Close the client at the end of the run of trio, which cancels system tasks."""
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await self.client.http.aclose()

    async def _close_unused(self, client: _Client) -> None:
        if client is not self.client and client.users == 0:
            with trio.CancelScope(shield=True):
                await client.http.aclose()
