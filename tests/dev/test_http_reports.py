"""Reports of HTTP requests: the invocation and the answer."""

from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio

from okibi.dev.asgi import ClientLeft, Scope
from okibi.dev.dev_function import DevFunction, Route
from okibi.dev.function_pool import FunctionPool
from okibi.dev.http.http_front import HttpFront
from okibi.dev.http_reports import HttpAnswered, HttpInvoked
from okibi.local import FunctionSettings, Invocation
from okibi.local.platform.outcomes import InvocationOutcome


@attrs.define(eq=False)
class AnsweringPool(FunctionPool):
    """A function that answers at once with status 201, or never."""

    function: DevFunction
    answers: bool = True
    started: list[str] = attrs.field(factory=list[str])

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        self.started.append(invocation.request_id)
        if self.answers and done is not None:
            invocation.outcome = InvocationOutcome(b'{"statusCode":201}')
            done.set()


def scope(path: str) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"a=b",
        "headers": [],
        "http_version": "1.1",
    }


async def get(pool: FunctionPool, *paths: str, leaves: bool = False) -> list[object]:
    """Send a request for each path, at once, and return the reports."""
    reports: list[object] = []
    front = HttpFront({"visits": pool}, reports.append)

    async def ask(path: str) -> None:
        messages = iter([{"type": "http.request"}, *[{"type": "http.disconnect"}] * leaves])

        async def receive() -> MutableMapping[str, Any]:
            for message in messages:
                return message
            await trio.sleep_forever()
            raise AssertionError

        async def send(message: MutableMapping[str, Any]) -> None:
            await trio.lowlevel.checkpoint()

        with suppress(ClientLeft):
            await front(scope(path), receive, send)

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(ask, path)
    return reports


@pytest.fixture
def function() -> DevFunction:
    routes = [Route("GET", "/{name}"), Route("GET", "/{name}/{more+}")]
    return DevFunction(FunctionSettings("app.handler", name="visits"), routes=routes)


async def test_an_invocation_of_a_request_is_reported_with_its_answer(
    function: DevFunction,
) -> None:
    pool = AnsweringPool(function)
    paths = ["/a", "/b%1b", "/lambda-url/visits/c"]
    reports = await get(pool, *paths)

    assert len(pool.started) == 3
    invoked = [report for report in reports if isinstance(report, HttpInvoked)]
    assert sorted((each.method, each.path) for each in invoked) == [("GET", path) for path in paths]
    assert sorted(each.request_id for each in invoked) == sorted(pool.started)
    for each in invoked:
        assert HttpAnswered(each.request_id, "GET", each.path, 201) in reports


async def test_a_request_that_invokes_nothing_is_reported_without_a_request_id(
    function: DevFunction,
) -> None:
    reports = await get(AnsweringPool(function), "/")

    assert reports == [HttpAnswered("", "GET", "/", 404)]


async def test_a_request_whose_client_leaves_has_no_status(function: DevFunction) -> None:
    pool = AnsweringPool(function, answers=False)
    reports = await get(pool, "/a", leaves=True)

    [request_id] = pool.started
    assert reports == [
        HttpInvoked(request_id, "GET", "/a"),
        HttpAnswered(request_id, "GET", "/a", None),
    ]
