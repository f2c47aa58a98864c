"""The sandboxes of one function: started on demand, frozen, recycled, and replaced by new code."""

import math
import os
import signal
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from ..local.background_nursery import open_background_nursery
from ..local.platform.hooks import ignore
from ..local.platform.invocation import Invocation, check_headers
from ..local.platform.outcomes import exited
from ..local.platform.streaming import ResponseStream
from ..local.sandbox.orphan_killer import OrphanKiller
from ..local.server.listeners import open_listeners
from .attached_runtime import AttachedRuntime
from .changed_modules import delete_bytecode, find_syntax_error
from .dev_function import DevFunction
from .function_pool import FunctionPool
from .invocation_events import DevEvent, FunctionFailure, Reloaded, ReloadFailed, SourceChanged
from .pool_rules import choose_sandbox, may_start_sandbox, refusal
from .pooled_sandbox import PooledSandbox
from .sandbox_settings import sandbox_settings

# Seconds after which an idle sandbox ends. Lambda names no figure; 5 to 15 minutes are common.
IDLE_TIMEOUT = 600.0


_turns: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("okibi_start_turns")


def _start_turns() -> trio.CapacityLimiter:
    """Return the limit for all pools: one start a core.

    A save may change the code of twenty functions. The one that the user calls must not wait for
    the start of all others.
    """
    try:
        return _turns.get()
    except LookupError:
        turns = trio.CapacityLimiter(os.cpu_count() or 1)
        _turns.set(turns)
        return turns


@attrs.define(eq=False)
class _Waiting:
    """An invocation that waits for a sandbox."""

    invocation: Invocation
    done: trio.Event


