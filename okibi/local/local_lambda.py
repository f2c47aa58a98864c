"""Lambda on this machine: the Runtime API, the Invoke path and the bootstrap's process, put
together.
"""

import errno
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from ..runtime.settings import ELSEWHERE, served_here
from .http_responses import encode_response, error_body
from .invocation import Invocation, InvokeResult, check_headers
from .invoke_path import PREFIX, SUFFIX, InvokePath
from .journal import Journal
from .orphan_killer import OrphanKiller
from .outcomes import InvocationOutcome
from .output import Output, to_stderr
from .peer_process import is_connected_from
from .processes import peak_memory
from .report_lines import end_lines, init_report_line, start_line
from .runtime_api import RuntimeApi
from .sandbox import GRACE, SandboxProcess, ShutdownResult
from .settings import FunctionSettings
from .socket_stream import linger
from .states import ApiError
from .streaming import ResponseStream

__all__ = ["LocalLambda", "open_local_lambda"]

LOOPBACK = "127.0.0.1"

NOT_OURS = ApiError(
    403,
    "AccessDenied",
    "The process that calls is not of the function's sandbox; to serve it all the same, give"
    " open_local_lambda any_process=True",
)


@attrs.define(eq=False)
class LocalLambda:
    """One function, served on this machine. `open_local_lambda` makes it."""

    settings: FunctionSettings
    runtime_api: str
    """Host and port that the bootstrap calls."""
    invoke_url: str
    """Where to POST events."""
    _api: RuntimeApi
    _sandbox: SandboxProcess
    _output: Output
    _nursery: trio.Nursery
    _billed_start: int = attrs.field(default=0, init=False)
    """The process whose init phase has been put on an invocation's bill."""
    _peak: float | None = attrs.field(default=None, init=False)
    _report_written: trio.Event = attrs.field(factory=trio.Event, init=False)

    @property
    def starts(self) -> int:
        """How many times the bootstrap has been started."""
        return self._sandbox.starts

    @property
    def pid(self) -> int | None:
        """The bootstrap's process, while it lives."""
        return self._sandbox.pid

    @property
    def journal(self) -> Journal:
        """What has happened between the platform and the runtime."""
        return self._api.journal

    async def invoke(self, payload: bytes, *, client_context: str | None = None) -> InvokeResult:
        """Invoke the function and wait for the answer (Lambda Invoke).

        Who stops waiting stops nothing: the function goes on, as in Lambda.

        Args:
            payload: the event.
            client_context: JSON text, as the function's context is to show it.

        Raises:
            ValueError: the context has a character that no HTTP header can carry.
        """
        invocation = Invocation(payload, self.settings.timeout)
        invocation.client_context = client_context or ""
        self.start_invocation(invocation, done := trio.Event())
        await done.wait()
        return invocation.result()

    def stream(self, payload: bytes, *, client_context: str | None = None) -> ResponseStream:
        """Invoke the function and read its answer while it is written (Lambda
        InvokeWithResponseStream): `async with function.stream(event) as answer`.

        Args:
            payload: the event.
            client_context: JSON text, as the function's context is to show it.

        Raises:
            ValueError: the context has a character that no HTTP header can carry.
        """
        invocation = Invocation(payload, self.settings.timeout)
        invocation.client_context = client_context or ""
        answer = ResponseStream(invocation)
        self.start_invocation(invocation)
        return answer

    def freeze(self) -> None:
        """Stop the function's processes (SIGSTOP), as Lambda does while nothing is there for them.
        The next event thaws them.
        """
        self._sandbox.freeze()

    def thaw(self) -> None:
        """Let them go on (SIGCONT)."""
        self._sandbox.thaw()

    @property
    def frozen(self) -> bool:
        """Whether they are stopped."""
        return self._sandbox.frozen

    async def shut_down(self) -> ShutdownResult:
        """End the sandbox as Lambda does when it needs it no more, and wait until it is dead: with
        an extension SIGTERM, and SIGKILL 300 ms later; SIGKILL at once with none. The next invoke
        starts a new one.

        Raises:
            RuntimeError: no process lives.
        """
        if self._sandbox.pid is None:
            raise RuntimeError("no process lives to be shut down: invoke the function first")
        self._sandbox.end()
        return await self._sandbox.wait_ended()

    async def wait_for_report(self) -> None:
        """Wait until the function is through with what it has, and its REPORT is written.

        An answer is there before that: the runtime may have something to do between its answer and
        its next /next. Its deadline ends this wait too.
        """
        current = self._api.current
        if current is None:
            return
        with trio.CancelScope(deadline=current.begun_at + current.timeout):
            await self._report_written.wait()

    # -- carrying out

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Carry out an invocation that nobody waits for; `done` is set at its end.

        Raises:
            ValueError: it has a character that no HTTP header can carry.
        """
        check_headers(invocation)

        async def run_invocation() -> None:
            await self.run_invocation(invocation)
            if done is not None:
                done.set()

        self._nursery.start_soon(run_invocation)

    async def run_invocation(self, invocation: Invocation) -> InvokeResult:
        """`invoke` for an invocation of one's own making; cancelled, it takes the sandbox along."""
        await self._api.run_invocation(invocation)
        if invocation.log is not None and math.isnan(invocation.begun_at):
            # The runtime has failed before it came: what it has logged tells why.
            invocation.log = self._output.recent
        return invocation.result()

    async def serve_sandbox_connection(self, stream: trio.SocketStream) -> None:
        """Serve a connection to the Runtime API if a process of the sandbox has opened it."""
        # Until the process is known, one of it may have come already.
        await self._sandbox.started.wait()
        pid = self._sandbox.pid
        try:
            ends = stream.socket.getsockname(), stream.socket.getpeername()
        except OSError:
            # It has been reset meanwhile.
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

    # -- what the Runtime API tells

    def install_hooks(self, *, freeze: bool) -> None:
        """Join the Runtime API and the sandbox."""
        self._api.function_arn = self.settings.arn
        self._api.timeout = self.settings.timeout
        self._api.on_begin = self._on_begin
        self._api.on_end = self._on_end
        self._api.on_init_error = self._on_init_error
        self._api.on_process_needed = self._sandbox.request_process
        self._api.on_kill = self._sandbox.end
        extensions = self._api.extensions
        extensions.function_name = self.settings.name
        extensions.handler = self.settings.handler
        extensions.function_arn = self.settings.arn
        if freeze:
            self._api.on_idle = self._sandbox.freeze

    def _on_begin(self, invocation: Invocation) -> None:
        self._sandbox.thaw()
        if self._billed_start != self._sandbox.starts:
            self._billed_start = self._sandbox.starts
            invocation.init_ms = (self._api.initialised_at - self._sandbox.started_at) * 1000
        self._sample_memory()
        if invocation.log is not None:
            self._output.drain()
            self._output.tails.append(invocation.log)
        self._output.write(start_line(invocation))

    def _on_end(self, invocation: Invocation) -> None:
        self._sample_memory()
        done, self._report_written = self._report_written, trio.Event()
        done.set()
        # Of many in flight what lacks an end may be another's half a line.
        alone = self.settings.max_concurrency is None
        for line in end_lines(invocation, memory=self.settings.memory, peak=self._peak):
            self._output.write(line, ends=alone)
        if invocation.log is not None:
            self._output.tails.remove(invocation.log)
            invocation.log.complete.set()

    def _on_init_error(self, error: InvocationOutcome) -> None:
        # Of many slots none may have come yet.
        took = (trio.current_time() - self._sandbox.started_at) * 1000
        self._output.write(init_report_line(took, error))

    def _sample_memory(self) -> None:
        # A process that has died in the middle cannot be asked: what it had before stands.
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
    api: RuntimeApi | None = None,
    freeze: bool = False,
    grace: float = GRACE,
    any_process: bool = False,
    allowed_hosts: Collection[str] = (),
    kill_orphans: bool = False,
) -> AsyncGenerator[LocalLambda]:
    """Serve a function on this machine while the block lasts; on loopback only.

    No web page may call: a request with a foreign Host, a foreign Origin, or two Hosts is refused.
    On Linux only the bootstrap, the processes of its session and those below it may call the
    Runtime API: another program would take an event that was meant for the function, or answer its
    invoker. Elsewhere the system does not tell who calls.

    The bootstrap starts at once, as with provisioned concurrency. It ends at the function's
    time-out and when the block is left: killed at once, or, where it has registered an extension,
    asked with SIGTERM and killed 300 ms later. A new one starts with the next invoke. When the
    block is left, however it is left, no process remains.

    Args:
        settings: of the function.
        runtime_port: for the Runtime API; 0 takes a free one.
        invoke_port: for invokers; 0 takes a free one.
        output: takes each line that the function's process writes to stdout and stderr, and each
            line of Lambda's (START, END, REPORT); by default each is printed to this process's
            stderr. A line beyond 256 KB comes in pieces, as in CloudWatch Logs.
        api: the Runtime API, for who wants it other than Lambda's; its hooks, ARN, time-out and
            allowed hosts are set here.
        freeze: stop the function's processes whenever it waits and nothing is there for it, as
            Lambda does; not with `max_concurrency`, where Lambda does not.
        grace: seconds between SIGTERM and SIGKILL for one with an extension; Lambda's by default.
        any_process: let any process of this machine call the Runtime API, as for a runtime that an
            IDE or a container has started.
        allowed_hosts: names of this machine by which both servers may be called, besides
            `localhost`, `*.localhost` and its loopback addresses, as `host.docker.internal`.
        kill_orphans: start a small process beside it, which kills the function's processes if this
            process is killed (SIGKILL). Without it they end within some 20 s then.

    Raises:
        OSError: a port is taken, or the bootstrap cannot be started, as on Windows.
        ValueError: the settings and the api do not agree about `max_concurrency`.
    """
    if not served_here():
        raise OSError(ELSEWHERE)
    api = _check_api(settings, api)
    runtime_listeners = await _listen(runtime_port, "runtime_port")
    invoke_listeners = await _listen(invoke_port, "invoke_port")
    runtime_api = _address(runtime_listeners)
    failure: Exception | None = None
    orphan_killer = OrphanKiller() if kill_orphans else None
    lines = Output(output or to_stderr)
    try:
        async with trio.open_nursery() as nursery:
            sandbox = SandboxProcess(settings, api, runtime_api, lines, grace, orphan_killer)
            url = f"http://{_address(invoke_listeners)}{PREFIX}{settings.name}{SUFFIX}"
            function = LocalLambda(settings, runtime_api, url, api, sandbox, lines, nursery)
            function.install_hooks(freeze=freeze)
            api.allowed_hosts = names = frozenset(map(str.lower, allowed_hosts))
            invokers = InvokePath(
                settings, function.run_invocation, function.start_invocation, names
            )
            serve = api.serve_connection if any_process else function.serve_sandbox_connection
            nursery.start_soon(_serve_until, sandbox.finished, serve, runtime_listeners)
            nursery.start_soon(trio.serve_listeners, invokers.serve_connection, invoke_listeners)
            nursery.start_soon(lines.pump)
            nursery.start_soon(sandbox.run)
            try:
                yield function
            except Exception as error:
                # Its own error is what the caller's block raises, not a group around it.
                failure = error
            sandbox.end()
            if sandbox.pid is not None:
                # Its connections serve until it is dead: what it has in flight may be answered.
                await sandbox.wait_ended()
            nursery.cancel_scope.cancel()
    finally:
        lines.close()
        if orphan_killer is not None:
            orphan_killer.dismiss()
    if failure is not None:
        raise failure


def _check_api(settings: FunctionSettings, api: RuntimeApi | None) -> RuntimeApi:
    if api is None:
        return RuntimeApi(max_concurrency=settings.max_concurrency)
    if api.max_concurrency != settings.max_concurrency:
        raise ValueError(
            f"max_concurrency: {settings.max_concurrency} in the settings, {api.max_concurrency} in"
            " the api; give both the same"
        )
    return api


async def _serve_until(
    gone: trio.Event,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    listeners: list[trio.SocketListener],
) -> None:
    """Serve the sandbox's connections; a block that is cancelled leaves them till it is dead."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        await gone.wait()
        nursery.cancel_scope.cancel()


async def _listen(port: int, name: str) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=LOOPBACK)
    except OSError as error:
        reason = "it is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(
            error.errno, f"{name}: port {port} of {LOOPBACK} cannot be opened: {reason}"
        ) from error


def _address(listeners: list[trio.SocketListener]) -> str:
    host, port = listeners[0].socket.getsockname()
    return f"{host}:{port}"
