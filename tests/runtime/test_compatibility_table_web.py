"""Rows of docs/compatibility.md about web applications: Mangum on AWS's client, and okibi."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local.services.http_events import IncomingRequest, make_function_url_event
from tests.support.sandbox import Running
from tests.support.side_by_side import both, skip_without_official

pytest.importorskip("fastapi")
pytest.importorskip("mangum")
pytestmark = [skip_without_official, pytest.mark.slow]

MANGUM, OKIBI = "web_table_mangum.handler", "web_table.app"
# Seconds within which nothing must come.
PAUSE = 0.5


def request(path: str, query: str = "", method: str = "GET") -> dict[str, Any]:
    headers = [("host", "abc.lambda-url.eu-central-1.on.aws")]
    return make_function_url_event(IncomingRequest(method, path, query, headers), "abc")


async def status(sandbox: Running, path: str, method: str = "GET") -> int | str:
    """Return the status of an answer, or the type of an error."""
    told = await sandbox.ask(request(path, method=method))
    answer: int | str = told.get("statusCode") or told["errorType"]
    return answer


async def pid(sandbox: Running) -> int:
    return int((await sandbox.ask(request("/pid")))["body"])


async def test_a_lifespan_of_an_application() -> None:
    async def scenario(sandbox: Running) -> list[int | str]:
        return [await status(sandbox, "/notes", "POST"), await status(sandbox, "/notes")]

    assert await both(MANGUM, scenario, own=OKIBI) == ([201, 404], [201, 200])


async def test_a_streaming_response_of_an_application(tmp_path: Path) -> None:
    async def scenario(sandbox: Running) -> bool:
        go = tmp_path / str(id(sandbox))
        event = request("/stream", f"go={go}")
        pieces = list[bytes]()
        early = False
        await sandbox.invoke(request("/pid"))  # the start may take longer than the pause
        async with sandbox.function.stream(json.dumps(event).encode()) as stream:
            with trio.move_on_after(PAUSE):
                async for piece in stream:
                    pieces.append(piece)
                    if b"first" in piece:
                        early = True
                        break
            go.touch()
            async for piece in stream:
                pieces.append(piece)
        assert b"second" in b"".join(pieces)
        return early

    assert await both(MANGUM, scenario, own="web_table_own.streamed") == (False, True)


async def test_a_background_task_of_an_application(tmp_path: Path) -> None:
    async def scenario(sandbox: Running) -> bool:
        go = tmp_path / str(id(sandbox))
        answered = trio.Event()
        await pid(sandbox)

        async def ask() -> None:
            assert (await sandbox.ask(request("/work", f"go={go}")))["statusCode"] == 200
            answered.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with trio.move_on_after(PAUSE):
                await answered.wait()
            early = answered.is_set()
            go.touch()
        return early

    assert await both(MANGUM, scenario, own=OKIBI) == (False, True)


async def fate(path: str, sandbox: Running) -> tuple[int | str, bool]:
    """Return the answer, and whether the same process serves the next request."""
    before = await pid(sandbox)
    answer = await status(sandbox, path)
    return answer, await pid(sandbox) == before


async def test_a_late_request_of_an_application() -> None:
    official, okibi = await both(MANGUM, partial(fate, "/late"), own=OKIBI, timeout=3)

    assert official == ("Sandbox.Timedout", False)
    assert okibi == (504, True)


@pytest.mark.parametrize("path", ["/exit", "/crash"])
async def test_a_route_that_raises(path: str) -> None:
    official, okibi = await both(MANGUM, partial(fate, path), own=OKIBI)

    assert official == okibi == (500, True)
