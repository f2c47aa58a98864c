"""The runtime's own tree on a Runtime API in memory, within a trio run that goes on after it.

Supervisors, workers, lanes and the Runtime API are the real ones. What belongs to a process is left
out: signals, exit codes, the watchdog's thread, the extension.
"""

import math
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import trio

from ..actors import StartError
from ..actors.exits import ExitReason, is_a
from ..actors.life import Phase
from ..actors.process import Process
from ..actors.start import spawn
from ..local.platform.hooks import RuntimeApiHooks
from ..local.platform.invocation import Invocation
from ..local.platform.outcomes import InvocationOutcome
from ..local.server.runtime_api import RuntimeApi, RuntimeApiOptions
from ..local.settings import FunctionSettings
from ..runtime.deadlines.interrupt import SIGNAL, DeadlineInterrupt
from ..runtime.errors.error_response import handler_error
from ..runtime.handlers.function import Function
from ..runtime.handlers.handler import is_async, is_handler, streams
from ..runtime.in_flight.lane import Lane
from ..runtime.in_flight.ledger import Ledger
from ..runtime.logs.invocation_context import set_lanes
from ..runtime.logs.lambda_log import replace_error_sink
from ..runtime.logs.sinks import StandardSink
from ..runtime.logs.xray_variable import VARIABLE
from ..runtime.process_end.shutdown import for_each_process
from ..runtime.protocol.outcome import Outcome
from ..runtime.protocol.transport import Transport
from ..runtime.settings import Settings
from ..runtime.tree import ServedFunction, build_tree
from ..supervisors import Supervisor
from .actors_in_tree import list_places
from .deadline_watch import DeadlineWatch
from .function_error import FunctionError, encode_event
from .memory_connection import MemoryConnection
from .next_crash import NextCrashes
from .virtual_clock import wall_clock, watch_threads

# Seconds that Lambda gives the init phase, and a tree to end.
INIT_LIMIT = 10.0
STOP_LIMIT = 2.0
# Any address: the connection is in memory.
ADDRESS = "127.0.0.1:9001"


