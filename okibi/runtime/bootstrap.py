"""From process start to process end: environment, user code, tree, signals, exit code."""

import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from ..actors.start import spawn, wait_started
from ..supervisors import SupervisorSpec
from .deadlines.interrupt import Alarm
from .deadlines.slow_import import LIMIT, SlowImport
from .deadlines.watchdog import SharedWatchdog, Watchdog
from .errors.error_response import error_json, init_error
from .errors.exceptions import InitError
from .handlers.function import Function
from .in_flight.emergency_report import report_init_error
from .in_flight.lane import Lane
from .in_flight.ledger import Ledger
from .process.at_fork import Forks
from .process.shutdown import STOP_LIMIT, Ending, Root, end_within
from .protocol.transport import connect
from .serving.extension import ExtensionConnection
from .settings import Settings, read_api_address, read_settings, split_address, thread_limit
from .startup.find_function import load
from .system.precise_clock import FineClock
from .telemetry.logs import configure, log_error
from .tree import ServedFunction, build_tree

logger = logs.logger("okibi")


CANCELLED = (
    "trio has cancelled its whole run, as it does when a system task, or what run_sync_soon was "
    "given, has crashed"
)


def main(arguments: Sequence[str], *, collect: bool = False) -> int:
    """Serve until told to stop. The process's exit code: a death never looks like success.

    Args:
        arguments: the handler, if it is not in the environment.
        collect: whether the garbage collector, which rests, is to begin with the user's code.
    """
    # As glibc has it. musl gives a thread too little for deeply nested JSON: the process would end.
    threading.stack_size(8 << 20)
    try:
        settings = read_settings(os.environ, arguments)
    except InitError as wrong:
        # First: nobody may read what is written.
        end_within(STOP_LIMIT, 1)
        _report_setting(wrong)
        print(f"okibi: {wrong.message}", file=sys.stderr)
        return 1
    configure(settings.log_level, os.environ, as_json=settings.log_json, lanes=settings.lanes)
    kind = Watchdog if settings.lanes == 1 else SharedWatchdog
    watchdog = kind(settings.address)
    registration = None
    if settings.graceful:
        registration = ExtensionConnection(settings.api.encode())
        registration.begin(settings.address)
    # What okibi has imported lives for good: from here on the collector looks at the user's own.
    gc.freeze()
    if collect:
        gc.enable()
    try:
        with SlowImport(LIMIT if settings.on_demand else math.inf):
            function = load(settings.handler, settings.task_root)
        watchdog.start()
        code, last = trio.run(serve, function, settings, watchdog, registration, clock=FineClock())
    except InitError as error:
        end_within(STOP_LIMIT, error.code)
        log_error(error_json(error.kind, error.message, error.stack))
        report_init_error(settings.address, error)
        return error.code
    except BaseException:
        # A thread of the user's must not hold a process that serves nobody.
        end_within(STOP_LIMIT, 1)
        raise
    finally:
        watchdog.close()
    if last is not None:
        last()
    return code


def _report_setting(wrong: InitError) -> None:
    """Tell the invoker of a setting, as far as there is an address to tell it to."""
    with suppress(InitError):
        report_init_error(split_address(read_api_address(os.environ)), wrong)


async def serve(
    function: Function,
    settings: Settings,
    watchdog: Watchdog,
    registration: ExtensionConnection | None,
) -> tuple[int, Callable[[], object] | None]:
    """Build the tree, serve until a signal or a failure; the exit code, and what the user's code is
    to have called when trio has ended.

    Args:
        function: what is served.
        settings: the environment.
        watchdog: ends what this run cannot.
        registration: the extension's connection; None to be none.

    Raises:
        InitError: something of the tree did not start.
    """
    host = settings.api.encode()
    lanes = [Lane(n, host, settings.pipelined, settings.margin) for n in range(settings.lanes)]
    # Each of many events finds as many threads for `trio.to_thread` as it would find alone.
    limiter = trio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = thread_limit(len(lanes), int(limiter.total_tokens))
    alarm = Alarm()
    ending = Ending(lanes, alarm, watchdog.turn_to)
    clock = trio.lowlevel.current_clock()
    fine = [clock] if isinstance(clock, FineClock) else []
    forks = Forks(lanes, ending, alarm, *fine)
    ledger = Ledger(lanes, ending.fail, watchdog)
    serving = ServedFunction(function, settings, ledger, alarm)
    if serving.loop is not None:
        forks.others.append(serving.loop)
    flags = build_tree(serving, partial(connect, *settings.address), registration)
    watchdog.attach(ledger, alarm)
    with ending, alarm:
        not_started, reason = await _live(flags, ending, fine)
    for lane in lanes:
        lane.close()
    if registration is not None:
        registration.close()
    if not_started is not None and ending.code is None:
        raise _init_error(not_started)
    code = ending.code if ending.code is not None else int(reason.error is not None)
    return code, ending.left_to_user()


async def _live(
    flags: SupervisorSpec, ending: Ending, clocks: Sequence[FineClock]
) -> tuple[StartError | None, ExitReason]:
    """The tree from its start to its end: what did not start, if anything, and why it ended."""
    async with trio.open_nursery() as nursery:
        top = partial(Root, flags, ending)
        root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
        ending.root = root
        nursery.start_soon(ending.run)
        for clock in clocks:
            nursery.start_soon(clock.ring)
        try:
            not_started = await _start_error(root)
            if not_started is None:
                # What lives now lives for good: the collector need not look at it again.
                gc.freeze()
            reason = await root.wait_dead()
        except trio.Cancelled:
            # Nobody else cancels this. The tree is shielded from it, and would serve on without
            # whoever ends it.
            ending.fail(CANCELLED)
            with trio.CancelScope(shield=True):
                await ending.run()
            raise
        nursery.cancel_scope.cancel()
    return not_started, reason


async def _start_error(root: Process) -> StartError | None:
    try:
        await wait_started(root, math.inf)
    except StartError as error:
        return error
    return None


def _init_error(error: StartError) -> InitError:
    """The init error of the actor that did not start, by its path, whatever lies above it."""
    while is_a(error.reason.error, StartError):
        error = error.reason.error
    cause = error.reason.error
    if is_a(cause, InitError):
        return cause
    if cause is None:
        return InitError("Runtime.StartError", str(error))
    told = init_error(cause)
    return InitError(told.kind, f"{error.path} did not start: {told.message}", told.stack)
