"""Telemetry of a function: observers around its events, exports after them (`okibi.telemetry`).

Imported where the function's module has imported `okibi.telemetry`.

    worker       begins an event, and ends it with the handler's outcome
    dispatcher   ends the event of a dead or late worker, also one that no worker has begun
    responder    ends the event of a worker that the end of the process has killed
    watchdog     ends all events when the loop is held at a deadline: the process ends

Whoever settles an event ends its blocks first, in the same step, without a checkpoint. So an
observer that holds the loop leaves the delivery unsettled, and the watchdog answers it.
"""

import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

import trio

from ...actors import logs
from ...actors.safe_repr import describe_value
from ..errors.error_response import platform_error
from ..handlers.handler import Instance
from ..handlers.handler_thread import HandlerThread
from ..handlers.observed_event import AFTER_EVENTS, AROUND_EVENTS, Export, ObservedEvent
from ..in_flight.delivery import Delivery
from ..in_flight.lane import Lane
from ..in_flight.ledger import Ledger
from ..logs.lambda_log import write_raw
from ..protocol.outcome import Outcome
from ..settings import Settings
from ..system.unlisted_thread import start_unlisted_thread
from .event_scope import EventScope
from .worker import Worker

logger = logs.logger("okibi")

# Seconds that the sandbox does not ask for the next event because of an export.
EXPORT_LIMIT = 10.0
# Seconds before the event's limit at which it asks: the follow-up must not count as late.
EARLIER = 0.01
# Seconds that an export has at the end of the process, and at an end by a failure.
AT_END, AT_FAILURE = 0.05, 0.5
PROCESS_ENDED = "the process has ended at the deadline of another event"


