"""Answers and console lines for a function that is busy, late or wrong, in virtual time."""

import json
from collections.abc import MutableMapping
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from okibi.dev.asgi import ClientLeft
from okibi.dev.dev_function import DevFunction, Route, Throttled
from okibi.dev.function_pool import FunctionPool
from okibi.dev.http.http_front import HttpFront
from okibi.dev.invocation_events import LogLine
from okibi.local import FunctionSettings, Invocation
from okibi.local.platform.outcomes import InvocationOutcome

ROUTES = [
    Route("ANY", "/api", "http-api"),
    Route("ANY", "/rest", "rest-api"),
    Route("ANY", "/alb", "alb"),
]


@attrs.define(eq=False)
class Slow(FunctionPool):
    """A function that answers after `seconds`, or takes no event."""

    seconds: float = 0.0
    result: bytes = b'{"statusCode":200,"body":"done"}'
    throttled: bool = False
    function: DevFunction = attrs.field(
        factory=lambda: DevFunction(FunctionSettings("app.handler", name="slow"), routes=ROUTES)
    )
    nursery: trio.Nursery | None = None
    ended: int = 0

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        if self.throttled:
            raise Throttled("Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded")
        assert self.nursery is not None

        async def run() -> None:
            await trio.sleep(self.seconds)
            invocation.outcome = InvocationOutcome(self.result)
            self.ended += 1
            assert done is not None
            done.set()

        self.nursery.start_soon(run)


@attrs.define(eq=False)
class Client:
    """One request of an ASGI server; it leaves after `patience` seconds."""

    path: str
    patience: float = float("inf")
    body: bytes = b""
    sent: list[MutableMapping[str, Any]] = attrs.field(factory=list[MutableMapping[str, Any]])
    _asked: bool = False

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await trio.sleep(self.patience)
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self, front: HttpFront) -> tuple[int, str] | None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"localhost:9000")],
            "http_version": "1.1",
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 9000),
        }
        try:
            await front(scope, self.receive, self.send)
        except ClientLeft:
            assert not self.sent
            return None
        return self.sent[0]["status"], self.sent[1]["body"].decode()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/lambda-url/slow/", 429, '{"Message":"Rate Exceeded."}'),
        ("/api", 503, '{"message":"Service Unavailable"}'),
        ("/rest", 500, '{"message": "Internal server error"}'),
        ("/alb", 502, None),
    ],
)
async def test_a_throttled_function_is_answered_as_each_service_does(
    path: str, status: int, body: str | None
) -> None:
    answer = await Client(path).ask(HttpFront({"slow": Slow(throttled=True)}))

    assert answer is not None
    assert answer[0] == status
    assert body is None or answer[1] == body


@pytest.mark.parametrize(
    ("path", "limit", "status", "body"),
    [
        ("/api", 30, 503, '{"message":"Service Unavailable"}'),
        ("/rest", 29, 504, '{"message": "Endpoint request timed out"}'),
    ],
)
async def test_api_gateway_stops_waiting_and_the_function_goes_on(
    autojump_clock: trio.testing.MockClock, path: str, limit: float, status: int, body: str
) -> None:
    reports: list[object] = []
    async with trio.open_nursery() as nursery:
        slow = Slow(limit + 60, nursery=nursery)
        answer = await Client(path).ask(HttpFront({"slow": slow}, reports.append))

        assert (answer, trio.current_time(), slow.ended) == ((status, body), limit, 0)
    assert slow.ended == 1
    [line] = [report for report in reports if isinstance(report, LogLine)]
    assert line.function == "slow"
    assert f"stopped waiting after {limit} s" in line.text


@pytest.mark.parametrize("path", ["/lambda-url/slow/", "/alb"])
async def test_a_url_and_a_load_balancer_wait_as_long_as_the_function(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    async with trio.open_nursery() as nursery:
        answer = await Client(path).ask(HttpFront({"slow": Slow(800, nursery=nursery)}))

    assert answer == (200, "done")


async def test_a_debugged_function_has_no_limit(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        slow = Slow(800, nursery=nursery)
        slow.function = attrs.evolve(slow.function, attach=True)
        answer = await Client("/rest").ask(HttpFront({"slow": slow}))

    assert answer == (200, "done")


async def test_nothing_is_sent_to_a_client_that_has_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        slow = Slow(5, nursery=nursery)
        assert await Client("/api", patience=1).ask(HttpFront({"slow": slow})) is None
        assert (trio.current_time(), slow.ended) == (1, 0)
    assert slow.ended == 1


async def test_rest_apis_alone_answer_a_missing_route_in_their_own_way() -> None:
    slow = Slow()
    slow.function = attrs.evolve(slow.function, routes=[Route("GET", "/rest", "rest-api")])
    answer = await Client("/nothing").ask(HttpFront({"slow": slow}))

    assert answer is not None
    assert (answer[0], json.loads(answer[1])) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        (
            "/lambda-url/slow/",
            502,
            "function URL answered 502: body must be a string, got a number",
        ),
        ("/api", 500, "HTTP API answered 500: body must be a string, got a number"),
        ("/rest", 502, "REST API answered 502: body must be a string, got a number"),
        ("/alb", 502, "load balancer answered 502: body must be a string, got a number"),
    ],
)
async def test_a_malformed_response_is_an_error_and_one_line(
    autojump_clock: trio.testing.MockClock, path: str, status: int, line: str
) -> None:
    reports: list[object] = []
    async with trio.open_nursery() as nursery:
        slow = Slow(result=b'{"statusCode":200,"body":1}', nursery=nursery)
        answer = await Client(path).ask(HttpFront({"slow": slow}, reports.append))

    assert answer is not None
    assert answer[0] == status
    assert LogLine("slow", f"{line}; write json.dumps(body)") in reports


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/api", "HTTP API answered 413: the limit is 6 MB; Base64 makes"),
        ("/alb", "load balancer answered 413: the limit is 1 MB; Base64 makes"),
    ],
)
async def test_a_request_that_is_too_large_is_one_line_with_the_limit(path: str, line: str) -> None:
    reports: list[object] = []
    client = Client(path, body=b"\xff" * 5_000_000)
    assert await client.ask(HttpFront({"slow": Slow()}, reports.append))

    assert [each.text[: len(line)] for each in reports if isinstance(each, LogLine)] == [line]


async def test_a_reload_may_change_the_routes(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        slow = Slow(nursery=nursery)
        front = HttpFront({"slow": slow})
        assert await Client("/new").ask(front) == (404, '{"message":"Not Found"}')
        slow.function = attrs.evolve(slow.function, routes=[Route("ANY", "/new")])
        assert await Client("/new").ask(front) == (200, "done")
        assert await Client("/api").ask(front) == (404, '{"message":"Not Found"}')
