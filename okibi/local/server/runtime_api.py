"""The Runtime API on trio: connections of a runtime, waiting invokers, and time-outs."""

import math
import time
from collections.abc import Callable, Collection

import attrs
import trio

from ..platform.classic_mode import ClassicPlatform
from ..platform.extensions import Extensions
from ..platform.hooks import RuntimeApiHooks
from ..platform.invocation import Invocation, InvokeResult, check_headers, new_request_id
from ..platform.journal import EntryKind, Journal
from ..platform.multi_concurrency import MultiConcurrencyPlatform
from ..platform.outcomes import InvocationOutcome, extension_failed, timed_out
from ..platform.snap_start import RESTORE_LIMIT, SnapStartPlatform
from ..platform.states import RuntimeState
from ..platform.streaming import ResponseStream
from ..settings import FunctionSettings
from .connection import Connection
from .connection_writer import ConnectionWriter
from .faults import Fault, Faults, FaultyConnection
from .socket_stream import FastSocketStream, fast_stream, linger


@attrs.define(eq=False)
class _Invoker:
    """An invoker that waits for an outcome or for the deadline."""

    invocation: Invocation
    done: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class _OpenConnection:
    """A connection of the runtime or of an extension."""

    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    closed: trio.Event = attrs.field(factory=trio.Event)
    connection: Connection | None = None


@attrs.frozen
class RuntimeApiOptions:
    """The options of a Runtime API. The defaults are Lambda's; tests and benchmarks change them.

    Args:
        wall_clock: seconds since the epoch, for `Lambda-Runtime-Deadline-Ms`. Everything else uses
            trio's clock. A test with MockClock passes a matching clock.
        journal_limit: the number of entries that the journal keeps.
        swallow_abandoned: give an event to a /next with a broken connection, as Lambda does.
        keep_alive: False closes each connection after one response, unlike Lambda, to test a
            runtime against servers without pipelining.
        empty_headers: send an empty header for an absent context, as multi-concurrency does.
        invocation_ids: send `Lambda-Runtime-Invocation-Id`, as Lambda does since 2026. A response
            with another id is refused (410); one without an id is accepted.
        faults: the places at which to break connections.
        busy_poll: seconds to poll for bytes before sleeping. For a benchmark's server on its own
            core, to keep wake-up costs out of the figures.
    """

    wall_clock: Callable[[], float] = time.time
    journal_limit: int = 100_000
    swallow_abandoned: bool = True
    keep_alive: bool = True
    empty_headers: bool = False
    invocation_ids: bool = True
    faults: Faults | None = None
    busy_poll: float = 0.0


