"""Patches of the official client work on okibi: Sentry, with a server."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from okibi.runtime import Function, Workers
from okibi.runtime.startup import official_client_names
from tests.limits import HANG
from tests.support.output_side_by_side import official, okibi
from tests.support.sandbox import running

pytest.importorskip("sentry_sdk")


class Sentry(BaseHTTPRequestHandler):
    """A server for Sentry's envelopes: a JSON line, then two lines per item."""

    items: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = [json.loads(line) for line in body.splitlines()[1:] if line]
        self.items += [item for head, item in zip(lines[::2], lines[1::2], strict=True) if head]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...  # pyright: ignore


@pytest.fixture
def sentry() -> Iterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    """The environment that names the server, and the items that the server received."""
    items = list[dict[str, Any]]()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisSentry", (Sentry,), {"items": items}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"SENTRY_DSN": f"http://key@127.0.0.1:{server.server_port}/1"}, items
    server.shutdown()
    server.server_close()


def told(items: list[dict[str, Any]]) -> list[str]:
    """The received messages, exceptions and transactions, in order."""
    said = list[str]()
    for item in items:
        if "exception" in item:
            (error,) = item["exception"]["values"]
            said.append(f"{error['type']}: {error['value']}, {error['mechanism']['type']}")
        elif item.get("type") == "transaction":
            said.append(f"a transaction of {item['transaction']}")
        elif "message" in item:
            said.append(item["message"])
    return said


@pytest.mark.slow
async def test_sentry_receives_each_event_before_the_answer(
    sentry: tuple[dict[str, str], list[dict[str, Any]]],
) -> None:
    environment, items = sentry
    async with running("watched.handler", environment=environment) as sandbox:
        assert await sandbox.ask({"say": "hello"}) == "hello"
        of_hello = told(items)
        assert (await sandbox.ask({"fail": "no"}))["errorType"] == "ValueError"

        assert of_hello[0] == "hello"
        assert "ValueError: no, aws_lambda" in told(items)
        assert sum(said.startswith("a transaction of ") for said in told(items)) == 2


@pytest.mark.slow
async def test_sentry_receives_the_same_as_from_the_official_client(
    tmp_path: Path, sentry: tuple[dict[str, str], list[dict[str, Any]]]
) -> None:
    environment, items = sentry
    of_both = list[list[str]]()
    for serve in (official, okibi):
        await serve(
            "watched.handler",
            [{"say": "hello"}, {"fail": "no"}],
            output=tmp_path / serve.__name__,
            environment=environment,
        )
        of_both.append(sorted(told(items)))
        items.clear()

    theirs, ours = of_both
    assert ours == theirs
    assert len(theirs) == 4


@pytest.mark.slow
async def test_sentry_receives_the_error_of_a_failed_start(
    sentry: tuple[dict[str, str], list[dict[str, Any]]],
) -> None:
    environment, items = sentry
    async with running("watched.handler", environment={**environment, "FAILS": "1"}) as sandbox:
        assert (await sandbox.ask())["errorType"] == "OSError"
        with trio.fail_after(HANG):
            while not items:  # noqa: ASYNC110, it comes from another process
                await trio.sleep(0.02)

    assert "OSError: no database, aws_lambda" in told(items)


@pytest.mark.slow
async def test_an_async_def_runs_without_the_patches(
    sentry: tuple[dict[str, str], list[dict[str, Any]]],
) -> None:
    environment, _ = sentry
    async with running("watched.asynchronous", environment=environment) as sandbox:
        assert await sandbox.ask({"say": "hello"}) == "hello"
        assert (await sandbox.ask({"fail": "no"}))["errorMessage"] == "no"


@pytest.mark.slow
async def test_sentry_watches_the_plain_def_of_a_function_value(
    sentry: tuple[dict[str, str], list[dict[str, Any]]],
) -> None:
    environment, items = sentry
    async with running("watched_own.function", environment=environment) as sandbox:
        assert await sandbox.ask({"say": "hello"}) == "hello"
        assert (await sandbox.ask({"fail": "no"}))["errorType"] == "ValueError"

        assert "ValueError: no, aws_lambda" in told(items)
        assert sum(said.startswith("a transaction of ") for said in told(items)) == 2


def test_a_patch_replaces_only_the_handler_of_a_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def plain(event: object, context: object) -> None: ...

    async def asynchronous(event: object, context: object) -> None: ...

    function = Function(handler=Workers(plain, count=3), intensity=7)
    other = Function(handler=asynchronous)
    assert official_client_names.replace_handler(function) is function

    monkeypatch.setattr(official_client_names, "handle_event_request", lambda _, handler: handler)
    watched = official_client_names.replace_handler(function)

    assert watched.handler.handler is not plain
    assert watched == attrs.evolve(function, handler=Workers(watched.handler.handler, count=3))
    assert official_client_names.replace_handler(other) is other


def test_without_a_patch_the_handler_is_unchanged() -> None:
    assert official_client_names.wrap_by_patches(print) is print


def test_a_generator_runs_without_the_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(event: object, context: object) -> None: ...

    def yields(event: object, context: object) -> Iterator[bytes]:
        yield b""

    monkeypatch.setattr(official_client_names, "handle_event_request", lambda _, handler: handler)

    assert official_client_names.wrap_by_patches(plain) is not plain
    assert official_client_names.wrap_by_patches(yields) is yields