class FunctionEngine:
    """Serves one function. `run_invocation` serves an event.

    Args:
        function: the function to serve.
        settings: the configuration of the function.

    Attributes:
        root: the root of the tree, once it has been started.
        ledger: the lanes and the ready workers.
        nursery: runs what belongs to the function.
        crashes: the crashes that wait for their call.
        errors: the exceptions of handlers, by request id.
        end: the error that has ended the function; None while it serves.
        end_was_raised: whether the test has seen that error.
    """

    def __init__(self, function: Function, settings: FunctionSettings) -> None:
        self.settings = settings
        self.root: Process
        self.nursery: trio.Nursery
        self.crashes = NextCrashes()
        self.errors = dict[str, BaseException]()
        self.end: FunctionError | None = None
        self.end_was_raised = False
        self._serving = self._stopping = False
        self._exit_reason = ""
        clock = wall_clock()
        self._api = RuntimeApi(
            settings,
            RuntimeApiOptions(wall_clock=clock),
            RuntimeApiHooks(
                on_process_needed=self._refuse_if_ended,
                on_kill=partial(self._fail, "an invocation timed out and was not answered"),
            ),
        )
        # Lambda Managed Instances would refuse an event for which no slot is free.
        lanes = settings.max_concurrency or 1
        self._slots = trio.Semaphore(lanes)
        self._lanes = [Lane(n, ADDRESS.encode(), wall_clock=clock) for n in range(lanes)]
        self._interrupt = DeadlineInterrupt()
        # Windows has no such signal.
        main_thread = threading.current_thread() is threading.main_thread()
        self._interrupts = main_thread and SIGNAL != 0
        target = function.handler.handler
        plain = not (is_handler(target) or is_async(target) or streams(target))
        inline = lanes == 1 and not function.has_actors
        self._runs_inline = plain and inline
        self._watch = DeadlineWatch(
            self._lanes,
            self._interrupt,
            runs_inline=self._runs_inline and self._interrupts,
            follows_inline=inline and self._interrupts,
        )
        self._watching = trio.CancelScope()
        self.ledger = Ledger(self._lanes, self._fail, self._watch)
        self._served = ServedFunction(
            function,
            _make_settings(settings, lanes, clock),
            self.ledger,
            self._interrupt,
            self._keep_error,
        )

    async def run_invocation(self, invocation: Invocation) -> InvocationOutcome:
        """Run an invocation. Cancelling the wait does not stop the handler, as on Lambda."""
        done = trio.Event()
        self.start_invocation(invocation, done)
        await done.wait()
        invocation.outcome = invocation.outcome or self._end_outcome()
        return invocation.outcome

    def start_invocation(self, invocation: Invocation, done: trio.Event) -> None:
        """Run an invocation in the background; set `done` at the end.

        Raises:
            FunctionError: the function has ended.
        """
        if self.end is not None:
            self.end_was_raised = True
            raise FunctionError(self.end.error_type, self.end.message) from self.end.__cause__

        async def run() -> None:
            try:
                async with self._slots:
                    await self._api.run_invocation(invocation)
            finally:
                done.set()

        self.nursery.start_soon(run)

    # -- its life

    @contextmanager
    def prepare(self) -> Generator[None]:
        """Change what a test run has in common with the function, until the block ends."""
        token = trio.lowlevel.current_trio_token()
        self._interrupt.request_exit = partial(self._end_after_answer, token)
        with ExitStack() as stack:
            stack.enter_context(_same_trace_variable())
            stack.callback(set_lanes, 1)
            set_lanes(len(self._lanes))
            stack.callback(replace_error_sink, replace_error_sink(LineSink()))
            stack.callback(self.crashes.close)
            if self._interrupts:
                stack.enter_context(self._interrupt)
            watch = watch_threads()
            if watch is not None and self._runs_inline:
                # Virtual time does not know the work of a plain `def` on the main thread.
                watch.works.append(self._is_at_work)
                stack.callback(watch.works.remove, self._is_at_work)
            yield

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the tree, and wait for it.

        Raises:
            StartError: an actor did not start; its own error is the `__cause__`.
        """
        self.nursery = nursery
        spec = build_tree(self._served, self._connect)
        self.root = spawn(
            nursery, partial(Supervisor, spec), path="/function", grace=math.inf, supervised=True
        )
        nursery.start_soon(self._watch_root)
        nursery.start_soon(self._watch_deadlines)
        try:
            if not await self.root.wait_started_within(INIT_LIMIT):
                late = TimeoutError(f"all inits together took longer than {INIT_LIMIT:g} s")
                raise StartError(self._starting_path(), ExitReason("crashed", late))
        except StartError as error:
            self.end_was_raised = True
            while is_a(error.reason.error, StartError):
                error = error.reason.error
            # The frames between are okibi's.
            raise error.with_traceback(None) from error.reason.error
        self._serving = True

    def _starting_path(self) -> str:
        """Return the path of the child whose init the start waits for."""
        places = list_places(self.root)
        starting = [
            path
            for path, place in places
            if place.process is not None and place.process.life.phase is Phase.STARTING
        ]
        return [self.root.path, *starting][-1]

    async def stop(self) -> None:
        """Stop the tree, and answer the invocations in flight."""
        self._watching.cancel()
        if self.root.life.phase is Phase.DEAD:
            self._note_end_of_root()
        self._serving, self._stopping = False, True
        for lane in self._lanes:
            lane.stop_asking()
        self.root.stop()
        with trio.move_on_after(STOP_LIMIT):
            await self.root.wait_dead()
        for_each_process(self.root, Process.kill)
        await self.root.wait_dead()
        self._end_with("the block of `running` has ended", None)
        for lane in self._lanes:
            lane.close()

    async def _connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        connection = MemoryConnection()
        self.nursery.start_soon(self._api.serve_connection, connection.server)
        return connection

    def _is_at_work(self) -> bool:
        return not self._serving or self.ledger.in_flight()

    def follows_up(self) -> bool:
        """Return whether all events have their responses, and functions still run after one."""
        deliveries = [lane.delivery for lane in self.ledger.lanes if lane.delivery is not None]
        return self.ledger.in_flight() and not any(each.unsettled for each in deliveries)

    # -- its end: where the runtime would end its process

    async def _watch_root(self) -> None:
        await self.root.wait_dead()
        if not self._stopping:
            self._note_end_of_root()

    def _note_end_of_root(self) -> None:
        reason = self.root.life.reason
        error = None if reason is None else reason.error
        self._end_with(self._exit_reason or f"its tree has ended: {reason}", error)

    async def _watch_deadlines(self) -> None:
        with self._watching:
            await self._watch.run()

    def _end_after_answer(self, token: trio.lowlevel.TrioToken, why: str) -> None:
        """End after the event in flight. A signal handler may call this."""
        self._exit_reason = why
        for lane in self._lanes:
            lane.stop_asking()
        token.run_sync_soon(self._stop_late)

    def _stop_late(self) -> None:
        # The late event tells the test; the tree answers it before it ends.
        self.end_was_raised = True
        self._watching.cancel()
        self.root.stop()

    def _fail(self, why: str) -> None:
        self._watching.cancel()
        self._end_with(why, None)
        for lane in self._lanes:
            lane.stop_asking()
        self.root.stop()

    def _end_with(self, why: str, cause: BaseException | None) -> None:
        if self.end is None:
            self.end = FunctionError("Runtime.ExitError", f"the function has ended: {why}")
            self.end.__cause__ = cause
            self.end_was_raised = self.end_was_raised or self._stopping
        self._refuse_if_ended()

    def _refuse_if_ended(self) -> None:
        """Answer the events that wait for a runtime, if there will be none."""
        if self.end is not None:
            self._api.sandbox_ended(lambda _: self._end_outcome())

    def _end_outcome(self) -> InvocationOutcome:
        assert self.end is not None  # its callers have set it
        body = encode_event({"errorType": self.end.error_type, "errorMessage": self.end.message})
        return InvocationOutcome(body, self.end.error_type)

    def _keep_error(self, error: BaseException, request_id: str) -> Outcome:
        self.errors[request_id] = error
        return handler_error(error, request_id)


def _make_settings(
    settings: FunctionSettings, lanes: int, wall_clock: Callable[[], float]
) -> Settings:
    return Settings(
        ADDRESS,
        settings.handler,
        str(settings.task_root),
        lanes=lanes,
        busy_wait=0.0,
        register_extension=False,
        loop=os.environ.get("OKIBI_LOOP") or None,
        function_name=settings.name,
        memory=str(settings.memory),
        log_group=f"/aws/lambda/{settings.name}",
        log_stream="test",
        wall_clock=wall_clock,
    )


class LineSink(StandardSink):
    r"""Writes an error as lines. Lambda's log joins them with `\r`, which a terminal overwrites."""

    def log_error(self, message_lines: Sequence[str], frame_type: bytes | None = None) -> None:
        self.log("\n".join(message_lines), frame_type)


@contextmanager
def _same_trace_variable() -> Generator[None]:
    """Restore the variable of X-Ray, which each event sets."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before