class Telemetry:
    """Observes the events of a function.

    Args:
        ledger: the lanes.
        settings: the settings, for the context object.
    """

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._settings = ledger, settings
        self._observers = [*AROUND_EVENTS]
        self._first = True
        self.exports = Exports([*AFTER_EVENTS])

    def begin(self, delivery: Delivery) -> ObservedEvent:
        """Enter the blocks around an event, in the current task."""
        observed = ObservedEvent(delivery, self._settings, self._first)
        self._first = False
        delivery.observe(observed)
        observed.begin(self._observers)
        return observed

    def end(self, delivery: Delivery, outcome: Outcome) -> None:
        """Leave the blocks around an event; nothing happens if they have been left."""
        if delivery.observed is not None:
            delivery.observed.end(outcome)
        else:
            # No worker has begun it. What observers set must not stay in the caller's context.
            copy_context().run(self._begin_and_end, delivery, outcome)

    def _begin_and_end(self, delivery: Delivery, outcome: Outcome) -> None:
        self.begin(delivery).end(outcome)

    def end_and_export(self, delivery: Delivery, outcome: Outcome) -> None:
        """The same, and begin an export: no worker will."""
        self.end(delivery, outcome)
        self.exports.start()

    def note_error(
        self,
        make_outcome: Callable[[BaseException, str], Outcome],
        error: BaseException,
        request_id: str,
    ) -> Outcome:
        """Keep a handler's exception for its observers, and make the outcome."""
        for lane in self._ledger.lanes:
            delivery = lane.delivery
            if delivery is not None and delivery.request_id == request_id:
                (delivery.observed or self.begin(delivery)).note_error(error)
        return make_outcome(error, request_id)

    def end_process(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """End all events and export, while the loop is held; the process ends then.

        Called in the watchdog's thread. An observer may wait for a lock of the held loop, so the
        export runs in a thread of its own.
        """
        ended = threading.Event()

        def run() -> None:
            try:
                self.end(delivery, outcome)
                for lane in self._ledger.lanes:
                    if (other := lane.delivery) is not None and other.unsettled:
                        gone = platform_error("Runtime.ExitError", PROCESS_ENDED, other.request_id)
                        self.end(other, gone)
                self.exports.run(seconds)
            finally:
                ended.set()

        start_unlisted_thread(run)
        ended.wait(seconds)

    async def close(self, failed: bool) -> None:
        """Export what the last events have left, before the process ends."""
        seconds = AT_FAILURE if failed else AT_END
        self.exports.start(seconds)
        with trio.move_on_after(seconds, shield=True):
            await self.exports.wait_idle()


class Exports:
    """Runs the exports in one thread, never two calls at once.

    Args:
        functions: called with the number of seconds that okibi waits.
    """

    def __init__(self, functions: list[Export]) -> None:
        self._functions = functions
        # Set at the end of the calls that run; None if none run.
        self._idle: trio.Event | None = None
        # Wakes the task that owns the thread; None without this task.
        self._asked: trio.Event | None = None
        # Whether other calls follow those that run.
        self._again = False
        self._until = 0.0

    def __bool__(self) -> bool:
        return bool(self._functions)

    def start(self, seconds: float = EXPORT_LIMIT) -> bool:
        """Begin an export, or have another one follow the one that runs.

        Args:
            seconds: the time that okibi waits for its end.

        Returns:
            Whether no other one runs.
        """
        if not self._functions:
            return True
        self._until = trio.current_time() + seconds
        if self._idle is not None:
            self._again = True
            return False
        self._idle = trio.Event()
        if self._asked is None:
            self._asked = trio.Event()
            trio.lowlevel.spawn_system_task(self._serve, name="okibi.telemetry")
        self._asked.set()
        return True

    async def wait_idle(self) -> None:
        """Wait until no export runs."""
        if self._idle is not None:
            await self._idle.wait()

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                thread = HandlerThread(nursery)
                while self._asked is not None:
                    await self._asked.wait()
                    self._again = False
                    seconds = max(self._until - trio.current_time(), 0.0)
                    await thread.call(partial(self.run, seconds))
                    if not self._again:
                        self._asked = trio.Event()
                        self._mark_idle()
        except* RuntimeError:
            # The system allows no more threads: the next event tries again.
            logger.exception("telemetry was not exported")
        finally:
            self._asked = None
            self._mark_idle()

    def _mark_idle(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            idle.set()

    def run(self, seconds: float) -> None:
        """Export in this thread."""
        for export in self._functions:
            try:
                export(seconds)
            except BaseException as error:
                # Not by a logger: this thread may run while a handler joins all listed ones.
                write_raw(f"the export {describe_value(export)} raised {error!r}")


class TelemetryWorker(Worker):
    """Observes its events. Comes before another class of workers."""

    __slots__ = ()

    async def _handle(
        self, instance: Instance, lane: Lane, delivery: Delivery, scope: EventScope
    ) -> tuple[Outcome, bool]:
        telemetry = self._telemetry()
        # Before the observers set context variables: those end with the event.
        scope.keep_context()
        observed = telemetry.begin(delivery)
        outcome, trusted = await super()._handle(instance, lane, delivery, scope)
        telemetry.end(delivery, outcome)
        exports = telemetry.exports
        if exports and len(self.ledger.lanes) > 1:
            # Such a sandbox does not freeze.
            exports.start()
        elif exports and observed.is_late:
            exports.start((delivery.due - delivery.limit) / 4)
            with trio.move_on_at(delivery.limit + (delivery.due - delivery.limit) / 4):
                await exports.wait_idle()
        elif exports:
            follow_ups = delivery.open_follow_ups()
            if follow_ups is None:
                exports.start()
            else:
                follow_ups.add(export_telemetry, (exports, delivery))
        return outcome, trusted

    def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        # Of a handler that has ended nothing is left to do here.
        self._telemetry().end(delivery, outcome)
        super()._settle(lane, delivery, outcome)

    def _settle_running(self, outcome: Callable[[str], Outcome]) -> None:
        running = self._running is not None
        super()._settle_running(outcome)
        if running:
            # The worker does not come to the follow-up.
            self._telemetry().exports.start()

    async def _run_function(self, instance: Instance, function: Callable[[], Any]) -> None:
        if getattr(function, "func", None) is export_telemetry:
            # On trio, whatever loop the handler runs on.
            await function()
        else:
            await super()._run_function(instance, function)

    def _telemetry(self) -> Telemetry:
        telemetry: Any = self.ledger.telemetry
        return telemetry  # type: ignore[no-any-return]


def with_telemetry(kind: type[Worker]) -> type[Worker]:
    """Return a class of workers that observe their events."""
    return type(f"{kind.__name__}WithTelemetry", (TelemetryWorker, kind), {"__slots__": ()})


async def export_telemetry(exports: Exports, delivery: Delivery) -> None:
    """Export after a response, and wait for the end while there is time."""
    follow_ups = delivery.follow_ups
    if follow_ups is not None and follow_ups.calls:
        # The other functions of the event are observed, too.
        follow_ups.add(export_telemetry, (exports, delivery))
        return
    seconds = min(EXPORT_LIMIT, delivery.limit - EARLIER - trio.current_time())
    try:
        if exports.start(max(seconds, 0.0)):
            with trio.move_on_after(seconds):
                await exports.wait_idle()
    finally:
        if follow_ups is not None:
            # The export itself goes on, also if this worker is stopped: nothing was cut.
            follow_ups.end_running()
