"""Lambda on this machine: the Runtime API, the Invoke API and the bootstrap's process together."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from ..runtime.settings import UNSUPPORTED_SYSTEM, is_supported_system
from .background_nursery import open_background_nursery
from .invoke_api.lambda_operations import invoke_path
from .invoke_api.operations import InvokeApi
from .invoke_api.port import InvokePort
from .platform.hooks import RuntimeApiHooks
from .platform.invocation import Invocation, InvokeResult, check_headers
from .platform.journal import Journal
from .platform.outcomes import InvocationOutcome
from .platform.report_lines import end_lines, init_report_line, restore_report_line, start_line
from .platform.states import ApiError
from .platform.streaming import ResponseStream
from .sandbox.orphan_killer import OrphanKiller
from .sandbox.output import Output, to_stderr
from .sandbox.peer_process import is_connected_from
from .sandbox.processes import peak_memory
from .sandbox.sandbox import GRACE, SandboxOptions, SandboxProcess, ShutdownResult
from .server.http_responses import encode_response, error_body
from .server.listeners import open_listeners
from .server.runtime_api import RuntimeApi, RuntimeApiOptions
from .server.socket_stream import linger
from .settings import FunctionSettings

NOT_OURS = ApiError(
    403,
    "AccessDenied",
    "The calling process does not belong to the function's sandbox; pass any_process=True to"
    " open_local_lambda to serve any process",
)


@attrs.define(eq=False)
class LocalLambda:
    """One function in one sandbox, on this machine. Created by `open_local_lambda`."""

    settings: FunctionSettings
    # Host and port of the Runtime API.
    runtime_api: str
    _options: SandboxOptions
    _output: Output
    _nursery: trio.Nursery
    # The URL to POST events to; "" without a listener for invokers.
    invoke_url: str = attrs.field(default="", init=False)
    _api: RuntimeApi = attrs.field(init=False)
    _sandbox: SandboxProcess = attrs.field(init=False)
    # The number of the start whose init phase an invocation has reported.
    _billed_start: int = attrs.field(default=0, init=False)
    # Milliseconds of the last restore, until an invocation has reported them.
    _restore_ms: float | None = attrs.field(default=None, init=False)
    _peak: float | None = attrs.field(default=None, init=False)
    _report_written: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        settings, options = self.settings, self._options
        freeze = options.freeze and settings.max_concurrency is None
        hooks = RuntimeApiHooks(
            on_begin=self._on_begin,
            on_end=self._on_end,
            on_init_error=self._on_init_error,
            on_process_needed=self.start,
            on_idle=self._freeze_and_report if freeze else options.hooks.on_idle,
            on_kill=lambda: self._sandbox.end(),
            on_snapshot=self._on_snapshot,
            on_restore=self.thaw,
            on_restored=self._on_restored,
        )
        self._api = RuntimeApi(settings, options.api, hooks, options.allowed_hosts)
        self._sandbox = SandboxProcess(settings, self._api, self.runtime_api, self._output, options)

    @property
    def starts(self) -> int:
        """The number of times the bootstrap has been started."""
        return self._sandbox.starts

    @property
    def pid(self) -> int | None:
        """The process id of the bootstrap, or None."""
        return self._sandbox.pid

    @property
    def journal(self) -> Journal:
        """The journal of what has happened between platform and runtime."""
        return self._api.journal

    async def invoke(self, payload: bytes, *, client_context: str | None = None) -> InvokeResult:
        """Invoke the function and wait for the result (Lambda Invoke).

        Cancelling the wait does not stop the function, as in Lambda.

        Args:
            payload: the event, as bytes of JSON.
            client_context: JSON text for the function's context.

        Raises:
            TypeError: the payload is not bytes.
            ValueError: the client context contains a character that an HTTP header cannot carry.
        """
        invocation = Invocation(payload, self.settings.timeout)
        invocation.client_context = client_context or ""
        self.start_invocation(invocation, done := trio.Event())
        await done.wait()
        return invocation.result()

    def stream(self, payload: bytes, *, client_context: str | None = None) -> ResponseStream:
        """Invoke the function and read the response while the function writes it.

        Use it as `async with function.stream(event) as response` (Lambda InvokeWithResponseStream).

        Args:
            payload: the event.
            client_context: JSON text for the function's context.

        Raises:
            ValueError: the client context contains a character that an HTTP header cannot carry.
        """
        invocation = Invocation(payload, self.settings.timeout)
        invocation.client_context = client_context or ""
        answer = ResponseStream(invocation)
        self.start_invocation(invocation)
        return answer

    def freeze(self) -> None:
        """Stop the function's processes (SIGSTOP), as Lambda does when they are idle.

        The next event continues them.
        """
        self._sandbox.freeze()

    def start(self) -> None:
        """Start the bootstrap, unless it is running."""
        self._sandbox.request_process()

    async def wait_initialised(self) -> None:
        """Wait for the end of the init phase: the first /next, or an init error."""
        await self._api.wait_initialised()

    @property
    def last_init_ms(self) -> float:
        """Milliseconds of the init phase of this process; NaN before its end."""
        return self._init_ms()

    @property
    def free_slots(self) -> int:
        """In multi-concurrency, the number of events that the runtime takes at once."""
        return self._api.free_slots

    def thaw(self) -> None:
        """Continue the function's processes (SIGCONT)."""
        self._sandbox.thaw()

    @property
    def frozen(self) -> bool:
        """Whether the function's processes are stopped."""
        return self._sandbox.frozen

    async def shut_down(self) -> ShutdownResult:
        """End the sandbox as Lambda does, and wait until the process is dead.

        With an extension: SIGTERM, then SIGKILL after 300 ms. Without: SIGKILL at once. The next
        invoke starts a new process.

        Raises:
            RuntimeError: no process is running.
        """
        if self._sandbox.pid is None:
            raise RuntimeError("no process is running; invoke the function first")
        self._sandbox.end()
        return await self._sandbox.wait_ended()

    async def wait_for_report(self) -> None:
        """Wait until the current invocation has ended and its REPORT is written.

        The wait ends at the deadline at the latest. The result comes earlier: the runtime may
        still work between its response and its next /next.
        """
        current = self._api.current
        if current is None:
            return
        with trio.CancelScope(deadline=current.begun_at + current.timeout):
            await self._report_written.wait()

    # -- running invocations

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` at the end.

        Raises:
            ValueError: a field contains a character that an HTTP header cannot carry.
        """
        check_headers(invocation)

        async def run_invocation() -> None:
            await self.run_invocation(invocation)
            if done is not None:
                done.set()

        self._nursery.start_soon(run_invocation)

    async def run_invocation(self, invocation: Invocation) -> InvokeResult:
        """Run an invocation and return the result. Cancelling it ends the sandbox."""
        await self._api.run_invocation(invocation)
        if invocation.log is not None and math.isnan(invocation.begun_at):
            # The runtime failed before it asked for an event; its log tells why.
            invocation.log = self._output.recent
        return invocation.result()

    async def serve_sandbox_connection(self, stream: trio.SocketStream) -> None:
        """Serve a connection to the Runtime API if a process of the sandbox opened it."""
        # The process may connect before its id is known here.
        await self._sandbox.started.wait()
        pid = self._sandbox.pid
        try:
            ends = stream.socket.getsockname(), stream.socket.getpeername()
        except OSError:
            # The connection has been reset.
            return
        if pid is not None and is_connected_from(pid, *ends):
            await self._api.serve_connection(stream)
            return
        try:
            await stream.send_all(
                b"".join(encode_response(403, error_body(NOT_OURS), keep_alive=False))
            )
        except trio.BrokenResourceError:
            return
        await linger(stream)

    # -- hooks of the Runtime API

    def _freeze_and_report(self) -> None:
        self._sandbox.freeze()
        self._options.hooks.on_idle()

    def _on_begin(self, invocation: Invocation) -> None:
        self._sandbox.thaw()
        if self._billed_start != self._sandbox.starts:
            self._billed_start = self._sandbox.starts
            invocation.restore_ms, self._restore_ms = self._restore_ms, None
            if invocation.restore_ms is None:
                invocation.init_ms = self._init_ms()
        self._sample_memory()
        if invocation.log is not None:
            self._output.drain()
            self._output.tails.append(invocation.log)
        self._output.write(start_line(invocation))

    def _on_end(self, invocation: Invocation) -> None:
        self._sample_memory()
        done, self._report_written = self._report_written, trio.Event()
        done.set()
        # With many events in flight, an unfinished line may belong to another invocation.
        alone = self.settings.max_concurrency is None
        for line in end_lines(invocation, memory=self.settings.memory, peak=self._peak):
            self._output.write(line, ends=alone)
        if invocation.log is not None:
            self._output.tails.remove(invocation.log)
            invocation.log.complete.set()
        self._options.hooks.on_end(invocation, self._peak)

    def _on_init_error(self, error: InvocationOutcome) -> None:
        # With multi-concurrency, no slot may have been opened yet.
        took = (trio.current_time() - self._sandbox.started_at) * 1000
        self._output.write(init_report_line(took, error))
        self._options.hooks.on_init_failed(error, took)

    def _on_snapshot(self) -> None:
        self._output.write(init_report_line(self._init_ms(), None))
        self._sandbox.freeze()

    def _on_restored(self, seconds: float, error: InvocationOutcome | None) -> None:
        self._restore_ms = None if error is not None else seconds * 1000
        self._output.write(restore_report_line(seconds * 1000, error))

    def _init_ms(self) -> float:
        return (self._api.initialised_at - self._sandbox.started_at) * 1000

    def _sample_memory(self) -> None:
        # A dead process has no memory to read; keep the last value.
        if self._sandbox.pid is not None:
            with suppress(OSError, ValueError):
                self._peak = peak_memory(self._sandbox.pid) / 2**20


@asynccontextmanager
async def open_local_lambda(
    settings: FunctionSettings,
    *,
    runtime_port: int = 0,
    invoke_port: int = 0,
    output: Callable[[str], None] | None = None,
    api: RuntimeApiOptions | None = None,
    freeze: bool = False,
    grace: float = GRACE,
    any_process: bool = False,
    allowed_hosts: Collection[str] = (),
    kill_orphans: bool = False,
) -> AsyncGenerator[LocalLambda]:
    """Serve a function on this machine, on loopback only, until the block ends.

    The bootstrap starts at once, as with provisioned concurrency. It ends when an invocation times
    out and when the block ends: with an extension by SIGTERM, then SIGKILL after 300 ms; otherwise
    by SIGKILL. The next invoke starts a new process. No process remains after the block.

    Requests of web pages are refused. On Linux, only the bootstrap, the processes of its session
    and their descendants may call the Runtime API. Another program could otherwise take an event or
    answer an invoker. Other systems do not tell who calls.

    Args:
        settings: the settings of the function.
        runtime_port: port of the Runtime API; 0 picks a free one.
        invoke_port: port for invokers; 0 picks a free one.
        output: called with each line that the function's process writes to stdout and stderr, and
            with Lambda's lines (START, END, REPORT). The default prints to stderr. A line longer
            than 256 KB comes in pieces, as in CloudWatch Logs.
        api: the options of the Runtime API. Default: the behaviour of Lambda.
        freeze: stop the function's processes while they are idle, as Lambda does. Not with
            `max_concurrency`, where Lambda does not.
        grace: seconds between SIGTERM and SIGKILL for a sandbox with an extension.
        any_process: let every process of this machine call the Runtime API, for a runtime started
            by an IDE or in a container.
        allowed_hosts: host names that callers of both servers may use, besides `localhost`,
            `*.localhost` and loopback addresses. Example: `host.docker.internal`.
        kill_orphans: start a helper process that kills the function's processes if this process is
            killed (SIGKILL). Without the helper they end within about 20 s.

    Raises:
        OSError: a port is in use, or the bootstrap cannot be started, as on Windows.

    Example:
        async with open_local_lambda(FunctionSettings("app.function")) as function:
            result = await function.invoke(b'{"name": "bob"}')
    """
    orphan_killer = OrphanKiller() if kill_orphans else None
    names = frozenset(map(str.lower, allowed_hosts))
    options = SandboxOptions(
        output=output or to_stderr,
        runtime_port=runtime_port,
        freeze=freeze,
        grace=grace,
        any_process=any_process,
        allowed_hosts=names,
        orphan_killer=orphan_killer,
        api=api or RuntimeApiOptions(),
    )

    try:
        async with (
            # The invokers are served until the function has ended: it may answer until then.
            open_background_nursery() as nursery,
            open_sandbox(settings, options) as function,
        ):
            listeners = await open_listeners(invoke_port, name="invoke_port")

            async def enqueue(_: str, invocation: Invocation) -> None:
                function.start_invocation(invocation)

            function.invoke_url = f"http://{_address(listeners)}{invoke_path(settings.name)}"
            invokers = InvokePort(InvokeApi({settings.name: function}, enqueue), names)
            nursery.start_soon(trio.serve_listeners, invokers.serve_connection, listeners)
            function.start()
            yield function
    finally:
        if orphan_killer is not None:
            orphan_killer.dismiss()


@asynccontextmanager
async def open_sandbox(
    settings: FunctionSettings, options: SandboxOptions
) -> AsyncGenerator[LocalLambda]:
    """Open one sandbox of a function, without a port for invokers, until the block ends.

    The bootstrap starts with `LocalLambda.start`, or with the first invocation.

    Args:
        settings: the settings of the function.
        options: the options of the sandbox.

    Raises:
        OSError: the port is in use, or this system is not supported.
    """
    if not is_supported_system():
        raise OSError(UNSUPPORTED_SYSTEM)
    listeners = await open_listeners(options.runtime_port, name="runtime_port")
    lines = Output(options.output)
    try:
        async with open_background_nursery() as nursery:
            function = LocalLambda(settings, _address(listeners), options, lines, nursery)
            sandbox = function._sandbox
            serve = function.serve_sandbox_connection
            if options.any_process:
                serve = function._api.serve_connection
            nursery.start_soon(_serve_until, sandbox.finished, serve, listeners)
            nursery.start_soon(lines.pump)
            nursery.start_soon(sandbox.run)
            try:
                yield function
            finally:
                sandbox.end()
                if sandbox.pid is not None:
                    # Serve the connections until the process is dead: events in flight may still be
                    # answered.
                    await sandbox.wait_ended()
    finally:
        lines.close()


async def _serve_until(
    finished: trio.Event,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    listeners: list[trio.SocketListener],
) -> None:
    """Serve the sandbox's connections until its process is dead, even if the block is cancelled."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        await finished.wait()
        nursery.cancel_scope.cancel()


def _address(listeners: list[trio.SocketListener]) -> str:
    host, port = listeners[0].socket.getsockname()
    return f"{host}:{port}"
