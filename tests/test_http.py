"""Http in virtual time: retries, limits, deadlines, freezes. Functions answer the requests."""

import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi import Cached, Context, FetchError, Function
from okibi.actors.freezes import current_monitors
from okibi.asyncio_loop import AsyncioLoop, from_asyncio
from okibi.http import (
    IDEMPOTENT,
    Fate,
    Http,
    _ssl_context,
    _State,
    fate_of,
    may_repeat,
    pause_before,
    retry_after,
)
from okibi.testing import running, virtual_time
from tests.support.counting import counting

BASE = "https://api.example.com/v1"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")


@attrs.define(eq=False)
class Server:
    """Answers requests after `seconds` each, first with `failures`, then with 200."""

    failures: list[int | Exception | dict[str, str]] = attrs.Factory(list)
    seconds: float = 0.0
    requests: list[httpx.Request] = attrs.Factory(list)
    times: list[float] = attrs.Factory(list)
    running: int = 0
    most: int = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(trio.current_time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await trio.sleep(self.seconds)
            await request.aread()
        finally:
            self.running -= 1
        failure = self.failures.pop(0) if self.failures else 200
        if isinstance(failure, Exception):
            raise failure
        if isinstance(failure, dict):
            return httpx.Response(503, headers=failure)
        return httpx.Response(failure, json={"number": len(self.requests)})

    def http(self, base_url: str = BASE, **options: Any) -> Http:
        """Return an Http whose requests this server answers."""
        return Http(base_url, transport=lambda: httpx.MockTransport(self.answer), **options)


# -- requests


@virtual_time
async def test_a_request_has_the_base_url_the_headers_and_its_options() -> None:
    server = Server()
    api = server.http(headers={"x-key": "k"}, auth=("ada", "secret"))

    response = await api.post("/orders", params={"a": 1}, headers={"x-id": "7"}, json={"b": 2})

    assert (response.status_code, response.json()) == (200, {"number": 1})
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/orders?a=1")
    assert (request.headers["x-key"], request.headers["x-id"]) == ("k", "7")
    assert request.headers["authorization"].startswith("Basic ")
    assert request.content == b'{"b":2}'


@virtual_time
async def test_each_method_sends_its_name() -> None:
    server = Server()
    api = server.http()
    for send in (api.get, api.post, api.put, api.patch, api.delete):
        await send("https://other.example/x")

    assert [each.method for each in server.requests] == ["GET", "POST", "PUT", "PATCH", "DELETE"]
    assert {str(each.url) for each in server.requests} == {"https://other.example/x"}


@virtual_time
async def test_a_redirect_is_followed_only_on_request() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/old":
            return httpx.Response(302, headers={"location": "/new"})
        return httpx.Response(200)

    api = Http(BASE)
    with api.answered_by(answer):
        assert (await api.get("/old")).status_code == 302
        assert (await api.get("/old", follow_redirects=True)).status_code == 200


@pytest.mark.parametrize(
    ("base_url", "url", "text"),
    [
        ("", "/x?token=secret", "GET /x: the URL needs .* host; this Http has no base_url"),
        ("", "ftp://a.example/x", "GET ftp://a.example/x: the URL needs "),
        ("api.example.com", "/x", "GET api.example.com/x: the URL needs http:// or https:// and"),
        ("https://", "/x", "GET https:///x: the URL needs .* and a host$"),
    ],
)
@virtual_time
async def test_a_url_without_a_host_is_refused_also_in_a_test(
    base_url: str, url: str, text: str
) -> None:
    api = Http(base_url)
    with pytest.raises(httpx.UnsupportedProtocol, match=f"^{text}"):
        await api.get(url)
    with (
        api.answered_by(lambda request: httpx.Response(200)),
        pytest.raises(httpx.UnsupportedProtocol, match=f"^{text}"),
    ):
        await api.get(url)


@virtual_time
async def test_the_error_of_a_status_has_no_query() -> None:
    server = Server([503, 404, 302])
    api = server.http(retries=0)
    for expected in ("503 Service Unavailable", "404 Not Found", "302 Found"):
        response = await api.get("/prices", params={"token": "secret"})
        with pytest.raises(httpx.HTTPStatusError) as failed:
            response.raise_for_status()
        assert str(failed.value) == f"GET https://api.example.com/v1/prices: {expected}"
        assert failed.value.response is response
    response = await api.get("/prices")
    assert response.raise_for_status() is response


@virtual_time
async def test_a_cookie_is_not_sent_with_the_next_request() -> None:
    requests = list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, headers={"set-cookie": "session=ada; Path=/"})

    api = Http(BASE)
    with api.answered_by(answer):
        for _ in range(2):
            assert (await api.get("/")).cookies["session"] == "ada"

    assert "cookie" not in requests[1].headers


