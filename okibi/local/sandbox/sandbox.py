"""Run the bootstrap as a process, one process after the other.

One task (`run`) owns the process: it starts the process, watches the init phase and waits for the
end. When `run` returns, the process group is dead and reaped. The other methods only request
something and never block.
"""

import math
import os
import signal
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from subprocess import DEVNULL

import attrs
import trio

from ..platform.hooks import SandboxHooks
from ..platform.journal import EntryKind
from ..platform.outcomes import InvocationOutcome, exited, timed_out
from ..platform.report_lines import init_report_line
from ..server.runtime_api import RuntimeApi, RuntimeApiOptions
from ..settings import FunctionSettings
from .environment import process_mark, sandbox_environment
from .orphan_killer import KILL_LIMIT, OrphanKiller, kill_marked
from .output import Output, to_stderr

# Seconds for the init phase. After them Lambda repeats the init phase once, within the time-out.
INIT_LIMIT = 10.0

# Seconds between SIGTERM and SIGKILL for a sandbox with an extension: the runtime's share of the
# shutdown phase. Without an extension there is no grace.
GRACE = 0.3

# Seconds for the init phase before a snapshot, if the function's time-out is not longer.
SNAPSHOT_INIT_LIMIT = 130.0

# Seconds at most to read what a dead process left in its sockets. Usually this takes no time.
LAST_BYTES = 1.0


@attrs.frozen
class SandboxOptions:
    """The options of a sandbox.

    Args:
        output: called with each line of the log; the default prints to stderr.
        runtime_port: port of the Runtime API; 0 picks a free one.
        freeze: stop the function's processes while they are idle. Without effect with
            `max_concurrency`.
        grace: seconds between SIGTERM and SIGKILL.
        any_process: let every process of this machine call the Runtime API.
        allowed_hosts: host names that requests to the Runtime API may use, besides `localhost` and
            its addresses.
        orphan_killer: kills the function's processes if this process is killed.
        hooks: the functions that the sandbox calls.
        api: the options of the Runtime API.
    """

    output: Callable[[str], None] = to_stderr
    runtime_port: int = 0
    freeze: bool = False
    grace: float = GRACE
    any_process: bool = False
    allowed_hosts: Collection[str] = ()
    orphan_killer: OrphanKiller | None = None
    hooks: SandboxHooks = attrs.field(factory=SandboxHooks)
    api: RuntimeApiOptions = attrs.field(factory=RuntimeApiOptions)


@attrs.frozen
class ShutdownResult:
    """The end of a process that was shut down.

    Args:
        sigterm_sent: whether the process got SIGTERM first.
        seconds: the time from the request to the death of the process.
        returncode: the exit code; negative for a signal.
    """

    sigterm_sent: bool
    seconds: float
    returncode: int


