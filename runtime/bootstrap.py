"""From process start to process end: environment, user code, tree, signals, exit code."""

import gc
import logging
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial

import trio

from actors import StartError
from actors.process import Process
from actors.start import spawn, wait_started
from supervisors import Supervisor

from .alarm import Alarm
from .failure import InitError, init_error
from .function import Function
from .lane import Lane
from .ledger import Ledger
from .load import load
from .logs import configure
from .report import report_init_error
from .settings import Settings, settings_from
from .transport import SocketTransport, connect
from .tree import Serving, tree
from .watchdog import INIT_LIMIT, Watchdog, end_within

logger = logging.getLogger("okibi")

# Seconds from the decision to end until the end: what Lambda's shutdown phase allows at most. A
# handler that shields itself, or a thread of the user's, would hold the process for ever.
STOP_LIMIT = 2.0


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop. The process's exit code: a death never looks like success."""
    try:
        settings = settings_from(os.environ, arguments)
    except InitError as wrong:
        print(f"okibi: {wrong.message}", file=sys.stderr)
        return 1
    configure(settings.log_level)
    watchdog = Watchdog(settings.address, INIT_LIMIT if settings.on_demand else math.inf)
    watchdog.start()
    try:
        function = load(settings.handler, settings.task_root)
        return trio.run(serve, function, settings, watchdog)
    except InitError as error:
        logger.error("%s\n%s", error, "".join(error.stack))
        report_init_error(settings.address, error)
        return 1
    finally:
        watchdog.close()


class Ending:
    """How the process ends: once it is to, no event is asked for, and there is a limit to it."""

    def __init__(self, lanes: list[Lane]) -> None:
        self.code: int | None = None
        self.root: Process | None = None
        self._lanes = lanes

    def fail(self, why: str) -> None:
        """End with a failure."""
        logger.critical("%s", why)
        self.begin(1)

    def begin(self, code: int) -> None:
        """Stop the tree; of several codes the worst is the process's."""
        # Cut short, it is no success: something in flight was not answered.
        end_within(STOP_LIMIT, 1)
        self.code = max(code, self.code or 0)
        for lane in self._lanes:
            lane.closing = True
        if self.root is not None:
            self.root.stop()


async def serve(function: Function, settings: Settings, watchdog: Watchdog) -> int:
    """Build the tree, serve until a signal or a failure, and say with which code to exit.

    Raises:
        InitError: something of the tree did not start.
    """
    host = settings.api.encode()
    lanes = [Lane(n, host, settings.pipelined, settings.margin) for n in range(settings.lanes)]
    os.register_at_fork(after_in_child=partial(_leave_to_parent, lanes, watchdog))
    ending, alarm = Ending(lanes), Alarm()
    ledger = Ledger(lanes, ending.fail, watchdog)
    flags = tree(Serving(function, settings, ledger, alarm), partial(connect, *settings.address))
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, alarm:
        async with trio.open_nursery() as nursery:
            top = partial(Supervisor, flags)
            root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
            ending.root = watchdog.root = root
            nursery.start_soon(_end_on_signal, signals, ending)
            not_started = await _start_error(root)
            if not_started is None:
                watchdog.initialised(ledger, alarm)
                # What lives now lives for good: the collector need not look at it again.
                gc.freeze()
            reason = await root.wait_dead()
            nursery.cancel_scope.cancel()
    for lane in lanes:
        lane.close()
    if not_started is not None and ending.code is None:
        raise _init_error(not_started)
    return ending.code if ending.code is not None else int(reason.error is not None)


def _leave_to_parent(lanes: list[Lane], watchdog: Watchdog) -> None:
    watchdog.forked()
    for lane in lanes:
        if isinstance(lane.transport, SocketTransport):
            lane.transport = lane.transport.forked()


async def _end_on_signal(signals: AsyncIterator[int], ending: Ending) -> None:
    async for number in signals:
        logger.info("%s: stopping", signal.Signals(number).name)
        ending.begin(0)


async def _start_error(root: Process) -> StartError | None:
    try:
        await wait_started(root, math.inf)
    except StartError as error:
        return error
    return None


def _init_error(error: StartError) -> InitError:
    """The init error of the actor that did not start, by its path, whatever lies above it."""
    while isinstance(error.reason.error, StartError):
        error = error.reason.error
    cause = error.reason.error
    if cause is None:
        return InitError("Runtime.StartError", str(error))
    told = init_error(cause)
    return InitError(told.kind, f"{error.path} did not start: {told.message}", told.stack)