@virtual_time
async def test_a_stream_is_read_piece_by_piece_and_holds_its_place() -> None:
    server = Server()
    api = server.http(limit=1)
    async with trio.open_nursery() as nursery, api.stream("GET", "/export") as response:
        nursery.start_soon(api.get, "/next")
        await wait_all_tasks_blocked()
        assert len(server.requests) == 1
        assert b"".join([part async for part in response.aiter_bytes()]) == b'{"number":1}'

    assert len(server.requests) == 2


# -- retries


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (httpx.ConnectError(""), Fate.UNSENT),
        (httpx.ConnectTimeout(""), Fate.UNSENT),
        (httpx.Response(429), Fate.REFUSED),
        (httpx.ReadTimeout(""), Fate.UNKNOWN),
        (httpx.WriteTimeout(""), Fate.UNKNOWN),
        (httpx.ReadError(""), Fate.UNKNOWN),
        (httpx.WriteError(""), Fate.UNKNOWN),
        (httpx.RemoteProtocolError(""), Fate.UNKNOWN),
        *((httpx.Response(status), Fate.UNKNOWN) for status in (500, 502, 503, 504)),
        *((httpx.Response(status), Fate.FINAL) for status in (200, 204, 302, 400, 404, 409, 501)),
        (httpx.LocalProtocolError(""), Fate.FINAL),
        (httpx.ProxyError(""), Fate.FINAL),
        (httpx.UnsupportedProtocol(""), Fate.FINAL),
    ],
)
def test_each_outcome_has_its_fate(
    outcome: httpx.Response | httpx.TransportError, fate: Fate
) -> None:
    assert fate_of(outcome) is fate


