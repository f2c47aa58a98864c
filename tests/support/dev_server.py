"""`okibi dev`'s server, with functions of the tests' own bootstrap."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.dev_server import DevServer, DevServerOptions, open_dev_server
from okibi.dev.invocation_events import LogLine
from tests.limits import HANG
from tests.support.local_lambda import settings

__all__ = ["Served", "dev_function", "serve_functions"]


def dev_function(name: str = "function", **fields: Any) -> DevFunction:
    """Describe a function of the tests' own bootstrap; the event says what it does."""
    own = {"concurrency", "reserved_concurrency", "url", "routes", "freeze", "description"}
    ours = {key: fields.pop(key) for key in own & fields.keys()}
    return DevFunction(settings(name=name, **fields), **ours)


@attrs.define(eq=False)
class Served:
    """A server, a client of it, and what it has reported."""

    server: DevServer
    http: httpx.AsyncClient
    log: "Log"

    async def invoke(
        self, body: bytes = b"{}", name: str = "function", query: str = "", **headers: str
    ) -> httpx.Response:
        """Invoke a function; names of headers are written with `_` for `-`."""
        lines = {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"{self.server.url}/2015-03-31/functions/{name}/invocations{query}"
        return await self.http.post(url, content=body, headers=lines)


@attrs.define(eq=False)
class Log:
    """The lines of the functions' logs."""

    lines: list[str] = attrs.field(factory=list[str])
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def report(self, what: object) -> None:
        if isinstance(what, LogLine):
            self.lines.append(what.text)
            self._changed.set()
            self._changed = trio.Event()

    async def wait_for(self, found: Callable[[str], bool]) -> str:
        """Wait for a line and return it."""
        while not (lines := [line for line in self.lines if found(line)]):
            await self._changed.wait()
        return lines[0]


@asynccontextmanager
async def serve_functions(
    functions: Sequence[DevFunction] | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Serve functions on a free port in this trio run."""
    log = Log()
    options = {"port": 0, "report": log.report, **options}
    with trio.fail_after(HANG):
        async with (
            open_dev_server(functions or [dev_function()], DevServerOptions(**options)) as server,
            httpx.AsyncClient(trust_env=False, timeout=HANG) as http,
        ):
            yield Served(server, http, log)
