"""The sandbox: the bootstrap as a real process, one life after another.

One task owns the process. It starts one when one is wanted, watches its init and its end, and when
it leaves, for whatever reason, the whole process group is dead and reaped. Others only say `want`,
`end`, `kill`, `freeze` and `thaw`, which never wait.
"""

import math
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from subprocess import DEVNULL

import attrs
import trio

from .environment import process_mark, sandbox_environment
from .journal import EntryKind
from .orphan_killer import SWEEP_LIMIT, OrphanKiller, kill_marked
from .outcomes import exited, timed_out
from .output import Output
from .report_lines import init_report_line
from .runtime_api import RuntimeApi
from .settings import FunctionSettings

__all__ = ["GRACE", "INIT_LIMIT", "SandboxProcess", "ShutdownResult"]

INIT_LIMIT = 10.0
"""Seconds for the init phase; past them Lambda starts it once more, within the function's own
time-out.
"""

GRACE = 0.3
"""Seconds between SIGTERM and SIGKILL, for a sandbox with an extension (the runtime's share of the
shutdown phase). One without is killed at once.
"""

LAST_BYTES = 1.0
"""Seconds to wait for what a dead process has still in its sockets. Its death closes them, so it
takes none.
"""


@attrs.frozen
class ShutdownResult:
    """How a process ended that was told to.

    Args:
        asked: whether it got SIGTERM before anything else.
        seconds: from being told to its death.
        returncode: negative for a signal.
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
        settings: of the function.
        api: the Runtime API that the bootstrap is to call.
        address: where that is, host and port.
        output: what the process writes to.
        grace: seconds between SIGTERM and SIGKILL.
        orphan_killer: what kills the process should this one be killed.
    """

    settings: FunctionSettings
    api: RuntimeApi
    address: str
    output: Output
    grace: float = GRACE
    orphan_killer: OrphanKiller | None = None

    starts: int = attrs.field(default=0, init=False)
    """How many processes have been started."""
    pid: int | None = attrs.field(default=None, init=False)
    """Of the living process, which also leads its group."""
    started_at: float = attrs.field(default=0.0, init=False)
    """When its process was started, on trio's clock."""
    started: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set while a process lives; another one for the next."""
    finished: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when there is no process any more, nor will be."""
    _process_requested: trio.Event = attrs.field(factory=trio.Event, init=False)
    last_shutdown: ShutdownResult | None = attrs.field(default=None, init=False)
    """How the last one ended that was told to."""
    frozen: bool = attrs.field(default=False, init=False)
    """Whether the process is stopped."""
    _killed: bool = attrs.field(default=False, init=False)
    _end_requested: trio.Event = attrs.field(factory=trio.Event, init=False)
    _end_requested_at: float = attrs.field(default=0.0, init=False)
    _sigterm_sent: bool = attrs.field(default=False, init=False)
    _dead: trio.Event = attrs.field(factory=trio.Event, init=False)
    _marks: list[str] = attrs.field(factory=list[str], init=False)
    """Of all that have been started: what they have left is in no group of theirs."""
    _init_limit: float = attrs.field(default=INIT_LIMIT, init=False)

    def request_process(self) -> None:
        """Start a process if none is there."""
        self._process_requested.set()

    def end(self) -> None:
        """Lambda's shutdown: with an extension, SIGTERM, and SIGKILL when its grace is over;
        SIGKILL at once without (Extensions API).
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
        """Kill the process and all that it started, now."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process and all that it started, as Lambda does between two events."""
        if self.pid is not None and not self.frozen and not self._killed:
            self.frozen = True
            self._signal(signal.SIGSTOP)
            self.api.note(EntryKind.FROZEN)

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)
            self.api.note(EntryKind.THAWED)

    async def wait_ended(self) -> ShutdownResult:
        """Wait until the process is dead that `end` was for."""
        if self.pid is not None:
            await self._dead.wait()
        if self.last_shutdown is None:
            raise RuntimeError("no process has been told to end: there was none")
        return self.last_shutdown

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def run(self) -> None:
        """Serve until cancelled; the first process starts at once, as with provisioned
        concurrency.
        """
        self.request_process()
        try:
            while True:
                await self._process_requested.wait()
                await self._run_process()
        finally:
            # Only now: the next one's start is not to wait for it.
            kill_marked(self._marks, SWEEP_LIMIT)
            self.finished.set()

    async def _run_process(self) -> None:
        self._killed = self._sigterm_sent = self.frozen = False
        self._end_requested, self._dead = trio.Event(), trio.Event()
        inherited = {**os.environ, **self.output.environment}
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
            # What was wanted of the dead one is not wanted of the next: the Runtime API asks again.
            self._process_requested = trio.Event()
        if in_time:
            await self._report_exit(process, killed)
        else:
            self._report_init_timeout()

    def _update_orphan_killer(self) -> None:
        if self.orphan_killer is not None:
            self.orphan_killer.add(self.pid or 0, self._marks[-1])

    async def _wait_for_end(self, process: trio.Process) -> None:
        """Wait for the end of the process, or for the end of its grace."""
        async with _cancelled_when_ended(process):
            await self._end_requested.wait()
            await trio.sleep_until(self._end_requested_at + self.grace)

    async def _kill_and_reap(self, process: trio.Process) -> None:
        """Nothing of the process is left, nor of what it has started."""
        if process.returncode is None:
            # Left while it lives, it is to have its grace all the same.
            self.end()
            if self._sigterm_sent:
                with trio.CancelScope(deadline=self._end_requested_at + self.grace):
                    await process.wait()
        self.kill()
        await process.wait()
        if self._end_requested.is_set():
            took = trio.current_time() - self._end_requested_at
            self.last_shutdown = ShutdownResult(self._sigterm_sent, took, process.returncode or 0)

    async def _watch_init(self, process: trio.Process) -> bool:
        """Whether the runtime came, or ended, in time."""
        with trio.move_on_after(self._init_limit) as limit:
            async with _cancelled_when_ended(process):
                await self.api.wait_initialised()
        return not limit.cancelled_caught

    async def _report_exit(self, process: trio.Process, killed: bool) -> None:
        """The process is dead: tell the Runtime API, once all that it had sent has been read."""
        with trio.move_on_after(LAST_BYTES):
            await self.api.connections_closed()
        self.output.drain()
        self._init_limit = INIT_LIMIT
        if killed:
            # Whoever had it killed has given the invoker its answer already.
            self.api.sandbox_ended(None)
        else:
            returncode = process.returncode or 0
            if math.isnan(self.api.initialised_at):
                took = (trio.current_time() - self.started_at) * 1000
                self.output.write(init_report_line(took, exited("", returncode)))
            self.api.sandbox_ended(lambda request_id: exited(request_id, returncode))

    def _report_init_timeout(self) -> None:
        outcome = timed_out("", self.settings.timeout)
        took = (trio.current_time() - self.started_at) * 1000
        self.output.write(init_report_line(took, outcome))
        if self._init_limit == INIT_LIMIT:
            # Once more, in the time that the function itself has, when an invoke waits for it.
            self._init_limit = self.settings.timeout
            self.api.sandbox_ended(None)
        else:
            self._init_limit = INIT_LIMIT
            self.api.sandbox_ended(lambda request_id: timed_out(request_id, self.settings.timeout))