@asynccontextmanager
async def _cancelled_when_ended(process: trio.Process) -> AsyncGenerator[None]:
    """Cancel the block when the process has ended."""

    async def ended() -> None:
        await process.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended)
        yield
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class SandboxProcess:
    """Runs the bootstrap.

    Args:
        settings: the settings of the function.
        api: the Runtime API for the bootstrap.
        address: host and port of the Runtime API.
        output: receives what the process writes.
        options: the grace period, the orphan killer, and the hooks for a failed init phase and for
            a dead process.
    """

    settings: FunctionSettings
    api: RuntimeApi
    address: str
    output: Output
    options: SandboxOptions

    # How many processes have been started.
    starts: int = attrs.field(default=0, init=False)
    # The running process, which leads its process group; or None.
    pid: int | None = attrs.field(default=None, init=False)
    # When the process was started, on trio's clock.
    started_at: float = attrs.field(default=0.0, init=False)
    # Set while a process runs; replaced for each process.
    started: trio.Event = attrs.field(factory=trio.Event, init=False)
    # Set when no process runs and none will be started.
    finished: trio.Event = attrs.field(factory=trio.Event, init=False)
    _process_requested: trio.Event = attrs.field(factory=trio.Event, init=False)
    # How the last process that was shut down ended.
    last_shutdown: ShutdownResult | None = attrs.field(default=None, init=False)
    # Whether the process is stopped.
    frozen: bool = attrs.field(default=False, init=False)
    _killed: bool = attrs.field(default=False, init=False)
    _end_requested: trio.Event = attrs.field(factory=trio.Event, init=False)
    _end_requested_at: float = attrs.field(default=0.0, init=False)
    _sigterm_sent: bool = attrs.field(default=False, init=False)
    _dead: trio.Event = attrs.field(factory=trio.Event, init=False)
    # The marks of all processes so far. Their descendants may have left the process group.
    _marks: list[str] = attrs.field(factory=list[str], init=False)
    _init_limit: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._init_limit = self._first_limit

    @property
    def _first_limit(self) -> float:
        if self.settings.snap_start:
            return max(SNAPSHOT_INIT_LIMIT, self.settings.timeout)
        return INIT_LIMIT

    def request_process(self) -> None:
        """Start a process, unless one is running."""
        self._process_requested.set()

    def end(self) -> None:
        """Shut down as Lambda does (Extensions API).

        With an extension: SIGTERM, then SIGKILL after the grace period. Without: SIGKILL at once.
        """
        if self.pid is None or self._end_requested.is_set():
            return
        self._end_requested_at = trio.current_time()
        self._sigterm_sent = len(self.api.extensions) > 0
        self._killed = True
        self._end_requested.set()
        if self._sigterm_sent:
            self.api.stop_offering()
            self._signal(signal.SIGTERM)
            self.thaw()
        else:
            self.kill()

    def kill(self) -> None:
        """Kill the process group now."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process group, as Lambda does between two events."""
        if self.pid is not None and not self.frozen and not self._killed:
            self.frozen = True
            self._signal(signal.SIGSTOP)
            self.api.note(EntryKind.FROZEN)

    def thaw(self) -> None:
        """Continue the process group."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)
            self.api.note(EntryKind.THAWED)

    async def wait_ended(self) -> ShutdownResult:
        """Wait until the process that was shut down is dead."""
        if self.pid is not None:
            await self._dead.wait()
        if self.last_shutdown is None:
            raise RuntimeError("no process has been shut down: none was running")
        return self.last_shutdown

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def run(self) -> None:
        """Run until cancelled; start a process whenever one is requested."""
        try:
            while True:
                await self._process_requested.wait()
                await self._run_process()
        finally:
            # Last, so that no start waits for it.
            kill_marked(self._marks, KILL_LIMIT)
            self.finished.set()

    async def _run_process(self) -> None:
        self._killed = self._sigterm_sent = self.frozen = False
        self._end_requested, self._dead = trio.Event(), trio.Event()
        inherited = os.environ if self.settings.inherited is None else self.settings.inherited
        inherited = {**inherited, **self.output.environment}
        environment = sandbox_environment(self.settings, self.address, inherited)
        self._marks.append(process_mark(environment))
        self._update_orphan_killer()
        process = await trio.lowlevel.open_process(
            self.settings.command,
            cwd=self.settings.task_root,
            env=environment,
            stdin=DEVNULL,
            stdout=self.output.descriptor,
            stderr=self.output.descriptor,
            start_new_session=True,
        )
        self.starts += 1
        self.pid = process.pid
        self.started.set()
        self._update_orphan_killer()
        self.started_at = trio.current_time()
        in_time = killed = False
        try:
            in_time = await self._watch_init(process)
            if in_time:
                await self._wait_for_end(process)
            killed = self._killed
        finally:
            with trio.CancelScope(shield=True):
                await self._kill_and_reap(process)
            self.pid, self.started = None, trio.Event()
            self._update_orphan_killer()
            self._dead.set()
            # A request for the dead process does not count for the next; the Runtime API asks
            # again.
            self._process_requested = trio.Event()
        if in_time:
            await self._report_exit(process, killed)
        else:
            self._report_init_timeout()
        self.options.hooks.on_exit()

    def _update_orphan_killer(self) -> None:
        if self.options.orphan_killer is not None:
            self.options.orphan_killer.add(self.pid or 0, self._marks[-1])

    async def _wait_for_end(self, process: trio.Process) -> None:
        """Wait until the process ends, or until its grace period ends."""
        async with _cancelled_when_ended(process):
            await self._end_requested.wait()
            await trio.sleep_until(self._end_requested_at + self.options.grace)

    async def _kill_and_reap(self, process: trio.Process) -> None:
        """End the process and everything it has started."""
        if process.returncode is None:
            # `run` was cancelled: the process still gets its grace period.
            self.end()
            if self._sigterm_sent:
                with trio.CancelScope(deadline=self._end_requested_at + self.options.grace):
                    await process.wait()
        self.kill()
        await process.wait()
        if self._end_requested.is_set():
            took = trio.current_time() - self._end_requested_at
            self.last_shutdown = ShutdownResult(self._sigterm_sent, took, process.returncode or 0)

    async def _watch_init(self, process: trio.Process) -> bool:
        """Return whether the runtime initialised, or ended, in time."""
        with trio.move_on_after(self._init_limit) as limit:
            async with _cancelled_when_ended(process):
                await self.api.wait_initialised()
        return not limit.cancelled_caught

    async def _report_exit(self, process: trio.Process, killed: bool) -> None:
        """Report the dead process to the Runtime API, after everything it sent has been read."""
        with trio.move_on_after(LAST_BYTES):
            await self.api.connections_closed()
        self.output.drain()
        self._init_limit = self._first_limit
        if killed:
            # The invoker already has its outcome.
            self.api.sandbox_ended(None)
        else:
            returncode = process.returncode or 0
            if math.isnan(self.api.initialised_at):
                self._report_failed_init(exited("", returncode))
            self.api.sandbox_ended(lambda request_id: exited(request_id, returncode))

    def _report_init_timeout(self) -> None:
        self._report_failed_init(timed_out("", self._init_limit))
        if self._init_limit == self._first_limit:
            # Repeat the init phase once, at the next invoke, within the function's time-out.
            self._init_limit = self.settings.timeout
            self.api.sandbox_ended(None)
        else:
            self._init_limit = self._first_limit
            self.api.sandbox_ended(lambda request_id: timed_out(request_id, self.settings.timeout))

    def _report_failed_init(self, outcome: InvocationOutcome) -> None:
        took = (trio.current_time() - self.started_at) * 1000
        self.output.write(init_report_line(took, outcome))
        self.options.hooks.on_init_failed(outcome, took)
