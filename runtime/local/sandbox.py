"""The sandbox: the bootstrap as a real process, one life after another.

One task owns the process. It starts one when one is wanted, watches its init and its end, and when
it leaves, for whatever reason, the whole process group is dead and reaped. Others only say `want`
and `kill`, which never wait.
"""

import math
import os
import signal
from contextlib import suppress
from subprocess import DEVNULL

import attrs
import trio

from runtime.local.environment import sandbox_environment
from runtime.local.outcomes import exited, timed_out
from runtime.local.output import Output
from runtime.local.report import init_report_line
from runtime.local.runtime_api import RuntimeApi
from runtime.local.settings import FunctionSettings

__all__ = ["INIT_LIMIT", "Sandbox"]

INIT_LIMIT = 10.0
"""Seconds for the init phase; past them Lambda starts it once more, within the function's own
time-out.
"""

LAST_BYTES = 1.0
"""Seconds to wait for what a dead process has still in its sockets. Its death closes them, so it
takes none.
"""


@attrs.define(eq=False)
class Sandbox:
    """Runs the bootstrap.

    Args:
        settings: of the function.
        api: the Runtime API that the bootstrap is to call.
        address: where that is, host and port.
        output: what the process writes to.
    """

    settings: FunctionSettings
    api: RuntimeApi
    address: str
    output: Output

    starts: int = attrs.field(default=0, init=False)
    """How many processes have been started."""
    pid: int | None = attrs.field(default=None, init=False)
    """Of the living process, which also leads its group."""
    started_at: float = attrs.field(default=0.0, init=False)
    """When its process was started, on trio's clock."""
    _wanted: trio.Event = attrs.field(factory=trio.Event, init=False)
    _killed: bool = attrs.field(default=False, init=False)
    _init_limit: float = attrs.field(default=INIT_LIMIT, init=False)

    def want(self) -> None:
        """Start a process if none is there."""
        self._wanted.set()

    def kill(self) -> None:
        """Kill the process and all that it started, now."""
        self._killed = True
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def run(self) -> None:
        """Serve until cancelled; the first process starts at once, as with provisioned
        concurrency.
        """
        self.want()
        while True:
            await self._wanted.wait()
            await self._live()

    async def _live(self) -> None:
        self._killed = False
        process = await trio.lowlevel.open_process(
            self.settings.command,
            cwd=self.settings.task_root,
            env=sandbox_environment(self.settings, self.address, os.environ),
            stdin=DEVNULL,
            stdout=self.output.descriptor,
            stderr=self.output.descriptor,
            start_new_session=True,
        )
        self.starts += 1
        self.pid = process.pid
        self.started_at = trio.current_time()
        in_time = killed = False
        try:
            in_time = await self._watch_init(process)
            if in_time:
                await process.wait()
            killed = self._killed
        finally:
            # What the bootstrap has started dies with it.
            self.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            self.pid = None
            # What was wanted of the dead one is not wanted of the next: the Runtime API asks again.
            self._wanted = trio.Event()
        if in_time:
            await self._bury(process, killed)
        else:
            self._init_overran()

    async def _watch_init(self, process: trio.Process) -> bool:
        """Whether the runtime came, or ended, in time."""
        with trio.move_on_after(self._init_limit) as limit:
            async with trio.open_nursery() as nursery:

                async def ended() -> None:
                    await process.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(ended)
                await self.api.runtime_came()
                nursery.cancel_scope.cancel()
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