@attrs.define(eq=False)
class SandboxPool(FunctionPool):
    """Runs the events of one function in sandboxes. Created by `open_sandbox_pool`."""

    function: DevFunction
    _report: Callable[[DevEvent], None]
    _nursery: trio.Nursery
    _orphan_killer: OrphanKiller | None
    _start_ahead: bool
    _idle_timeout: float
    # The folder of the sockets on which the sandboxes answer with their trees.
    socket_folder: Path
    _variables: Mapping[str, str]
    # The sandboxes that serve; those that only finish an event are not among them.
    _sandboxes: list[PooledSandbox | AttachedRuntime] = attrs.field(
        factory=list["PooledSandbox | AttachedRuntime"], init=False
    )
    _waiting: deque[_Waiting] = attrs.field(factory=deque[_Waiting], init=False)
    # When the last event came, on trio's clock.
    used_at: float = attrs.field(default=-math.inf, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _started: int = attrs.field(default=0, init=False)
    # Sandboxes that have not ended yet.
    _running: int = attrs.field(default=0, init=False)
    _none_running: trio.Event = attrs.field(factory=trio.Event, init=False)
    # The sandbox with changed code that starts now. Until it serves or fails, events wait.
    _replacement: PooledSandbox | None = attrs.field(default=None, init=False)
    # Whether the files on disk are known not to start.
    _broken: bool = attrs.field(default=False, init=False)
    _closing: bool = attrs.field(default=False, init=False)

    @property
    def runtime_api(self) -> str:
        """Host and port of the Runtime API for a debugged runtime; "" unless `attach` is set."""
        return self._attached.address if self._attached else ""

    @property
    def sandboxes(self) -> list[PooledSandbox]:
        """The sandboxes that serve, without a runtime under a debugger."""
        return [each for each in self._sandboxes if isinstance(each, PooledSandbox)]

    @property
    def in_flight(self) -> int:
        """The number of events that run or wait."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """The number of events that wait for a sandbox."""
        return len(self._waiting)

    # -- invocations

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` when it has an outcome.

        Raises:
            Throttled: the function takes no more events.
            ValueError: a field contains a character that an HTTP header cannot carry.
        """
        check_headers(invocation)
        refused = refusal(self.function, in_flight=self._in_flight, waiting=len(self._waiting))
        if refused is not None:
            raise refused
        self._in_flight += 1
        self.used_at = trio.current_time()
        self._waiting.append(_Waiting(invocation, trio.Event() if done is None else done))
        self._dispatch()

    def _dispatch(self) -> None:
        """Give waiting events to sandboxes; start sandboxes if the rules allow it."""
        if self._waiting and self._replacement is not None:
            self._replacement.start_now()
        while self._waiting and self._replacement is None and not self._closing:
            sandbox = choose_sandbox(self._sandboxes)
            if sandbox is None:
                live = len(self._sandboxes)
                if not may_start_sandbox(self.function, live=live, broken=self._broken):
                    return
                if self._wait_for_next():
                    return
                sandbox = self._start_sandbox()
                self._sandboxes.append(sandbox)
            waiting = self._waiting.popleft()
            sandbox.current.add(waiting.invocation)
            self._nursery.start_soon(self._run, sandbox, waiting)

    def _wait_for_next(self) -> bool:
        """Whether sandboxes that have answered will take the waiting events soon."""
        now = trio.current_time()
        times = [each.next_expected_at for each in self._sandboxes if each.next_expected_at > now]
        if len(times) < len(self._waiting):
            return False
        self._nursery.start_soon(self._dispatch_at, max(times))
        return True

    async def _dispatch_at(self, time: float) -> None:
        await trio.sleep_until(time)
        self._dispatch()

    async def _run(self, sandbox: PooledSandbox | AttachedRuntime, waiting: _Waiting) -> None:
        try:
            await sandbox.run_invocation(waiting.invocation)
        finally:
            self._in_flight -= 1
            _settle(waiting)
        self._on_change()

    # -- sandboxes

    def _start_sandbox(
        self, *, replaces: bool = False, turns: trio.CapacityLimiter | None = None
    ) -> PooledSandbox:
        self._started += 1
        self._running += 1
        settings = sandbox_settings(self.function, self.socket_folder, self._variables)
        sandbox = PooledSandbox(
            attrs.evolve(self.function, settings=settings),
            self._started,
            self._report,
            self._on_change,
            self._orphan_killer,
            replaces,
            turns,
        )
        self._nursery.start_soon(self._run_sandbox, sandbox)
        return sandbox

    async def _run_sandbox(self, sandbox: PooledSandbox) -> None:
        try:
            await sandbox.run()
        finally:
            self._running -= 1
            if self._running == 0:
                self._none_running.set()

    def _on_change(self) -> None:
        self._sandboxes = [each for each in self._sandboxes if not each.retired.is_set()]
        self._dispatch()

    async def end_idle_sandboxes(self) -> None:
        """End each sandbox that has been idle for long, until cancelled."""
        while True:
            # The last good version stays while the new one does not start.
            idle = [] if self._broken else [each for each in self._sandboxes if each.idle]
            now = trio.current_time()
            for sandbox in idle:
                if now - sandbox.used_at >= self._idle_timeout:
                    sandbox.retire("idle")
            oldest = min([now, *(each.used_at for each in idle if not each.retired.is_set())])
            await trio.sleep_until(oldest + self._idle_timeout)

    # -- changed code

    def reload(self, files: Sequence[Path] = (), function: DevFunction | None = None) -> None:
        """Serve new events with the code on disk.

        A new sandbox starts; meanwhile new events wait. When it has asked for an event, it takes
        over: the old sandboxes finish their events and end. If it fails, `ReloadFailed` is
        reported, and the old sandboxes keep serving. With `attach` nothing happens.

        Args:
            files: the changed files, for the check of their syntax and the report.
            function: changed settings, such as another environment; None keeps them. The name and
                `attach` must stay.

        Raises:
            ValueError: the name or `attach` differ.
        """
        replaced = function or self.function
        if (replaced.name, replaced.attach) != (self.function.name, self.function.attach):
            raise ValueError(f"reload: name and attach must stay, got {replaced.name!r}")
        if self.function.attach:
            # The user restarts the runtime in the debugger.
            return
        self._report(SourceChanged(self.function.name, tuple(sorted(files))))
        began = trio.current_time()
        self.function = replaced
        delete_bytecode(files)
        if failure := find_syntax_error(files, replaced.settings):
            self._fail_reload(failure)
        elif self._sandboxes or self._replacement or self._broken or self._start_ahead:
            replacement = self._start_sandbox(replaces=True, turns=_start_turns())
            self._nursery.start_soon(self._await_replacement, replacement, began)
            self._replace_replacement(replacement)
            self._dispatch()
        # Otherwise the next event starts the new code.

    async def _await_replacement(self, replacement: PooledSandbox, began: float) -> None:
        await replacement.settled.wait()
        if self._replacement is not replacement:
            # The files have changed again.
            return
        if not replacement.initialised:
            replacement.retire("exited")
            self._fail_reload(replacement.failure or FunctionFailure("Runtime.ExitError"))
            return
        old = self._sandboxes
        self._sandboxes = list[PooledSandbox | AttachedRuntime]([replacement])
        self._replacement, self._broken = None, False
        for sandbox in old:
            sandbox.drain("replaced")
        took = (trio.current_time() - began) * 1000
        self._report(Reloaded(self.function.name, replacement.number, took))
        self._dispatch()

    def _replace_replacement(self, replacement: PooledSandbox | None) -> None:
        """End the sandbox that starts; events wait for another one, or wait no longer."""
        ended, self._replacement = self._replacement, replacement
        if ended is not None:
            ended.retire("replaced")

    def _fail_reload(self, failure: FunctionFailure) -> None:
        self._broken = True
        self._replace_replacement(None)
        self._report(ReloadFailed(self.function.name, failure, bool(self._sandboxes)))
        self._dispatch()

    # -- for open_sandbox_pool

    @property
    def _attached(self) -> AttachedRuntime | None:
        return next((each for each in self._sandboxes if isinstance(each, AttachedRuntime)), None)

    def open(self, listeners: list[trio.SocketListener] | None) -> None:
        """Serve the debugged runtime, or start the first sandbox.

        Args:
            listeners: the sockets for the debugged runtime; None without one.
        """
        if listeners is not None:
            attached = AttachedRuntime(self.function, listeners, self._report, self._on_change)
            self._sandboxes.append(attached)
            self._nursery.start_soon(attached.run)
        elif self._start_ahead and self.function.reserved_concurrency != 0:
            self._sandboxes.append(self._start_sandbox(turns=_start_turns()))
        self._nursery.start_soon(self.end_idle_sandboxes)

    async def close(self) -> None:
        """End all sandboxes. What still runs or waits gets Runtime.ExitError."""
        self._closing = True
        self._replace_replacement(None)
        for waiting in self._waiting:
            _settle(waiting)
        for sandbox in self._sandboxes:
            sandbox.retire("closed")
        self._none_running = trio.Event()
        if self._running:
            await self._none_running.wait()


def _settle(waiting: _Waiting) -> None:
    """Tell the invoker. An invocation without outcome has lost its sandbox: the pool ends."""
    invocation = waiting.invocation
    if invocation.outcome is None:
        invocation.outcome = exited(invocation.request_id, -signal.SIGKILL)
    if isinstance(invocation.sink, ResponseStream):
        invocation.sink.end()
    waiting.done.set()


@asynccontextmanager
async def open_sandbox_pool(
    function: DevFunction,
    *,
    report: Callable[[DevEvent], None] = ignore,
    start_ahead: bool = True,
    idle_timeout: float = IDLE_TIMEOUT,
    orphan_killer: OrphanKiller | None = None,
    variables: Mapping[str, str] | None = None,
) -> AsyncGenerator[SandboxPool]:
    """Serve a function in sandboxes until the block ends. No process remains then.

    Each sandbox is a process with its own Runtime API, and handles one event at a time. An event
    takes the sandbox that was used last; if all are busy, another one starts. With
    `settings.max_concurrency`, one sandbox handles many events, as on Managed Instances.

    Args:
        function: the function.
        report: receives what happens. Must neither block nor raise.
        start_ahead: start the first sandbox at once.
        idle_timeout: seconds after which an idle sandbox ends; `math.inf` for never.
        orphan_killer: kills the processes if this process is killed. Pools can share it.
        variables: further variables of the function (`sandbox_settings`).

    Raises:
        OSError: the port for the debugged runtime is in use.

    Example:
        async with open_sandbox_pool(DevFunction(FunctionSettings("app.function"))) as pool:
            result = await pool.run_invocation(Invocation(b"{}", timeout=3.0))
    """
    listeners = None
    if function.attach:
        listeners = await open_listeners(function.attach_port, name="attach_port")
    with tempfile.TemporaryDirectory(prefix="okibi-dev-") as folder:
        if orphan_killer is not None:
            orphan_killer.add_folder(Path(folder))
        async with open_background_nursery() as nursery:
            pool = SandboxPool(
                function, report, nursery, orphan_killer, start_ahead, idle_timeout, Path(folder),
                variables or {},
            )  # fmt: skip
            pool.open(listeners)
            try:
                yield pool
            finally:
                await pool.close()
