"""`okibi dev`'s server: the sandboxes, the event queue and one port for all calls."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio

from ..local.background_nursery import open_background_nursery
from ..local.invoke_api.lambda_operations import invoke_path
from ..local.invoke_api.operations import InvokeApi
from ..local.platform.hooks import ignore
from ..local.sandbox.orphan_killer import OrphanKiller
from ..local.server.listeners import LOOPBACK, open_listeners
from .application import DevApplication
from .asynchronous.event_queue import DEFAULT_RETRY_DELAY, EventQueue, open_event_queue
from .asynchronous.failure_file import find_data_folder
from .asynchronous.queue_reports import QueueReport
from .dev_function import DevFunction
from .http.http_front import HttpFront
from .http_reports import HttpReport
from .invocation_events import DevEvent
from .lambda_api.api import LambdaApi
from .lambda_api.functions import FunctionList
from .live_trees import LiveTrees
from .sandbox_pool import SandboxPool, open_sandbox_pool
from .sandbox_settings import list_variables
from .scheduler import Scheduler
from .scheduler_api import SchedulerApi

DEFAULT_PORT = 9000

# Where a program on this machine reaches a server that listens on all addresses.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}

# Connections that may wait to be accepted.
BACKLOG = 1024


@attrs.frozen
class DevServerOptions:
    """The options of the server of `okibi dev`.

    Args:
        port: the port; 0 picks a free one.
        host: the address or host name to listen on.
        allowed_hosts: host names that clients may use, besides `localhost`, `*.localhost` and
            loopback addresses. Beyond loopback, every IP address is allowed too.
        data: the folder that keeps asynchronous events; None keeps them in memory. Entities and
            their alarms are kept there, too; for None, in `.okibi` of the current folder.
        retry_delay: seconds before the first retry of an asynchronous event.
        report: called with each report about the functions, queued events and HTTP requests, log
            lines included.
        temporary: a folder to remove if this process is killed; None for none.

    Example:
        DevServerOptions(port=0, data=Path("events"))
    """

    port: int = DEFAULT_PORT
    host: str = LOOPBACK
    allowed_hosts: Collection[str] = ()
    data: Path | None = None
    retry_delay: float = DEFAULT_RETRY_DELAY
    report: Callable[[DevEvent | QueueReport | HttpReport], None] = ignore
    temporary: Path | None = None


@attrs.define(eq=False)
class DevServer:
    """Functions served on this machine. Created by `open_dev_server`."""

    # The address of the server, such as `http://127.0.0.1:9000`: boto3's `endpoint_url`.
    url: str
    # The sandboxes of each function, by the function's name.
    pools: Mapping[str, SandboxPool]
    # The asynchronous events.
    queue: EventQueue

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self.url.rpartition(":")[2])

    def invoke_url(self, name: str) -> str:
        """Return the URL to POST events of a function to (Lambda Invoke)."""
        return self.url + invoke_path(name)

    def function_url(self, name: str) -> str:
        """Return the address of a function's URL."""
        return f"{self.url}/lambda-url/{name}/"


@asynccontextmanager
async def open_dev_server(
    functions: Sequence[DevFunction], options: DevServerOptions | None = None
) -> AsyncGenerator[DevServer]:
    """Serve functions on this machine until the block ends.

    The schedules of the functions are not run: see `Scheduler`. Those that the functions create
    are.

    One port serves the APIs of Lambda and EventBridge Scheduler, the function URLs and the routes.
    At the end of the block, requests in progress have 0.3 s. Then all sandboxes end.

    Args:
        functions: the functions, each with a name of its own.
        options: the options of the server.

    Raises:
        EventFileError: a file in the data folder is damaged.
        OSError: the port is in use, or `host` is no address of this machine.
        ValueError: there is no function, or two have the same name or the same route.

    Example:
        async with open_dev_server([DevFunction(FunctionSettings("app.function"))]) as server:
            print(server.url)
    """
    options = options or DevServerOptions()
    names = [function.name for function in functions]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"functions must be one or more with different names, got {names}")
    listeners = await open_listeners(options.port, host=options.host, backlog=BACKLOG)
    address: tuple[str, int] = listeners[0].socket.getsockname()[:2]
    host, port = address
    async with AsyncExitStack() as stack:
        for listener in listeners:
            stack.push_async_callback(listener.aclose)
        orphan_killer = OrphanKiller()
        stack.callback(orphan_killer.dismiss)
        if options.temporary is not None:
            orphan_killer.add_folder(options.temporary)
        url, folder = _make_url(_LOCAL.get(host, host), port), find_data_folder(options.data)
        pools = dict[str, SandboxPool]()
        for function in functions:
            pools[function.name] = await stack.enter_async_context(
                open_sandbox_pool(
                    function,
                    report=options.report,
                    orphan_killer=orphan_killer,
                    variables=list_variables(url, folder, function.role),
                )
            )
        queue = await stack.enter_async_context(
            open_event_queue(
                pools.values(),
                data=options.data,
                retry_delay=options.retry_delay,
                report=options.report,
            )
        )
        # The sandboxes start during this import.
        serve_application = await trio.to_thread.run_sync(_import_http_server)
        nursery = await stack.enter_async_context(open_background_nursery())
        schedules = SchedulerApi(
            pools, Scheduler((), queue.put), folder / "schedules", options.data is None, nursery
        )
        schedules.start()
        application = _build_application(pools, queue, schedules, options, _is_loopback(host))
        nursery.start_soon(serve_application, application, listeners)
        yield DevServer(_make_url(host, port), pools, queue)


def _make_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _import_http_server() -> Callable[..., Awaitable[None]]:
    """Import anycorn, which takes a fifth of the start."""
    from .http_server import serve_application

    return serve_application


def _build_application(
    pools: Mapping[str, SandboxPool],
    queue: EventQueue,
    schedules: SchedulerApi,
    options: DevServerOptions,
    loopback: bool,
) -> DevApplication:
    lambda_api = LambdaApi(InvokeApi(pools, queue.put), FunctionList(pools, datetime.now(UTC)))
    allowed_hosts = frozenset(map(str.lower, options.allowed_hosts))
    http = HttpFront(pools, options.report)
    trees = LiveTrees(pools)
    return DevApplication(
        lambda_api,
        http,
        allowed_hosts,
        any_address=not loopback,
        trees=trees,
        scheduler=schedules,
    )


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
