"""The Runtime API on trio: connections of a runtime on one side, invokers on the other, the
time-out between them.
"""

import math
import time
from collections.abc import Callable, Collection

import attrs
import trio

from .classic_mode import ClassicPlatform
from .connection import Connection
from .connection_writer import ConnectionWriter
from .extensions import Extensions
from .faults import Fault, Faults, FaultyConnection
from .invocation import Invocation, InvokeResult, check_headers, new_request_id
from .journal import EntryKind, Journal
from .multi_concurrency import MultiConcurrencyPlatform
from .outcomes import InvocationOutcome, extension_failed, timed_out
from .settings import arn_of
from .socket_stream import FastSocketStream, fast_stream, linger
from .states import RuntimeState
from .streaming import ResponseStream

__all__ = ["RuntimeApi"]


def _ignore(_: object) -> None:
    """Nobody listens."""


def _nothing() -> None:
    """Nobody is asked."""


@attrs.define(eq=False)
class _Invoker:
    """An invoker that waits for its answer, and until when."""

    invocation: Invocation
    done: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class RuntimeApi:
    """The Runtime API for one sandbox, over any streams, in memory too, in the same trio run.

    One runtime is served at a time. When its time is up, or `sandbox_ended` is called, its
    connections are closed and a new one may start.

    Args:
        function_arn: shown with every event.
        timeout: seconds that an invocation may take.
        wall_clock: seconds since the epoch, for `Lambda-Runtime-Deadline-Ms`. All else goes by
            trio's clock; a test under MockClock gives one that goes with it.
        journal: what happened is written there.
        swallow_abandoned: whether a /next whose connection broke still takes the next event, as
            Lambda's does.
        keep_alive: False closes each connection after its first answer, which Lambda does not do;
            to test a runtime against servers that will not pipeline.
        empty_headers: whether absent context is sent as empty headers, as multi-concurrency
            sandboxes do.
        max_concurrency: None for the classic mode, one event at a time. A number is
            multi-concurrency (Lambda Managed Instances): as many events at once as there are
            pending /next, an invoke that finds none is refused, and a time-out kills nothing. The
            number itself is for the runtime, which opens as many.
        invocation_ids: whether an event carries `Lambda-Runtime-Invocation-Id`, as Lambda's does
            since 2026. An answer that names another is refused (410), one that names none is not.
        allowed_hosts: names of this machine for which a runtime's requests may come, besides
            `localhost` and its addresses; no request of a web page is let in. None lets all in, as
            over streams in memory.
        faults: where connections are to break.
        busy_poll: seconds to look for a runtime's bytes again and again before going to sleep. For
            a benchmark's server on a core of its own: what it takes to wake one is then nobody's
            cost.
        on_begin: told of each invocation that is handed out.
        on_end: told of each invocation that is through, with its outcome.
        on_init_error: told of the error that an /init/error brought.
        on_process_needed: asked for a runtime whenever an invocation waits and none has come.
        on_idle: the runtime waits and nothing is there for it: it may be frozen.
        on_kill: the sandbox must end now: its time was up, or its invoker left. One with an
            extension is asked to end first; `sandbox_ended` must follow.
    """

    function_arn: str = arn_of("function")
    timeout: float = 3.0
    wall_clock: Callable[[], float] = time.time
    journal: Journal = attrs.field(factory=Journal)
    swallow_abandoned: bool = True
    keep_alive: bool = True
    empty_headers: bool = False
    busy_poll: float = 0.0
    max_concurrency: int | None = None
    invocation_ids: bool = True
    allowed_hosts: Collection[str] | None = None
    faults: Faults | None = None
    on_begin: Callable[[Invocation], None] = _ignore
    on_end: Callable[[Invocation], None] = _ignore
    on_init_error: Callable[[InvocationOutcome], None] = _ignore
    on_process_needed: Callable[[], None] = _nothing
    on_idle: Callable[[], None] = _nothing
    on_kill: Callable[[], None] = _nothing

    _platform: ClassicPlatform | MultiConcurrencyPlatform = attrs.field(init=False)
    _queue: trio.StrictFIFOLock = attrs.field(factory=trio.StrictFIFOLock, init=False)
    _invoker: _Invoker | None = attrs.field(default=None, init=False)
    _invokers: dict[Invocation, _Invoker] = attrs.field(
        factory=dict[Invocation, _Invoker], init=False
    )
    """Of multi-concurrency: all that wait at once."""
    _connections: dict[trio.CancelScope, trio.Event] = attrs.field(
        factory=dict[trio.CancelScope, trio.Event], init=False
    )
    _initialised: trio.Event = attrs.field(factory=trio.Event, init=False)
    _initialised_at: float = attrs.field(default=math.nan, init=False)

    def __attrs_post_init__(self) -> None:
        mode = ClassicPlatform if self.max_concurrency is None else MultiConcurrencyPlatform
        self._platform = mode(
            clock=trio.current_time,
            wall_clock=lambda: self.wall_clock(),
            journal=self.journal,
            swallow_abandoned=self.swallow_abandoned,
            on_initialised=self._on_initialised,
            on_init_error=lambda error: self.on_init_error(error),
            on_begin=self._on_begin,
            on_answer=self._answered,
            on_end=lambda invocation: self.on_end(invocation),
            on_idle=lambda: self.on_idle(),
        )
        self.extensions.takes_events = self.max_concurrency is None
        self.extensions.on_failure = self._extension_failed

    @property
    def state(self) -> RuntimeState:
        """Where the runtime stands; of multi-concurrency, whether it has come."""
        platform = self._platform
        if isinstance(platform, ClassicPlatform):
            return platform.state
        return RuntimeState.RUNNING if platform.initialised else RuntimeState.STARTED

    @property
    def current(self) -> Invocation | None:
        """The invocation that the runtime has, also when it has answered and not yet come back; of
        multi-concurrency, the oldest of them.
        """
        platform = self._platform
        if isinstance(platform, ClassicPlatform):
            return platform.current
        return next(iter(platform.running.values()), None)

    @property
    def waiting(self) -> Invocation | None:
        """The invocation that waits for the runtime to come."""
        return self._platform.offered

    @property
    def extensions(self) -> Extensions:
        """Those that have registered."""
        return self._platform.extensions

    @property
    def initialised_at(self) -> float:
        """When the runtime's init phase was over, on trio's clock; NaN before that."""
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
        """Invoke the function and wait for its answer; concurrent invokes wait their invoker.

        An invoker that is cancelled after its event was handed out takes the sandbox with it,
        since the deadline was its to hold. Before that it leaves without a trace.

        Args:
            payload: the event.
            client_context: JSON text.
            cognito_identity: JSON text.
            tenant_id: of a tenant-isolated function.
            trace_id: the X-Ray header; made up where None, left out where "".
            content_type: of the event.
            request_id: made up where None.
            timeout: seconds; the function's own where None.
        """
        invocation = Invocation(
            payload,
            self.timeout if timeout is None else timeout,
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
        """`invoke` for an invocation of one's own making; the same one, with its outcome and
        times.

        Raises:
            ValueError: it has a character that no HTTP header can carry.
        """
        check_headers(invocation)
        if self.invocation_ids and not invocation.invocation_id:
            invocation.invocation_id = new_request_id()
        try:
            if isinstance(self._platform, MultiConcurrencyPlatform):
                await self._take_slot(self._platform, invocation)
            else:
                await self._queue_for_turn(self._platform, invocation)
        finally:
            if isinstance(invocation.sink, ResponseStream):
                invocation.sink.end()
        return invocation

    async def _take_slot(self, slots: MultiConcurrencyPlatform, invocation: Invocation) -> None:
        invoker = self._invokers[invocation] = _Invoker(invocation)
        try:
            slots.offer(invocation)
            while invocation.outcome is None:
                if slots.offered is invocation and not slots.initialised:
                    self.on_process_needed()
                with invoker.scope:
                    await invoker.done.wait()
                if invocation.outcome is None:
                    slots.expire(invocation)
        except BaseException:
            slots.withdraw(invocation)
            raise
        finally:
            del self._invokers[invocation]

    async def _queue_for_turn(self, platform: ClassicPlatform, invocation: Invocation) -> None:
        try:
            self._queue.acquire_nowait()
        except trio.WouldBlock:
            await self._queue.acquire()
        try:
            await self._take_turn(platform, invocation)
        finally:
            self._invoker = None
            self._queue.release()

    async def _take_turn(self, platform: ClassicPlatform, invocation: Invocation) -> None:
        invoker = self._invoker = _Invoker(invocation)
        if platform.state is RuntimeState.INIT_ERROR and platform.init_error is None:
            # Its error has been told to an invoker, and from that state nothing leads out.
            self.sandbox_ended(None)
            self.on_kill()
        platform.offer(invocation)
        try:
            while invocation.outcome is None:
                if platform.offered is invocation and platform.state is RuntimeState.STARTED:
                    self.on_process_needed()
                invoker.scope.deadline = self._deadline()
                with invoker.scope:
                    await invoker.done.wait()
                if invocation.outcome is None:
                    # Its own time is up, or that of the one before, which has answered and never
                    # came back.
                    self._time_out(platform)
                    invoker.scope = trio.CancelScope()
        except BaseException:
            platform.withdraw(invocation)
            if platform.current is invocation and invocation.outcome is None:
                self.sandbox_ended(None)
                self.on_kill()
            raise

    def _deadline(self) -> float:
        """Until when the sandbox may take for what it has."""
        current = self.current
        if current is None or self._platform.closing:
            return math.inf
        return current.begun_at + current.timeout

    def _time_out(self, platform: ClassicPlatform) -> None:
        current = platform.current
        if current is None:
            return
        platform.record_timeout(current)
        outcome = timed_out(current.request_id, current.timeout)
        if len(self.extensions):
            # Asked to end it has its grace, and its connections until its process is dead.
            self.stop_offering()
            if current.outcome is None:
                platform.settle(current, outcome)
        else:
            self.sandbox_ended(lambda _: outcome)
        self.on_kill()

    def _extension_failed(self, error_type: str) -> None:
        self.sandbox_ended(lambda request_id: extension_failed(request_id, error_type))
        self.on_kill()

    # -- for whoever runs the sandbox

    def sandbox_ended(self, outcome: Callable[[str], InvocationOutcome] | None) -> None:
        """The runtime's process is gone. Its connections are closed; the next runtime starts anew.

        Args:
            outcome: of a request id; the reply to the invocation that it leaves without one. None
                leaves one that was not handed out waiting for the next runtime.
        """
        for scope in self._connections:
            scope.cancel()
        self._initialised, self._initialised_at = trio.Event(), math.nan
        self._platform.end(outcome)
        if self._platform.offered is not None:
            if self._invoker is not None:
                # Its invoker goes by the deadline of an invocation that is gone.
                self._invoker.scope.deadline = self._deadline()
            self.on_process_needed()

    def note(self, kind: EntryKind) -> None:
        """What is done to the sandbox from outside, for the journal."""
        self._platform.record(kind)

    def stop_offering(self) -> None:
        """The sandbox is about to end: whatever it asks for, it gets no more events."""
        self._platform.closing = True

    async def wait_initialised(self) -> None:
        """Wait until the runtime has come: its first /next, or its init error."""
        await self._initialised.wait()

    async def connections_closed(self) -> None:
        """Wait until no connection is open."""
        while self._connections:
            await next(iter(self._connections.values())).wait()

    # -- what the platform tells

    def _on_initialised(self) -> None:
        self._initialised_at = trio.current_time()
        self._initialised.set()

    def _on_begin(self, invocation: Invocation) -> None:
        if self._invoker is not None:
            self._invoker.scope.deadline = self._deadline()
        elif invocation in self._invokers:
            self._invokers[invocation].scope.deadline = invocation.begun_at + invocation.timeout
        self.on_begin(invocation)

    def _answered(self, invocation: Invocation) -> None:
        invoker = self._invokers.get(invocation) if self._invokers else self._invoker
        if invoker is not None and invoker.invocation is invocation:
            invoker.done.set()

    # -- for the runtime

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        """Serve one connection of the runtime until either side closes it; then close the stream.

        Args:
            stream: any; a trio.SocketStream is taken over (its socket is detached), being faster
                so.
        """
        link = fast_stream(stream, self.busy_poll)
        closed = trio.Event()
        scope = trio.CancelScope()
        self._connections[scope] = closed
        try:
            with scope:
                await self._converse(link)
        finally:
            del self._connections[scope]
            closed.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time()):
                await link.aclose()

    async def _converse(self, link: trio.abc.Stream) -> None:
        reading = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            outbox = ConnectionWriter(link, nursery)

            def send(pieces: list[bytes]) -> None:
                outbox.send(pieces)
                if connection.closing:
                    reading.cancel()

            def drop(fault: Fault) -> None:
                self._platform.record(EntryKind.DROPPED, detail=str(fault))
                if fault.reset and isinstance(link, FastSocketStream):
                    link.reset_on_close()
                reading.cancel()

            faulty = None if self.faults is None else FaultyConnection(self.faults, send, drop)
            connection = Connection(
                self._platform,
                self.function_arn,
                send if faulty is None else faulty.send,
                self.keep_alive,
                self.empty_headers,
                self.allowed_hosts,
            )
            if faulty is not None:
                faulty.wrap(connection)
            try:
                with reading:
                    take = connection.receive if faulty is None else faulty.receive
                    await self._read(link, connection, take)
                last_word_is_ours = connection.closing and (faulty is None or faulty.fault is None)
            finally:
                connection.peer_gone()
        if last_word_is_ours:
            await linger(link)

    async def _read(
        self, link: trio.abc.Stream, connection: Connection, take: Callable[[bytes], None]
    ) -> None:
        try:
            while not connection.closing:
                data = await link.receive_some()
                if not data:
                    break
                take(bytes(data))
                if isinstance(slow := connection.full, ResponseStream):
                    await slow.drained()
        except trio.BrokenResourceError:
            # The runtime's death looks like this; what it means is decided where its process is
            # watched.
            return
