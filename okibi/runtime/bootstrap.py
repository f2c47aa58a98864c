"""The life of the process: settings, user code, supervision tree, signals, exit code.

1. Read the settings and configure logging.
2. Take over the extension's registration, sent before trio was imported (`__main__`).
3. Import the user's code (`startup.find_function`).
4. Run trio: build the tree, start it, serve until a signal or a failure.
5. Stop the tree and return the exit code.
"""

import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from socket import socket
from typing import TYPE_CHECKING

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from ..actors.start import spawn, wait_started
from ..supervisors import SupervisorSpec
from .deadlines.interrupt import DeadlineInterrupt
from .deadlines.slow_import import LIMIT, SlowImport
from .deadlines.watchdog import SharedWatchdog, Watchdog
from .errors.error_response import error_json, frames_written_by_user, init_error
from .errors.exceptions import InitError
from .handlers.function import Function, find_warnings
from .in_flight.emergency_report import report_init_error
from .in_flight.lane import Lane
from .in_flight.ledger import Ledger
from .logs.lambda_log import configure, log_error, write_counts
from .process_end.at_fork import ForkGuard
from .process_end.shutdown import STOP_LIMIT, RootSupervisor, Shutdown, exit_within
from .protocol.registration import send_registration
from .protocol.runtime_api import split_address
from .protocol.transport import connect
from .serving.extension import ExtensionConnection
from .settings import Settings, read_api_address, read_settings, thread_limit
from .startup.find_function import load
from .startup.pause_gc import fewer_collections
from .system.precise_clock import PreciseClock
from .tree import ServedFunction, build_tree

if TYPE_CHECKING:
    from .in_flight.ledger import Watch

logger = logs.logger("okibi")


CANCELLED = (
    "trio cancelled its whole run, because a system task or a run_sync_soon callback crashed"
)


def main(
    arguments: Sequence[str],
    *,
    enable_gc: bool = False,
    registration: socket | OSError | None = None,
    end_imports: Callable[[], object] | None = None,
    observe: Callable[[Process], None] | None = None,
) -> int:
    """Serve a function until a signal or a failure.

    Args:
        arguments: the handler, if `_HANDLER` is not set.
        enable_gc: whether to enable the garbage collector before the user's code is imported.
        registration: the result of `send_registration`. None sends the registration now, if the
            settings ask for it.
        end_imports: called after the user's code is imported.
        observe: called with the root of the tree, before any other actor starts.

    Returns:
        The exit code: 0 only after an orderly stop.
    """
    # glibc's default. musl's is too small for deeply nested JSON, and the process would crash.
    threading.stack_size(8 << 20)
    try:
        settings = read_settings(os.environ, arguments)
    except InitError as error:
        # First, because writing may block.
        exit_within(STOP_LIMIT, 1)
        _report_bad_setting(error)
        print(f"okibi: {error.message}", file=sys.stderr)
        return 1
    configure(settings.log_level, os.environ, as_json=settings.log_json, lanes=settings.lanes)
    kind = Watchdog if settings.lanes == 1 else SharedWatchdog
    watchdog = kind(settings.address)
    extension = None
    if registration is None and settings.register_extension:
        registration = send_registration(os.environ)
    if registration is not None:
        extension = ExtensionConnection(settings.api.encode())
        extension.register(settings.address, registration)
    # okibi's modules live until the end: exclude them from garbage collection.
    gc.freeze()
    if enable_gc:
        gc.enable()
    try:
        with SlowImport(LIMIT if settings.on_demand else math.inf), fewer_collections():
            function = load(settings.handler, settings.task_root, settings.lanes)
        for warning in find_warnings(function.handler.handler):
            logger.warning("%s", warning)
        if end_imports is not None:
            end_imports()
        watchdog.start()
        clock = PreciseClock()
        code, last = trio.run(serve, function, settings, watchdog, extension, observe, clock=clock)
    except InitError as error:
        exit_within(STOP_LIMIT, error.code)
        log_error(error_json(error.kind, error.message, error.logged))
        report_init_error(settings.address, error)
        return error.code
    except BaseException:
        # Threads of the user's code must not keep the process alive.
        exit_within(STOP_LIMIT, 1)
        raise
    finally:
        watchdog.close()
    if last is not None:
        last()
    return code


