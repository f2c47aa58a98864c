"""The Runtime API for a runtime that runs under a debugger. No process is started here."""

import math
from collections.abc import Callable

import attrs
import trio

from ..local.platform.hooks import RuntimeApiHooks
from ..local.platform.invocation import Invocation
from ..local.platform.outcomes import InvocationOutcome, exited
from ..local.platform.report_lines import end_lines, start_line
from ..local.platform.states import RuntimeState
from ..local.server.runtime_api import RuntimeApi, RuntimeApiOptions
from .dev_function import DevFunction
from .invocation_events import (
    DevEvent,
    InitFailed,
    LogLine,
    SandboxEnded,
    SandboxStarted,
    invocation_finished,
    read_failure,
)
from .pool_rules import JOURNAL_LIMIT, count_places

# Seconds that an invocation may take under a debugger. Its milliseconds fit in 32 bits, in which
# some runtimes keep the time that is left.
ATTACHED_TIMEOUT = 7 * 86_400.0

# Seconds without a connection after which the runtime counts as ended. A runtime may close a
# connection and open another.
GRACE = 1.0


@attrs.define(eq=False)
class AttachedRuntime:
    """Serves one runtime at a time that the user starts; another may come after it has ended.

    No invocation times out. Every process of this machine may connect.

    Args:
        function: the function.
        listeners: the sockets for the runtime.
        report: receives what happens.
        on_change: called when the runtime may take an event again.
    """

    function: DevFunction
    listeners: list[trio.SocketListener]
    report: Callable[[DevEvent], None]
    on_change: Callable[[], None]

    current: set[Invocation] = attrs.field(factory=set[Invocation], init=False)
    initialised: bool = attrs.field(default=False, init=False)
    used_at: float = attrs.field(default=math.inf, init=False)
    # It is the only sandbox of its pool.
    number: int = attrs.field(default=1, init=False)
    retired: trio.Event = attrs.field(factory=trio.Event, init=False)
    _api: RuntimeApi = attrs.field(init=False)
    _connections: int = attrs.field(default=0, init=False)
    _disconnected: trio.Event = attrs.field(factory=trio.Event, init=False)
    _connected: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._api = RuntimeApi(
            # No process is stopped for a snapshot.
            attrs.evolve(self.function.settings, snap_start=False),
            # An event must not go to a runtime that has been stopped.
            RuntimeApiOptions(journal_limit=JOURNAL_LIMIT, swallow_abandoned=False),
            RuntimeApiHooks(
                on_begin=lambda invocation: self._write(invocation, start_line(invocation)),
                on_end=self._on_end,
                on_init_error=self._on_init_error,
                on_idle=self.on_change,
            ),
            allowed_hosts=(),
        )

    @property
    def address(self) -> str:
        """Host and port of the Runtime API."""
        host, port = self.listeners[0].socket.getsockname()
        return f"{host}:{port}"

    @property
    def places(self) -> int:
        """The number of events that the runtime takes now. Events wait for a runtime to connect."""
        return count_places(
            self.current,
            self.function.settings.max_concurrency,
            initialised=self.initialised,
            free_slots=self._api.free_slots,
        )

    @property
    def idle(self) -> bool:
        """Whether the runtime has no event."""
        return not self.current

    @property
    def next_expected_at(self) -> float:
        """-inf: there is only this sandbox."""
        return -math.inf

    def retire(self, reason: str) -> None:
        """Stop serving: the pool ends."""
        del reason
        self.retired.set()

    def drain(self, reason: str) -> None:
        """Do nothing: only the user ends the runtime."""

    async def run(self) -> None:
        """Serve runtimes until retired."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, self.listeners)
            nursery.start_soon(self._watch_runtimes)
            await self.retired.wait()
            self._api.sandbox_ended(lambda request_id: exited(request_id, 0))
            nursery.cancel_scope.cancel()

    async def run_invocation(self, invocation: Invocation) -> None:
        """Run an invocation that is in `current`; afterwards it has an outcome."""
        invocation.timeout = ATTACHED_TIMEOUT
        await self._api.run_invocation(invocation)
        if math.isnan(invocation.begun_at):
            self._report_end(invocation)
            self.current.discard(invocation)

    # -- connections

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._connections += 1
        self._connected.set()
        try:
            await self._api.serve_connection(stream)
        finally:
            self._connections -= 1
            if not self._connections:
                self._connected = trio.Event()
                self._disconnected.set()

    async def _watch_runtimes(self) -> None:
        """Report each runtime that comes, and forget it when it has ended."""
        while True:
            await self._connected.wait()
            self._disconnected = trio.Event()
            if not self._connections:
                continue
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_init)
                await self._wait_for_end()
                nursery.cancel_scope.cancel()
            self._forget_runtime()
            self.report(SandboxEnded(self.function.name, self.number, "disconnected"))

    async def _watch_init(self) -> None:
        if not self.initialised:
            await self._api.wait_initialised()
            if self._api.state is not RuntimeState.INIT_ERROR:
                self.initialised = True
                self.report(
                    SandboxStarted(self.function.name, self.number, math.nan, attached=True)
                )
                self.on_change()

    async def _wait_for_end(self) -> None:
        while True:
            await self._disconnected.wait()
            if self._api.state is RuntimeState.INIT_ERROR:
                return
            with trio.move_on_after(GRACE):
                await self._connected.wait()
            if not self._connections:
                return
            self._disconnected = trio.Event()

    def _forget_runtime(self) -> None:
        self.initialised = False
        # An event that came after the runtime's end waits for the next one.
        begun = any(not math.isnan(each.begun_at) for each in self.current)
        self._api.sandbox_ended((lambda request_id: exited(request_id, 0)) if begun else None)
        self._api.forget_init_error()
        self.on_change()

    # -- hooks of the Runtime API

    def _on_end(self, invocation: Invocation) -> None:
        for line in end_lines(invocation, memory=self.function.settings.memory, peak=None):
            self._write(invocation, line)
        if invocation.log is not None:
            invocation.log.complete.set()
        self._report_end(invocation)
        self.current.discard(invocation)
        self.on_change()

    def _on_init_error(self, error: InvocationOutcome) -> None:
        failure = read_failure(error, self.function.settings.task_root)
        self.report(InitFailed(self.function.name, self.number, failure, math.nan))

    def _report_end(self, invocation: Invocation) -> None:
        self.report(invocation_finished(self.function.settings, self.number, invocation, None))

    def _write(self, invocation: Invocation, line: str) -> None:
        if invocation.log is not None:
            invocation.log.add(line)
        self.report(LogLine(self.function.name, line))
