"""The CPU time of a web adapter itself, in process: `python -m benchmarks.web_own_time`.

The adapters take turns at the same events, round by round. From each time the time of the bare
application is subtracted. The bar is 1.50 of apig-wsgi's time for a REST API (payload format 1.0)
and for HTTP APIs and function URLs (2.0). For ASGI it is 0.35 of Mangum's time for a plain
application, and 0.50 for FastAPI, which runs slower in a task of its own.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio
from apig_wsgi import make_lambda_handler
from fastapi import FastAPI
from mangum import Mangum

from okibi.local.services.http_events import (
    IncomingRequest,
    make_function_url_event,
    make_http_api_event,
    make_load_balancer_event,
    make_rest_api_event,
)
from okibi.runtime.adapters.asgi import make_scope
from okibi.runtime.adapters.http_request import read_request
from okibi.testing import context
from okibi.web import ASGI, WSGI

ROUNDS, COUNT = 61, 1000
ASGI_COUNT = 200
SMALL = IncomingRequest(
    "GET", "/notes", "", [("host", "a.example"), ("accept", "*/*"), ("user-agent", "curl/8")]
)
USUAL = IncomingRequest(
    "POST",
    "/notes/12",
    "page=2&size=10",
    [
        ("host", "api.example.com"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("content-type", "application/json"),
        ("authorization", "Bearer abc.def"),
        ("cookie", "a=1; b=2"),
        ("origin", "https://example.com"),
    ],
    body=b'{"text": "hello"}',
)
SERVICES: dict[str, Callable[[IncomingRequest], dict[str, Any]]] = {
    "function URL": lambda request: make_function_url_event(request, "notes"),
    "HTTP API": make_http_api_event,
    "REST API": make_rest_api_event,
    "load balancer": make_load_balancer_event,
}
EVENTS = {
    f"{service}, {size} request": make(request)
    for size, request in (("small", SMALL), ("usual", USUAL))
    for service, make in SERVICES.items()
}


def application(_: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "12")])
    return [b'{"ok": true}']


def _ignore(_: object, __: object) -> None: ...


ADAPTERS: dict[str, Callable[[Any, Any], object]] = {
    "bare": lambda _, __: application({}, _ignore),
    "okibi": WSGI(application),
    "apig-wsgi": make_lambda_handler(application, binary_support=True),
}


def measure(event: dict[str, Any]) -> list[tuple[float, float]]:
    """Return okibi's and apig-wsgi's own CPU time in each round, in us an event."""
    found: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        times: dict[str, float] = {}
        for name, handler in ADAPTERS.items():
            began = time.process_time_ns()
            for _ in range(COUNT):
                handler(event, None)
            times[name] = (time.process_time_ns() - began) / COUNT / 1000
        found.append((times["okibi"] - times["bare"], times["apig-wsgi"] - times["bare"]))
    return found


# -- ASGI

fast = FastAPI()


@fast.get("/notes")
async def notes() -> dict[str, bool]:
    return {"ok": True}


async def plain(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"ok": true}'})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_: dict[str, Any]) -> None: ...


async def _time(call: Callable[[], Awaitable[object]]) -> float:
    began = time.process_time_ns()
    for _ in range(ASGI_COUNT):
        await call()
    return (time.process_time_ns() - began) / ASGI_COUNT / 1000


def measure_asgi(app: Any, event: dict[str, Any]) -> dict[str, list[float]]:
    """Return okibi's own CPU time on each loop as a share of Mangum's, for each round."""
    told: Any = context()
    ours, by_mangum = ASGI(app), Mangum(app, lifespan="off")
    scope = make_scope(read_request(event), event, told)
    found: dict[str, list[float]] = {"asyncio": [], "trio": []}
    # As okibi does at a start: the application's objects are not searched for garbage.
    gc.freeze()
    for _ in range(ROUNDS):
        bare = asyncio.run(_time(lambda: app(dict(scope), _receive, _send)))
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        began = time.process_time_ns()
        for _ in range(ASGI_COUNT):
            by_mangum(event, told)
        theirs = (time.process_time_ns() - began) / ASGI_COUNT / 1000 - bare
        loop.close()
        on_asyncio = asyncio.run(_time(lambda: ours(event, told)))
        on_trio = trio.run(_time, lambda: ours(event, told))
        bare_on_trio = trio.run(_time, lambda: app(dict(scope), _receive, _send))
        found["asyncio"].append((on_asyncio - bare) / theirs)
        found["trio"].append((on_trio - bare_on_trio) / theirs)
    return found


def main() -> None:
    print("own CPU time in us: okibi, apig-wsgi, median of the rounds' ratios")
    for name, event in EVENTS.items():
        found = measure(event)
        ours, theirs = (statistics.median(each) for each in zip(*found, strict=True))
        ratio = statistics.median(okibi / apig_wsgi for okibi, apig_wsgi in found)
        print(f"{name:30} {ours:6.1f} {theirs:6.1f} {ratio:5.2f}", flush=True)
    print("own CPU time of ASGI / Mangum's, median of the rounds: asyncio, trio")
    for kind, app in (("plain", plain), ("FastAPI", fast)):
        for name, event in EVENTS.items():
            if "small" in name:
                shares = measure_asgi(app, event)
                on_asyncio, on_trio = (statistics.median(each) for each in shares.values())
                print(f"{kind}, {name:30} {on_asyncio:5.2f} {on_trio:5.2f}", flush=True)


if __name__ == "__main__":
    main()