def _report_bad_setting(error: InitError) -> None:
    """Report an init error to the Runtime API, if its address is known."""
    with suppress(InitError):
        report_init_error(split_address(read_api_address(os.environ)), error)


async def serve(
    function: Function,
    settings: Settings,
    watchdog: Watchdog,
    extension: ExtensionConnection | None,
    observe: Callable[[Process], None] | None = None,
) -> tuple[int, Callable[[], object] | None]:
    """Build the tree and serve until a signal or a failure.

    Args:
        function: the function to serve.
        settings: the settings from the environment.
        watchdog: holds the deadlines when trio's loop cannot.
        extension: the extension's connection; None for no extension.
        observe: called with the root of the tree, before any other actor starts.

    Returns:
        The exit code, and a callable of the user's code to run after trio has ended, or None.

    Raises:
        InitError: an actor of the tree did not start.
    """
    host = settings.api.encode()
    lanes = [Lane(n, host, settings.pipelined, settings.margin) for n in range(settings.lanes)]
    # Each lane gets as many threads of `trio.to_thread` as a single lane has.
    limiter = trio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = thread_limit(len(lanes), int(limiter.total_tokens))
    interrupt = DeadlineInterrupt()
    shutdown = Shutdown(lanes, interrupt, watchdog.run_instead)
    clock = trio.lowlevel.current_clock()
    fine = [clock] if isinstance(clock, PreciseClock) else []
    fork_guard = ForkGuard(lanes, shutdown, interrupt, *fine)
    watch: Watch = watchdog
    if settings.metrics or "opentelemetry.metrics" in sys.modules:
        from .serving.tree_metrics import count_tree

        watch = count_tree(settings, watchdog)
    ledger = Ledger(lanes, shutdown.fail, watch)
    served = ServedFunction(function, settings, ledger, interrupt)
    if served.loop is not None:
        fork_guard.others.append(served.loop)
    spec = build_tree(served, partial(connect, *settings.address), extension)
    watchdog.attach(ledger, interrupt)
    with shutdown, interrupt:
        try:
            not_started, reason = await _run_tree(spec, shutdown, fine, observe)
            if ledger.telemetry is not None:
                await ledger.telemetry.close(shutdown.code != 0)
        finally:
            write_counts()
    for lane in lanes:
        lane.close()
    if extension is not None:
        extension.close()
    if not_started is not None and shutdown.code is None:
        raise _init_error(not_started)
    code = shutdown.code if shutdown.code is not None else int(reason.error is not None)
    return code, shutdown.users_sigterm_handler()


async def _run_tree(
    spec: SupervisorSpec,
    shutdown: Shutdown,
    clocks: Sequence[PreciseClock],
    observe: Callable[[Process], None] | None,
) -> tuple[StartError | None, ExitReason]:
    """Start the tree and wait for its end.

    Returns:
        The error if an actor did not start, and the root's exit reason.
    """
    async with trio.open_nursery() as nursery:
        top = partial(RootSupervisor, spec, shutdown)
        root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
        shutdown.root = root
        if observe is not None:
            observe(root)
        nursery.start_soon(shutdown.run)
        for clock in clocks:
            nursery.start_soon(clock.run_timer)
        try:
            not_started = await _start_error(root)
            if not_started is None:
                # The tree lives until the end, too.
                gc.freeze()
            reason = await root.wait_dead()
        except trio.Cancelled:
            # trio itself has cancelled the run. The tree is shielded and would serve on, but the
            # tasks that end it are cancelled.
            shutdown.fail(CANCELLED)
            with trio.CancelScope(shield=True):
                await shutdown.run()
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
    """Return the init error of the innermost actor that did not start."""
    while is_a(error.reason.error, StartError):
        error = error.reason.error
    cause = error.reason.error
    if is_a(cause, InitError):
        return cause
    if cause is None:
        return InitError("Runtime.StartError", str(error))
    described = init_error(cause)
    message = f"{error.path} did not start" + (described.message and f": {described.message}")
    # The crash report of the actor has the whole traceback.
    return InitError(described.kind, message, described.stack, frames_written_by_user(cause))
