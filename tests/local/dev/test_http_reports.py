"""Which HTTP request invoked which function, and how it was answered."""

from typing import Any

import attrs
import pytest
import trio

from okibi.local import FunctionSettings, Invocation
from okibi.local.dev.asgi import Receive, Scope, Send
from okibi.local.dev.dev_function import DevFunction
from okibi.local.dev.http_reports import HttpAnswered, HttpInvoked, HttpReport, report_answers


@attrs.define(eq=False)
class CountingPool:
    function: DevFunction
    started: list[str] = attrs.field(factory=list[str])

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        self.started.append(invocation.request_id)


async def receive() -> Any:
    return {"type": "http.request"}


async def ignore(message: Any) -> None:
    return


def scope(path: str) -> Scope:
    return {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}


async def test_an_invocation_of_a_request_is_reported_with_its_answer() -> None:
    reports: list[HttpReport] = []
    pool = CountingPool(DevFunction(FunctionSettings("app.handler", name="visits")))

    def make_front(invokers: Any) -> Any:
        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            invocation = Invocation(b"{}", 3.0, request_id=scope["path"])
            # As for a stream: the invocation may start in a task of its own.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.lowlevel.checkpoint)
                invokers["visits"].start_invocation(invocation)
                await send({"type": "http.response.start", "status": 201, "headers": []})

        return front

    serve = report_answers({"visits": pool}, reports.append, make_front)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, scope("/a"), receive, ignore)
        nursery.start_soon(serve, scope("/b%1b"), receive, ignore)

    assert sorted(pool.started) == ["/a", "/b%1b"]
    for path in pool.started:
        mine = [report for report in reports if report.path == path]
        assert mine == [HttpInvoked(path, "GET", path), HttpAnswered(path, "GET", path, 201)]


async def test_a_request_that_fails_before_its_answer_has_no_status() -> None:
    reports: list[HttpReport] = []

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("left")

    serve = report_answers({}, reports.append, lambda _: front)
    with pytest.raises(KeyError):
        await serve(scope("/a"), receive, ignore)

    assert reports == [HttpAnswered("", "GET", "/a", None)]