async def body() -> AsyncIterator[bytes]:
    yield b"part"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("key", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fate", Fate)
def test_a_request_is_repeated_only_where_the_table_says(
    method: str, key: bool, streamed: bool, fate: Fate
) -> None:
    headers = {"Idempotency-Key": "7"} if key else {}
    request = httpx.Request(method, BASE, headers=headers)

    expected = {
        Fate.UNSENT: True,
        Fate.REFUSED: not streamed,
        Fate.UNKNOWN: not streamed and (key or method in IDEMPOTENT),
        Fate.FINAL: False,
    }
    assert may_repeat(fate, request, not streamed) is expected[fate]


@virtual_time
async def test_a_get_is_repeated_until_it_succeeds() -> None:
    server = Server([httpx.ReadError("reset"), 503])

    response = await server.http(retries=2).get("/x")

    assert response.json() == {"number": 3}


@virtual_time
async def test_the_last_response_is_returned_and_the_last_error_raised() -> None:
    server = Server([500, 503, httpx.ReadError("a"), httpx.ReadError("b")])
    api = server.http(retries=1)

    assert (await api.get("/x")).status_code == 503
    with pytest.raises(httpx.ReadError, match=r"^GET .*/v1/x: b; attempt 2 of 2, \d\.\d s in all$"):
        await api.get("/x")


@virtual_time
async def test_a_post_that_may_have_been_handled_is_sent_once() -> None:
    server = Server([httpx.RemoteProtocolError("closed"), 500])
    api = server.http()

    with pytest.raises(httpx.RemoteProtocolError, match="the server may have handled it") as failed:
        await api.post("/x", json={})
    assert (await api.post("/x", json={})).status_code == 500
    assert len(server.requests) == 2
    assert failed.value.request is server.requests[0]


@virtual_time
async def test_a_post_is_repeated_after_no_connection_and_after_429() -> None:
    server = Server([httpx.ConnectError("refused"), 429])

    assert (await server.http().post("/x", json={})).status_code == 200


@virtual_time
async def test_a_streamed_body_is_sent_again_only_if_it_was_not_begun() -> None:
    server = Server([httpx.ReadError("reset")])
    api = server.http()

    with pytest.raises(httpx.ReadError):
        await api.put("/x", content=body())

    def refuse_once(request: httpx.Request) -> httpx.Response:
        refusals.append(request)
        if len(refusals) == 1:
            raise httpx.ConnectError("refused")
        return httpx.Response(200)

    refusals = list[httpx.Request]()
    with api.answered_by(refuse_once):
        assert (await api.put("/x", content=body())).status_code == 200


@pytest.mark.parametrize("failure", [429, 503])
@virtual_time
async def test_a_streamed_response_is_asked_for_again_before_its_body(failure: int) -> None:
    server = Server([failure])
    async with server.http().stream("GET", "/x") as response:
        assert response.status_code == 200
    assert len(server.requests) == 2


@virtual_time
async def test_the_server_s_retry_after_is_the_least_pause() -> None:
    server = Server([{"retry-after": "7"}])

    await server.http().get("/x")

    assert 7 <= server.times[1] - server.times[0] <= 7.2


@virtual_time
async def test_a_server_that_asks_for_minutes_gets_no_further_attempt() -> None:
    server = Server([{"retry-after": "3600"}])

    assert (await server.http().get("/x")).status_code == 503
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", "", 0),
        (" 120 ", "", 120),
        ("Wed, 02 Dec 2026 03:00:30 GMT", "Wed, 02 Dec 2026 03:00:00 GMT", 30),
        ("Wed, 02 Dec 2026 02:00:00 GMT", "Wed, 02 Dec 2026 03:00:00 GMT", 0),
        ("Wed, 02 Dec 2026 03:00:30 GMT", "", None),
        ("Wed, 02 Dec 2026 03:00:30 -0000", "Wed, 02 Dec 2026 03:00:00 GMT", None),
        ("-1", "", None),
        ("1.5", "", None),
        ("²", "", None),
        ("soon", "now", None),
        ("", "", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, date: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value, "date": date}) == seconds


def test_pauses_double_up_to_a_limit_with_full_jitter() -> None:
    assert [pause_before(attempt, None, 1) for attempt in (2, 3, 4, 8, 1000)] == [
        0.2, 0.4, 0.8, 5, 5,
    ]  # fmt: skip
    assert pause_before(8, None, 0) == 0


# -- time


@virtual_time
async def test_an_attempt_that_takes_too_long_is_cut_and_repeated() -> None:
    server = Server(seconds=60)
    api = server.http(timeout=2, retries=1)

    with pytest.raises(httpx.ReadTimeout) as failed:
        await api.get("https://ada:secret@api.example.com/orders/7", params={"token": "secret"})

    assert len(server.requests) == 2
    assert server.running == 0
    text, _, seconds = str(failed.value).rpartition(", ")
    assert text == (
        "GET https://api.example.com/orders/7: no answer within 2 s (timeout); attempt 2 of 2"
    )
    assert 4 <= float(seconds.split()[0]) <= 4.3


@virtual_time
async def test_the_error_of_a_connection_names_its_limit() -> None:
    server = Server([httpx.ConnectTimeout("")])

    with pytest.raises(httpx.ConnectTimeout, match=r": no connection within 3 s \(connect\); "):
        await server.http(retries=0).post("/x")


