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

from .environment import mark_of, sandbox_environment
from .journal import Happening
from .outcomes import exited, timed_out
from .output import Output
from .processes import SWEEP, Sweeper, end_marked
from .report_lines import init_report_line
from .runtime_api import RuntimeApi
from .settings import FunctionSettings

__all__ = ["GRACE", "INIT_LIMIT", "Ending", "Sandbox"]

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
class Ending:
    """How a process ended that was told to.

    Args:
        asked: whether it got SIGTERM before anything else.
        seconds: from being told to its death.
        returncode: negative for a signal.
    """

    asked: bool
    seconds: float
    returncode: int


@asynccontextmanager
async def _until_ended(process: trio.Process) -> AsyncGenerator[None]:
    """Cancel the block when the process has ended."""

    async def ended() -> None:
        await process.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ended)
        yield
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class Sandbox:
    """Runs the bootstrap.

    Args:
        settings: of the function.
        api: the Runtime API that the bootstrap is to call.
        address: where that is, host and port.
        output: what the process writes to.
        grace: seconds between SIGTERM and SIGKILL.
        sweeper: what kills the process should this one be killed.
    """

    settings: FunctionSettings
    api: RuntimeApi
    address: str
    output: Output
    grace: float = GRACE
    sweeper: Sweeper | None = None

    starts: int = attrs.field(default=0, init=False)
    """How many processes have been started."""
    pid: int | None = attrs.field(default=None, init=False)
    """Of the living process, which also leads its group."""
    started_at: float = attrs.field(default=0.0, init=False)
    """When its process was started, on trio's clock."""
    started: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set while a process lives; another one for the next."""
    gone: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when there is no process any more, nor will be."""
    _wanted: trio.Event = attrs.field(factory=trio.Event, init=False)
    ending: Ending | None = attrs.field(default=None, init=False)
    """How the last one ended that was told to."""
    frozen: bool = attrs.field(default=False, init=False)
    """Whether the process is stopped."""
    _killed: bool = attrs.field(default=False, init=False)
    _told: trio.Event = attrs.field(factory=trio.Event, init=False)
    _told_at: float = attrs.field(default=0.0, init=False)
    _asked: bool = attrs.field(default=False, init=False)
    _dead: trio.Event = attrs.field(factory=trio.Event, init=False)
    _marks: list[str] = attrs.field(factory=list[str], init=False)
    """Of all that have been started: what they have left is in no group of theirs."""
    _init_limit: float = attrs.field(default=INIT_LIMIT, init=False)

    def want(self) -> None:
        """Start a process if none is there."""
        self._wanted.set()

    def end(self) -> None:
        """Lambda's shutdown: with an extension, SIGTERM, and SIGKILL when its grace is over;
        SIGKILL at once without (Extensions API).
        """
        if self.pid is None or self._told.is_set():
            return
        self._told_at = trio.current_time()
        self._asked = len(self.api.extensions) > 0
        self._killed = True
        self._told.set()
        if self._asked:
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
            self.api.note(Happening.FROZEN)

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen:
            self.frozen = False
            self._signal(signal.SIGCONT)
            self.api.note(Happening.THAWED)

    async def ended(self) -> Ending:
        """Wait until the process is dead that `end` was for."""
        if self.pid is not None:
            await self._dead.wait()
        if self.ending is None:
            raise RuntimeError("no process has been told to end: there was none")
        return self.ending

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def run(self) -> None:
        """Serve until cancelled; the first process starts at once, as with provisioned
        concurrency.
        """
        self.want()
        try:
            while True:
                await self._wanted.wait()
                await self._live()
        finally:
            # Only now: the next one's start is not to wait for it.
            end_marked(self._marks, SWEEP)
            self.gone.set()

    async def _live(self) -> None:
        self._killed = self._asked = self.frozen = False
        self._told, self._dead = trio.Event(), trio.Event()
        inherited = {**os.environ, **self.output.variables}
        environment = sandbox_environment(self.settings, self.address, inherited)
        self._marks.append(mark_of(environment))
        self._tell_sweeper()
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
        self._tell_sweeper()
        self.started_at = trio.current_time()
        in_time = killed = False
        try:
            in_time = await self._watch_init(process)
            if in_time:
                await self._outlive(process)
            killed = self._killed
        finally:
            with trio.CancelScope(shield=True):
                await self._finish(process)
            self.pid, self.started = None, trio.Event()
            self._tell_sweeper()
            self._dead.set()
            # What was wanted of the dead one is not wanted of the next: the Runtime API asks again.
            self._wanted = trio.Event()
        if in_time:
            await self._bury(process, killed)
        else:
            self._init_overran()

    def _tell_sweeper(self) -> None:
        if self.sweeper is not None:
            self.sweeper.add(self.pid or 0, self._marks[-1])

    async def _outlive(self, process: trio.Process) -> None:
        """Wait for the end of the process, or for the end of its grace."""
        async with _until_ended(process):
            await self._told.wait()
            await trio.sleep_until(self._told_at + self.grace)

    async def _finish(self, process: trio.Process) -> None:
        """Nothing of the process is left, nor of what it has started."""
        if process.returncode is None:
            # Left while it lives, it is to have its grace all the same.
            self.end()
            if self._asked:
                with trio.CancelScope(deadline=self._told_at + self.grace):
                    await process.wait()
        self.kill()
        await process.wait()
        if self._told.is_set():
            took = trio.current_time() - self._told_at
            self.ending = Ending(self._asked, took, process.returncode or 0)

    async def _watch_init(self, process: trio.Process) -> bool:
        """Whether the runtime came, or ended, in time."""
        with trio.move_on_after(self._init_limit) as limit:
            async with _until_ended(process):
                await self.api.runtime_came()
        return not limit.cancelled_caught

    async def _bury(self, process: trio.Process, killed: bool) -> None:
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
            if math.isnan(self.api.came_at):
                took = (trio.current_time() - self.started_at) * 1000
                self.output.write(init_report_line(took, exited("", returncode)))
            self.api.sandbox_ended(lambda request_id: exited(request_id, returncode))

    def _init_overran(self) -> None:
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
