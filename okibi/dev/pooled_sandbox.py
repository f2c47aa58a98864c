"""One sandbox of a pool: a process that serves events until it is retired."""

import math
import re
from collections.abc import Callable

import attrs
import msgspec
import trio

from ..local.local_lambda import LocalLambda, open_sandbox
from ..local.platform.hooks import SandboxHooks
from ..local.platform.invocation import Invocation
from ..local.platform.outcomes import InvocationOutcome
from ..local.sandbox.orphan_killer import OrphanKiller
from ..local.sandbox.sandbox import SandboxOptions
from ..local.server.runtime_api import RuntimeApiOptions
from .dev_function import DevFunction
from .invocation_events import (
    DevEvent,
    FunctionFailure,
    InitFailed,
    LogLine,
    SandboxEnded,
    SandboxStarted,
    invocation_finished,
    read_failure,
)
from .pool_rules import JOURNAL_LIMIT, count_places, expect_next

# The first line of okibi's report of an actor that crashed, as text or JSON.
_CRASH_REPORT = re.compile(r"(\[[A-Z]+\]\t|\{).*\(incarnation \d+\) ended: ")


@attrs.define(eq=False)
class PooledSandbox:
    """A sandbox of a pool.

    Args:
        function: the function.
        number: counts the sandboxes of the function, from 1.
        report: receives what happens.
        on_change: called when the sandbox may take an event again, or has been retired.
        orphan_killer: kills the process if this process is killed.
        replaces: the sandbox has changed code, and takes over when it has started. Its pool reports
            a failed init phase.
        turns: limits how many sandboxes initialise at once that no event waits for; None starts
            the process at once.
    """

    function: DevFunction
    number: int
    report: Callable[[DevEvent], None]
    on_change: Callable[[], None]
    orphan_killer: OrphanKiller | None = None
    replaces: bool = False
    turns: trio.CapacityLimiter | None = None

    # The invocations that the sandbox has; in classic mode, until the runtime is idle again.
    current: set[Invocation] = attrs.field(factory=set[Invocation], init=False)
    initialised: bool = attrs.field(default=False, init=False)
    # When the sandbox was last idle.
    used_at: float = attrs.field(factory=trio.current_time, init=False)
    # Why the last init phase failed.
    failure: FunctionFailure | None = attrs.field(default=None, init=False)
    # Set when the sandbox has initialised, or has been retired.
    settled: trio.Event = attrs.field(factory=trio.Event, init=False)
    # Set when the sandbox takes no event any more and ends.
    retired: trio.Event = attrs.field(factory=trio.Event, init=False)
    # The log of the init phase from the first crash report on. An init error says the same.
    _held_lines: list[str] = attrs.field(factory=list[str], init=False)
    _end_reason: str = attrs.field(default="", init=False)
    _draining: bool = attrs.field(default=False, init=False)
    _local: LocalLambda | None = attrs.field(default=None, init=False)
    _opened: trio.Event = attrs.field(factory=trio.Event, init=False)
    _init_wait: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _runs: dict[Invocation, trio.CancelScope] = attrs.field(
        factory=dict[Invocation, trio.CancelScope], init=False
    )

    @property
    def pid(self) -> int | None:
        """The process id of the bootstrap, or None."""
        return None if self._local is None else self._local.pid

    @property
    def frozen(self) -> bool:
        """Whether the processes are stopped."""
        return self._local is not None and self._local.frozen

    @property
    def places(self) -> int:
        """The number of events that the sandbox takes now."""
        if self._draining or self.retired.is_set():
            return 0
        return count_places(
            self.current,
            self.function.settings.max_concurrency,
            initialised=self.initialised,
            free_slots=0 if self._local is None else self._local.free_slots,
        )

    @property
    def idle(self) -> bool:
        """Whether the sandbox has no event."""
        return not self.current

    @property
    def next_expected_at(self) -> float:
        """When to give up that the sandbox asks for an event soon; -inf if it has not answered."""
        if self.function.settings.max_concurrency is not None:
            return -math.inf
        return expect_next(self.current)

    def retire(self, reason: str) -> None:
        """End the sandbox now.

        Args:
            reason: the word for the report, such as "idle" (`SandboxEnded`).
        """
        if not self.retired.is_set():
            self._end_reason = reason
            self.retired.set()
            self.settled.set()
            self.on_change()

    def drain(self, reason: str) -> None:
        """End the sandbox when it has no event."""
        self._draining = True
        if self.idle:
            self.retire(reason)
        else:
            self._end_reason = reason

    async def run(self) -> None:
        """Serve until the sandbox is retired. The process is dead then."""
        options = SandboxOptions(
            output=self._write,
            freeze=self.function.freeze,
            orphan_killer=self.orphan_killer,
            hooks=SandboxHooks(self._on_idle, self._on_end, self._on_init_failed, self._on_exit),
            api=RuntimeApiOptions(journal_limit=JOURNAL_LIMIT),
        )
        try:
            async with (
                open_sandbox(self.function.settings, options) as self._local,
                trio.open_nursery() as nursery,
            ):
                self._opened.set()
                nursery.start_soon(self._watch_init, self._local)
                if self.turns is None:
                    self._local.start()
                else:
                    nursery.start_soon(self._start_in_turn, self._local, self.turns)
                await self.retired.wait()
                nursery.cancel_scope.cancel()
        except* OSError as errors:
            self._fail(_first(errors))
        self.report(SandboxEnded(self.function.name, self.number, self._end_reason))

    def start_now(self) -> None:
        """Start the process before its turn: an event waits for it."""
        self.turns = None
        if self._local is not None:
            self._local.start()

    async def run_invocation(self, invocation: Invocation) -> None:
        """Run an invocation that is in `current`; afterwards it has an outcome."""
        with trio.CancelScope() as self._runs[invocation]:
            await self._opened.wait()
            assert self._local is not None  # set before the event
            await self._local.run_invocation(invocation)
        del self._runs[invocation]
        if invocation.outcome is None:
            assert self.failure is not None  # the process could not be started
            body = {
                "errorType": self.failure.error_type,
                "errorMessage": self.failure.message,
            }
            invocation.outcome = InvocationOutcome(
                msgspec.json.encode(body), self.failure.error_type
            )
        if math.isnan(invocation.begun_at):
            self._report_end(invocation, None)
            self.current.discard(invocation)
            if self.function.settings.max_concurrency is None:
                self.retire(self._end_reason or "exited")
        self._leave_if_drained()

    # -- hooks of the sandbox

    def _on_idle(self) -> None:
        if self.function.settings.max_concurrency is None:
            self.current = {each for each in self.current if math.isnan(each.ended_at)}
        self.used_at = trio.current_time()
        self._leave_if_drained()
        self.on_change()

    def _on_end(self, invocation: Invocation, peak: float | None) -> None:
        if invocation.outcome is not None:
            self._report_end(invocation, peak)
            if invocation.outcome.error_type == "Sandbox.Timedout":
                self._end_reason = self._end_reason or "timed out"
        if self.function.settings.max_concurrency is not None:
            self.current.discard(invocation)

    def _on_init_failed(self, outcome: InvocationOutcome, milliseconds: float) -> None:
        self.failure = read_failure(outcome, self.function.settings.task_root)
        if self.failure.error_type in ("Runtime.ExitError", "Sandbox.Timedout"):
            # The runtime has not said why.
            self._release_lines()
        if not self.replaces:
            self.report(InitFailed(self.function.name, self.number, self.failure, milliseconds))

    def _on_exit(self) -> None:
        self.initialised = False
        self._held_lines.clear()
        self._init_wait.cancel()
        if all(each.outcome is not None for each in self.current):
            self.retire(self._end_reason or "exited")
        else:
            # The process starts again, for an event that no runtime has seen.
            self.failure = None

    # -- internals

    async def _start_in_turn(self, local: LocalLambda, turns: trio.CapacityLimiter) -> None:
        await turns.acquire_on_behalf_of(self)
        try:
            local.start()
            await self.settled.wait()
        finally:
            turns.release_on_behalf_of(self)

    async def _watch_init(self, local: LocalLambda) -> None:
        while not self.initialised:
            with trio.CancelScope() as self._init_wait:
                await local.wait_initialised()
            if self._init_wait.cancelled_caught:
                continue
            if self.failure is not None:
                # The runtime has sent an init error. It ends itself, or is ended here.
                self.settled.set()
                return
            self.initialised, self.replaces = True, False
            self._release_lines()
            self.report(SandboxStarted(self.function.name, self.number, local.last_init_ms))
            self.settled.set()
            self.on_change()

    def _fail(self, error: OSError) -> None:
        """The process cannot be started."""
        reason = error.strerror or str(error)
        name = error.filename or self.function.settings.command[0]
        message = f"cannot start {name!r}: {reason}"
        self.failure = FunctionFailure("Runtime.InvalidEntrypoint", message)
        if not self.replaces:
            self.report(InitFailed(self.function.name, self.number, self.failure, 0.0))
        for scope in self._runs.values():
            scope.cancel()
        self.retire("exited")

    def _leave_if_drained(self) -> None:
        if self._draining and self.idle:
            self.retire(self._end_reason)

    def _report_end(self, invocation: Invocation, peak: float | None) -> None:
        self.report(invocation_finished(self.function.settings, self.number, invocation, peak))

    def _write(self, line: str) -> None:
        if not self.initialised and (self._held_lines or _CRASH_REPORT.match(line)):
            self._held_lines.append(line)
        else:
            self.report(LogLine(self.function.name, line))

    def _release_lines(self) -> None:
        held, self._held_lines = self._held_lines, []
        for line in held:
            self.report(LogLine(self.function.name, line))


def _first(errors: BaseExceptionGroup[OSError]) -> OSError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, OSError)  # `except*` selects them
    return error
