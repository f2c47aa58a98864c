"""`okibi dev`'s server: the sandboxes, the event queue and one port for all calls."""

import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import anycorn
import attrs
import trio

from ..invocation import Invocation
from ..listeners import LOOPBACK, open_listeners
from ..local_lambda import LocalLambda, open_local_lambda
from .application import DevApplication
from .asynchronous.event_queue import (
    DEFAULT_RETRY_DELAY,
    EventQueue,
    QueueReport,
    open_event_queue,
)
from .dev_function import DevFunction
from .http.http_front import HttpFront
from .invocation_events import DevEvent, LogLine
from .lambda_api.api import LambdaApi
from .lambda_api.functions import FunctionList
from .lambda_api.invoke import Invoker

__all__ = ["DEFAULT_PORT", "DevServer", "DevServerOptions", "open_dev_server"]

DEFAULT_PORT = 9000

BACKLOG = 1024
"""Connections that may wait to be accepted."""

MAX_HEADER_SIZE = 64 * 1024
"""Bytes of a request's line and headers."""

IDLE_LIMIT = 60.0
"""Seconds for which a connection without a request stays open."""

STOP_LIMIT = 1.0
"""Seconds that requests in progress have at the end of the server."""

_logger = logging.getLogger("okibi.dev")


# anycorn's types spell out each message of ASGI.
_serve: Any = cast(Any, anycorn).serve


def _ignore(*_: object) -> None:
    return


@attrs.frozen
class DevServerOptions:
    """How functions are served.

    Args:
        port: the port; 0 picks a free one.
        host: the address or host name to listen on.
        allowed_hosts: host names that clients may use, besides `localhost`, `*.localhost` and
            loopback addresses. Beyond loopback, every IP address is allowed too.
        data: the folder that keeps asynchronous events; None keeps them in memory.
        retry_delay: seconds before the first retry of an asynchronous event.
        report: called with what happens to the functions and to queued events, log lines included.

    Example:
        DevServerOptions(port=0, data=Path("events"))
    """

    port: int = DEFAULT_PORT
    host: str = LOOPBACK
    allowed_hosts: Collection[str] = ()
    data: Path | None = None
    retry_delay: float = DEFAULT_RETRY_DELAY
    report: Callable[[DevEvent | QueueReport], None] = _ignore


@attrs.define(eq=False)
class DevServer:
    """Functions served on this machine. Created by `open_dev_server`."""

    url: str
    """The address of the server, such as `http://127.0.0.1:9000`: boto3's `endpoint_url`."""
    pools: Mapping[str, Any]
    """The sandboxes of each function, by the function's name."""
    queue: EventQueue
    """The asynchronous events."""

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self.url.rpartition(":")[2])

    def invoke_url(self, name: str) -> str:
        """Return the URL to POST events of a function to (Lambda Invoke)."""
        return f"{self.url}/2015-03-31/functions/{name}/invocations"

    def function_url(self, name: str) -> str:
        """Return the address of a function's URL."""
        return f"{self.url}/lambda-url/{name}/"


@asynccontextmanager
async def open_dev_server(
    functions: Sequence[DevFunction], options: DevServerOptions | None = None
) -> AsyncGenerator[DevServer]:
    """Serve functions on this machine until the block ends.

    One port serves Lambda's API, the function URLs and the routes. At the end of the block,
    requests in progress have 1 s. Then all sandboxes end.

    Args:
        functions: the functions, each with a name of its own.
        options: how they are served.

    Raises:
        OSError: the port is in use, or `host` is no address of this machine.
        ValueError: two functions have the same name, or there is no function.

    Example:
        async with open_dev_server([DevFunction(FunctionSettings("app.function"))]) as server:
            print(server.url)
    """
    options = options or DevServerOptions()
    names = [function.name for function in functions]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"functions must be one or more with different names, got {names}")
    listeners = await open_listeners(options.port, host=options.host, backlog=BACKLOG)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        pools = {
            function.name: await stack.enter_async_context(_open_pool(function, options))
            for function in functions
        }
        queue = await stack.enter_async_context(
            open_event_queue(
                pools.values(),
                data=options.data,
                retry_delay=options.retry_delay,
                report=options.report,
            )
        )
        host, port = listeners[0].socket.getsockname()[:2]
        application = _build_application(functions, pools, queue, options, _is_loopback(host))
        async with trio.open_nursery() as nursery:
            config = _configure(listeners)
            for listener in listeners:
                await listener.aclose()
            stopping = trio.Event()
            serve = partial(
                _serve,
                application,
                config,
                shutdown_trigger=stopping.wait,
                mode="asgi",
            )
            await nursery.start(serve)
            address = f"[{host}]" if ":" in host else host
            try:
                yield DevServer(f"http://{address}:{port}", pools, queue)
            except Exception as error:
                # Raise the error of the caller's block itself, not in a group.
                failure = error
            stopping.set()
    if failure is not None:
        raise failure


def _build_application(
    functions: Sequence[DevFunction],
    pools: Mapping[str, Any],
    queue: EventQueue,
    options: DevServerOptions,
    loopback: bool,
) -> DevApplication:
    by_name = {function.name: function for function in functions}
    lambda_api = LambdaApi(Invoker(pools, queue.put), FunctionList(by_name, datetime.now(UTC)))
    allowed_hosts = frozenset(map(str.lower, options.allowed_hosts))
    return DevApplication(lambda_api, HttpFront(pools), allowed_hosts, any_address=not loopback)


def _configure(listeners: Sequence[trio.SocketListener]) -> anycorn.Config:
    config = anycorn.Config()
    # anycorn takes over copies of the sockets, and closes them.
    config.bind = [f"fd://{listener.socket.dup().detach()}" for listener in listeners]
    config.backlog = BACKLOG
    config.errorlog = _logger
    config.graceful_timeout = STOP_LIMIT
    config.h11_max_incomplete_size = MAX_HEADER_SIZE
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_LIMIT
    return config


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


@attrs.frozen
class _LocalLambdaPool:
    function: DevFunction
    local: LocalLambda

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        self.local.start_invocation(invocation, done)

    async def run_invocation(self, invocation: Invocation) -> Any:
        return await self.local.run_invocation(invocation)


@asynccontextmanager
async def _open_pool(function: DevFunction, options: DevServerOptions) -> AsyncGenerator[Any]:
    async with open_local_lambda(
        function.settings, output=lambda line: options.report(LogLine(function.name, line))
    ) as local:
        yield _LocalLambdaPool(function, local)