@attrs.define(eq=False)
class RuntimeApi:
    """The Runtime API of one sandbox, over any streams.

    It serves one runtime at a time. On a time-out, or on `sandbox_ended`, it closes the
    connections; then a new runtime may start.

    `settings.max_concurrency` is None for classic mode, one event at a time. A number means
    multi-concurrency (Lambda Managed Instances): each pending /next takes an event, an invoke
    without one is refused, and a time-out kills nothing. Only the runtime uses the number itself.

    With `settings.snap_start` the runtime may call /restore/next: the snapshot is taken then, and
    the restore comes with the first event. It cuts all other connections.

    Args:
        settings: the settings of the function.
        options: the options of the server.
        hooks: the functions that the Runtime API calls.
        allowed_hosts: host names that requests may use, besides `localhost` and its addresses;
            requests of web pages are refused. None allows every request, as over streams in memory.
    """

    settings: FunctionSettings
    options: RuntimeApiOptions = attrs.field(factory=RuntimeApiOptions)
    hooks: RuntimeApiHooks = attrs.field(factory=RuntimeApiHooks)
    allowed_hosts: Collection[str] | None = None

    # What has happened between platform and runtime.
    journal: Journal = attrs.field(init=False)
    _platform: ClassicPlatform | MultiConcurrencyPlatform = attrs.field(init=False)
    _queue: trio.StrictFIFOLock = attrs.field(factory=trio.StrictFIFOLock, init=False)
    _invoker: _Invoker | None = attrs.field(default=None, init=False)
    # All waiting invokers, in multi-concurrency.
    _invokers: dict[Invocation, _Invoker] = attrs.field(
        factory=dict[Invocation, _Invoker], init=False
    )
    _connections: set[_OpenConnection] = attrs.field(factory=set[_OpenConnection], init=False)
    _initialised: trio.Event = attrs.field(factory=trio.Event, init=False)
    _initialised_at: float = attrs.field(default=math.nan, init=False)

    def __attrs_post_init__(self) -> None:
        settings, options = self.settings, self.options
        self.journal = Journal(options.journal_limit)
        mode: type[ClassicPlatform | MultiConcurrencyPlatform] = ClassicPlatform
        if settings.max_concurrency is not None:
            mode = MultiConcurrencyPlatform
        elif settings.snap_start:
            mode = SnapStartPlatform
        self._platform = mode(
            clock=trio.current_time,
            wall_clock=options.wall_clock,
            journal=self.journal,
            swallow_abandoned=options.swallow_abandoned,
            on_initialised=self._on_initialised,
            on_answer=self._answered,
            hooks=attrs.evolve(self.hooks, on_begin=self._on_begin, on_restore=self._begin_restore),
            extensions=Extensions(
                settings.name,
                settings.handler,
                settings.arn,
                takes_events=settings.max_concurrency is None,
                on_ready=lambda: self._platform.hand_out(),
                on_failure=self._extension_failed,
            ),
        )

    @property
    def state(self) -> RuntimeState:
        """The state of the runtime. In multi-concurrency, STARTED or RUNNING."""
        platform = self._platform
        if isinstance(platform, ClassicPlatform):
            return platform.state
        return RuntimeState.RUNNING if platform.initialised else RuntimeState.STARTED

    @property
    def current(self) -> Invocation | None:
        """The invocation that the runtime works on, until the runtime asks for the next one.

        In multi-concurrency, the oldest of them.
        """
        platform = self._platform
        if isinstance(platform, ClassicPlatform):
            return platform.current
        return next(iter(platform.running.values()), None)

    @property
    def waiting(self) -> Invocation | None:
        """The invocation that waits for the runtime."""
        return self._platform.offered

    @property
    def free_slots(self) -> int:
        """In multi-concurrency, the number of events that the runtime takes at once."""
        platform = self._platform
        return platform.free_slots if isinstance(platform, MultiConcurrencyPlatform) else 0

    @property
    def extensions(self) -> Extensions:
        """The registered extensions."""
        return self._platform.extensions

    @property
    def initialised_at(self) -> float:
        """When the init phase ended, on trio's clock; NaN before."""
        return self._initialised_at

    # -- for invokers

    async def invoke(
        self,
        payload: bytes,
        *,
        client_context: str = "",
        cognito_identity: str = "",
        tenant_id: str = "",
        trace_id: str | None = None,
        content_type: str = "application/json",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> InvokeResult:
        """Invoke the function and wait for the result. In classic mode, concurrent invokes queue.

        Cancelling an invoke after its event was handed out ends the sandbox, because only the
        invoker watches the deadline. Cancelling it earlier has no effect on the sandbox.

        Args:
            payload: the event.
            client_context: the client context, as JSON text.
            cognito_identity: the Cognito identity, as JSON text.
            tenant_id: the tenant of a tenant-isolated function.
            trace_id: the X-Ray header. None generates one, "" omits the header.
            content_type: the media type of the event.
            request_id: the request id. None generates one.
            timeout: the time-out in seconds; None takes the function's.
        """
        invocation = Invocation(
            payload,
            self.settings.timeout if timeout is None else timeout,
            client_context=client_context,
            cognito_identity=cognito_identity,
            tenant_id=tenant_id,
            content_type=content_type,
        )
        if request_id is not None:
            invocation.request_id = request_id
        if trace_id is not None:
            invocation.trace_id = trace_id
        return (await self.run_invocation(invocation)).result()

    async def run_invocation(self, invocation: Invocation) -> Invocation:
        """Run an invocation; return the same object, with outcome and times.

        Raises:
            ValueError: a field contains a character that an HTTP header cannot carry.
        """
        check_headers(invocation)
        if self.options.invocation_ids and not invocation.invocation_id:
            invocation.invocation_id = new_request_id()
        try:
            if isinstance(self._platform, MultiConcurrencyPlatform):
                await self._run_in_slot(self._platform, invocation)
            else:
                await self._wait_for_turn(self._platform, invocation)
        finally:
            if isinstance(invocation.sink, ResponseStream):
                invocation.sink.end()
        return invocation

    async def _run_in_slot(
        self, platform: MultiConcurrencyPlatform, invocation: Invocation
    ) -> None:
        invoker = self._invokers[invocation] = _Invoker(invocation)
        try:
            platform.offer(invocation)
            while invocation.outcome is None:
                if platform.offered is invocation and not platform.initialised:
                    self.hooks.on_process_needed()
                with invoker.scope:
                    await invoker.done.wait()
                if invocation.outcome is None:
                    platform.expire(invocation)
        except BaseException:
            platform.withdraw(invocation)
            raise
        finally:
            del self._invokers[invocation]

    async def _wait_for_turn(self, platform: ClassicPlatform, invocation: Invocation) -> None:
        try:
            self._queue.acquire_nowait()
        except trio.WouldBlock:
            await self._queue.acquire()
        try:
            await self._run_in_turn(platform, invocation)
        finally:
            self._invoker = None
            self._queue.release()

    async def _run_in_turn(self, platform: ClassicPlatform, invocation: Invocation) -> None:
        invoker = self._invoker = _Invoker(invocation)
        failed = platform.state in (RuntimeState.INIT_ERROR, RuntimeState.RESTORE_ERROR)
        if failed and platform.init_error is None:
            # An invoker has got the error, and no transition leads out of these states.
            self.sandbox_ended(None)
            self.hooks.on_kill()
        platform.offer(invocation)
        try:
            while invocation.outcome is None:
                if platform.offered is invocation and platform.state is RuntimeState.STARTED:
                    self.hooks.on_process_needed()
                invoker.scope.deadline = self._deadline()
                with invoker.scope:
                    await invoker.done.wait()
                if invocation.outcome is None:
                    # Time-out of this invocation, or of the previous one, if the runtime has
                    # answered it and not called /next.
                    self._time_out(platform)
                    invoker.scope = trio.CancelScope()
        except BaseException:
            platform.withdraw(invocation)
            if platform.current is invocation and invocation.outcome is None:
                self.sandbox_ended(None)
                self.hooks.on_kill()
            raise

    def _deadline(self) -> float:
        """When the current invocation, or the restore before it, times out."""
        if isinstance(self._platform, SnapStartPlatform) and self._platform.restoring:
            return self._platform.restore_began_at + RESTORE_LIMIT
        current = self.current
        if current is None or self._platform.closing:
            return math.inf
        return current.begun_at + current.timeout

    def _time_out(self, platform: ClassicPlatform) -> None:
        if isinstance(platform, SnapStartPlatform) and platform.restoring:
            platform.expire_restore()
            self.sandbox_ended(None)
            self.hooks.on_kill()
            return
        current = platform.current
        if current is None:
            return
        platform.record_timeout(current)
        outcome = timed_out(current.request_id, current.timeout)
        if len(self.extensions):
            # The process gets SIGTERM and a grace period; its connections stay until it is dead.
            self.stop_offering()
            if current.outcome is None:
                platform.settle(current, outcome)
        else:
            self.sandbox_ended(lambda _: outcome)
        self.hooks.on_kill()

    def _extension_failed(self, error_type: str) -> None:
        self.sandbox_ended(lambda request_id: extension_failed(request_id, error_type))
        self.hooks.on_kill()

    # -- for the owner of the process

    def sandbox_ended(self, outcome: Callable[[str], InvocationOutcome] | None) -> None:
        """Close the connections of the dead process, and let a new runtime start.

        Args:
            outcome: returns the outcome for the request id of an unanswered invocation. With None,
                an invocation that was not handed out waits for the next runtime.
        """
        for each in self._connections:
            each.scope.cancel()
        self._initialised, self._initialised_at = trio.Event(), math.nan
        self._platform.end(outcome)
        if self._platform.offered is not None:
            if self._invoker is not None:
                # The deadline in force belongs to an invocation that is gone.
                self._invoker.scope.deadline = self._deadline()
            self.hooks.on_process_needed()

    def forget_init_error(self) -> None:
        """Do not answer the next invoke with the last init error."""
        self._platform.init_error = None

    def note(self, kind: EntryKind) -> None:
        """Record in the journal what is done to the sandbox."""
        self._platform.record(kind)

    def stop_offering(self) -> None:
        """Hand out no more events: the sandbox is about to end."""
        self._platform.closing = True

    async def wait_initialised(self) -> None:
        """Wait for the end of the init phase: the first /next, or an init error."""
        await self._initialised.wait()

    async def connections_closed(self) -> None:
        """Wait until no connection is open."""
        while self._connections:
            await next(iter(self._connections)).closed.wait()

    # -- hooks of the platform

    def _on_initialised(self) -> None:
        self._initialised_at = trio.current_time()
        self._initialised.set()

    def _begin_restore(self) -> None:
        for each in self._connections:
            if each.connection is not None and not each.connection.awaits_restore:
                each.scope.cancel()
        if self._invoker is not None:
            self._invoker.scope.deadline = self._deadline()
        self.hooks.on_restore()

    def _on_begin(self, invocation: Invocation) -> None:
        if self._invoker is not None:
            self._invoker.scope.deadline = self._deadline()
        elif invocation in self._invokers:
            self._invokers[invocation].scope.deadline = invocation.begun_at + invocation.timeout
        self.hooks.on_begin(invocation)

    def _answered(self, invocation: Invocation) -> None:
        invoker = self._invokers.get(invocation) if self._invokers else self._invoker
        if invoker is not None and invoker.invocation is invocation:
            invoker.done.set()

    # -- for the runtime

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        """Serve one connection of the runtime until either side closes it; then close the stream.

        Args:
            stream: any stream. A trio.SocketStream is replaced by a faster one and must not be used
                again.
        """
        stream = fast_stream(stream, self.options.busy_poll)
        opened = _OpenConnection()
        self._connections.add(opened)
        try:
            with opened.scope:
                await self._serve_stream(stream, opened)
        finally:
            self._connections.remove(opened)
            opened.closed.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time()):
                await stream.aclose()

    async def _serve_stream(self, stream: trio.abc.Stream, opened: _OpenConnection) -> None:
        reading = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            writer = ConnectionWriter(stream, nursery)

            def send(pieces: list[bytes]) -> None:
                writer.send(pieces)
                if connection.closing:
                    reading.cancel()

            def drop(fault: Fault) -> None:
                self._platform.record(EntryKind.DROPPED, detail=str(fault))
                if fault.reset and isinstance(stream, FastSocketStream):
                    stream.reset_on_close()
                reading.cancel()

            options = self.options
            faults = options.faults
            faulty = None if faults is None else FaultyConnection(faults, send, drop)
            connection = opened.connection = Connection(
                self._platform,
                self.settings.arn,
                send if faulty is None else faulty.send,
                options.keep_alive,
                options.empty_headers,
                self.allowed_hosts,
            )
            if faulty is not None:
                faulty.wrap(connection)
            try:
                with reading:
                    receive = connection.receive if faulty is None else faulty.receive
                    await self._read(stream, connection, receive)
                closed_by_us = connection.closing and (faulty is None or faulty.fault is None)
            finally:
                opened.connection = None
                connection.peer_gone()
        if closed_by_us:
            await linger(stream)

    async def _read(
        self, stream: trio.abc.Stream, connection: Connection, receive: Callable[[bytes], None]
    ) -> None:
        try:
            while not connection.closing:
                data = await stream.receive_some()
                if not data:
                    break
                receive(bytes(data))
                if isinstance(sink := connection.blocked_sink, ResponseStream):
                    await sink.drained()
        except trio.BrokenResourceError:
            # Probably the runtime died. The owner of the process reports that.
            return