@virtual_time
async def test_a_request_s_own_timeout_replaces_that_of_the_api() -> None:
    server = Server(seconds=60)

    with pytest.raises(httpx.ReadTimeout, match=r"within 0\.5 s"):
        await server.http(retries=0).get("/x", timeout=0.5)
    assert trio.current_time() == 0.5


@virtual_time
async def test_no_attempt_begins_that_cannot_end_before_the_deadline() -> None:
    server = Server([503, 503], seconds=2)
    api = server.http(retries=5)

    with trio.fail_after(3.9):
        response = await api.get("/x")

    assert (response.status_code, trio.current_time()) == (503, 2)
    server.failures[:] = [httpx.ReadError("reset")]
    with (
        trio.fail_after(3.9),
        pytest.raises(httpx.ReadError, match="the caller's deadline leaves too little time"),
    ):
        await api.get("/x")


@virtual_time
async def test_the_deadline_ends_a_request_and_the_log_says_which(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(seconds=60)
    api = server.http(limit=1)
    with trio.move_on_after(3) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(api.get, "/orders/7?token=secret")
            await wait_all_tasks_blocked()
            nursery.start_soon(api.get, "/orders/8")

    assert scope.cancelled_caught
    late = "GET https://api.example.com/v1/orders/{}: the caller's deadline came; {}, 3.0 s in all"
    assert sorted(caplog.messages) == [
        late.format(7, "attempt 1 of 3"),
        late.format(8, "waiting for one of 1 places of this host (limit)"),
    ]


@virtual_time
async def test_a_cancelled_request_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(seconds=60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.http().get, "/x")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert caplog.messages == []


@virtual_time
async def test_nothing_is_sent_after_the_deadline() -> None:
    server = Server()
    with trio.move_on_after(0):
        await server.http().get("/x")

    assert server.requests == []


# -- limits by host


@virtual_time
async def test_a_host_gets_at_most_limit_requests_at_once_in_their_order() -> None:
    server = Server(seconds=1)
    api = server.http(limit=3)
    with counting() as counts:
        async with trio.open_nursery() as nursery:
            for number in range(9):
                nursery.start_soon(api.get, f"/{number}")
                await wait_all_tasks_blocked()

    assert counts == {("PoolWaits", "api.example.com"): 6}
    assert server.most == 3
    assert server.times == [0] * 3 + [1] * 3 + [2] * 3
    paths = [each.url.path for each in server.requests]
    # The three that begin at one moment run in any order.
    assert [{*paths[n : n + 3]} for n in (0, 3, 6)] == [
        {f"/v1/{n + k}" for k in range(3)} for n in (0, 3, 6)
    ]


@virtual_time
async def test_the_limit_of_one_host_holds_no_other() -> None:
    server = Server(seconds=1)
    api = server.http("", limit=1)
    async with trio.open_nursery() as nursery:
        for host in ("a.example", "b.example", "b.example:8443"):
            nursery.start_soon(api.get, f"https://{host}/")

    assert trio.current_time() == 1


@virtual_time
async def test_a_host_without_requests_is_forgotten() -> None:
    state = _State(httpx.AsyncClient, limit=1, rate=None)
    host = await state.take_place(b"a.example")
    assert await state.take_place(b"b.example") is not host
    state.free_place(host)

    assert await state.take_place(b"a.example") is not host


@virtual_time
async def test_a_caller_that_leaves_frees_its_place() -> None:
    server = Server(seconds=60)
    api = server.http(limit=1, timeout=100)
    with trio.move_on_after(1):
        await api.get("/x")
    with trio.move_on_after(1):
        async with api.stream("GET", "/x"):
            pytest.fail("the request is slow")
    server.seconds = 0

    assert (await api.get("/x")).status_code == 200


@virtual_time
async def test_a_rate_spaces_the_requests_to_a_host() -> None:
    server = Server([503])
    api = server.http(rate=4)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(api.get, "/x")
    await trio.sleep(10)
    await api.get("/x")

    assert server.times[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert server.times[5] == pytest.approx(11)


# -- the client


@attrs.define(eq=False)
class Transports:
    """Makes transports that answer after a second, and records which are closed."""

    made: list["Transport"] = attrs.Factory(list)

    def make(self) -> "Transport":
        self.made.append(Transport())
        return self.made[-1]


class Transport(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self.requests = 0
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert not self.closed
        self.requests += 1
        await trio.sleep(1)
        assert not self.closed
        return httpx.Response(200)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


def test_each_run_of_trio_has_its_client_and_closes_it() -> None:
    transports = Transports()
    api = Http(BASE, transport=transports.make)

    async def use() -> None:
        await api.get("/x")
        assert [each.closed for each in transports.made[-1:]] == [False]
        await api.get("/x")

    for _ in range(2):
        trio.run(use, clock=MockClock(autojump_threshold=0))

    assert [(each.requests, each.closed) for each in transports.made] == [(2, True)] * 2


def test_the_certificates_are_read_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = list[object]()

    def create(**options: Any) -> ssl.SSLContext:
        read.append(options)
        return ssl.create_default_context()

    monkeypatch.setattr(httpx, "create_ssl_context", create)
    _ssl_context.cache_clear()
    Server().http()
    assert read == []

    api = Http("http://127.0.0.1:1", retries=0)
    assert read == [{}]
    with pytest.raises(httpx.ConnectError):
        trio.run(api.get, "/x")
    assert read == [{}]


@virtual_time
async def test_the_client_is_closed_after_the_tree() -> None:
    transports = Transports()
    api = Http(BASE, transport=transports.make)

    async def handler(event: object, context: Context) -> int:
        context.after_response(api.get, "/x")
        return (await api.get("/x")).status_code

    async with running(Function(handler=handler)) as app:
        for _ in range(2):
            assert await app.invoke() == 200
            await trio.sleep(2)
            await app.freeze(3600)

    assert sum(each.requests for each in transports.made) == 4


@virtual_time
async def test_a_client_is_replaced_after_a_virtual_machine_was_stopped() -> None:
    transports, ahead = Transports(), 0.0
    current_monitors().wall_clock = lambda: trio.current_time() + ahead
    api = Http(BASE, transport=transports.make)
    await api.get("/x")
    await trio.sleep(60)
    await api.get("/x")
    assert len(transports.made) == 1

    ahead = 10.0
    await api.get("/x")

    assert [(each.requests, each.closed) for each in transports.made] == [(2, True), (1, False)]


@virtual_time
async def test_a_replaced_client_is_closed_when_its_last_request_has_ended() -> None:
    transports, ahead = Transports(), 0.0
    current_monitors().wall_clock = lambda: trio.current_time() + ahead
    api = Http(BASE, transport=transports.make)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(api.get, "/x")
        await trio.sleep(0.5)
        ahead = 10.0
        nursery.start_soon(api.get, "/x")
        await trio.sleep(0.4)
        assert [each.closed for each in transports.made] == [False, False]
        await trio.sleep(0.2)
        assert [each.closed for each in transports.made] == [True, False]


def test_answers_of_a_test_hold_for_its_block() -> None:
    server = Server()
    api = server.http()

    def status(code: int) -> Callable[[httpx.Request], httpx.Response]:
        return lambda _: httpx.Response(code)

    async def read() -> list[int]:
        codes = [(await api.get("/x")).status_code]
        with api.answered_by(status(201)):
            codes.append((await api.get("/x")).status_code)
        return [*codes, (await api.get("/x")).status_code]

    with api.answered_by(status(404)):
        assert trio.run(read) == [404, 201, 404]
    assert trio.run(read) == [200, 201, 200]


# -- in a Cached


@virtual_time
async def test_a_fetch_that_a_freeze_has_cut_is_one_request_after_it() -> None:
    server = Server(seconds=0.5)
    api = server.http(timeout=1)
    prices = Cached(partial(api.get, "/prices"), max_age=60, stale_while=600)

    async def handler(event: object, context: Context) -> tuple[int, float]:
        began = trio.current_time()
        return (await prices.get()).json()["number"], trio.current_time() - began

    async with running(Function(handler=handler)) as app:
        await app.invoke()
        await app.freeze(100)
        await app.invoke()
        await app.freeze(100)
        assert await app.invoke() == [1, 0]
        await trio.sleep(2)
        assert await app.invoke() == [3, 0]

    assert server.times == [0, 100.5, 200.5]


@virtual_time
async def test_no_attempt_begins_that_cannot_end_before_the_event_that_waits_for_it() -> None:
    server = Server(seconds=60)
    api = server.http(timeout=1.2)
    prices = Cached(partial(api.get, "/prices"), max_age=60)

    async def handler(event: object, context: Context) -> str:
        try:
            return str(await prices.get())
        except FetchError as error:
            return str(error.__cause__)

    async with running(Function(handler=handler), timeout=3) as app:
        text = await app.invoke()
    assert "GET https://api.example.com/v1/prices: no answer within 1.2 s (timeout); " in text
    assert "not sent again: the caller's deadline leaves too little time" in text


@virtual_time
async def test_a_later_reader_of_a_cached_value_gives_its_request_more_time() -> None:
    server = Server([503], seconds=1)
    prices = Cached(partial(server.http().get, "/prices"), max_age=60)

    async def leave_early() -> None:
        with trio.fail_after(1.5), pytest.raises(FetchError):
            await prices.get()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave_early)
        await trio.sleep(0.5)
        assert (await prices.get()).status_code == 200


@virtual_time
async def test_a_late_request_of_a_cached_value_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(seconds=60)
    prices = Cached(partial(server.http().get, "/prices"), max_age=60)

    with trio.fail_after(3), pytest.raises(FetchError, match=r"did not end in the 2\.9 s until "):
        await prices.get()
    await wait_all_tasks_blocked()

    (line,) = caplog.messages
    assert line == (
        "GET https://api.example.com/v1/prices: the caller's deadline came; attempt 1 of 3, "
        "2.9 s in all"
    )


# -- callers


def test_a_thread_and_asyncio_send_by_trio() -> None:
    server = Server()
    api = server.http()

    async def on_asyncio() -> httpx.Response:
        return await from_asyncio.run(api.get, "/x")

    def in_a_thread(event: object, context: Context) -> int:
        return trio.from_thread.run(api.get, "/x").status_code

    async def main() -> None:
        async with running(in_a_thread, concurrency=2) as app:
            assert await app.invoke() == 200
        loop = AsyncioLoop()
        loop.start()
        await loop.run(on_asyncio)
        await loop.close()

    trio.run(main)
    assert len(server.requests) == 2


async def test_a_request_outside_trio_names_the_two_ways() -> None:
    api = Http(BASE)

    with pytest.raises(RuntimeError, match=r"^<Http https://.*> sends on trio: in a thread use "):
        await trio.to_thread.run_sync(lambda: api.get("/x").send(None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be > 0 seconds, got 0"),
        ({"connect": -1}, "connect must be > 0 seconds, got -1"),
        ({"retries": -1}, "retries must be >= 0, got -1"),
        ({"limit": 0}, "limit must be >= 1, got 0"),
        ({"rate": 0}, "rate must be > 0 a second, got 0"),
        ({"keepalive": -1}, "keepalive must be >= 0 seconds, got -1"),
    ],
)
def test_a_number_out_of_range_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^Http: {message}$"):
        Http(BASE, **options)


# -- imports


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_function_without_http_imports_none_of_it() -> None:
    code = """
import sys
import okibi.runtime.tree
from okibi import Cached, Function, Handler, Server
print([name for name in sys.modules if name in ("okibi.http", "httpx", "httpcore")])
"""
    assert run_python(code).stdout == "[]\n"


def test_a_missing_httpx_is_named_with_the_command() -> None:
    done = run_python("import sys; sys.modules['httpx'] = None; import okibi.http")

    assert done.stderr.splitlines()[-1] == (
        "ImportError: okibi.http needs httpx; run: pip install 'okibi[http]'"
    )
