"""The worker: owns one handler instance across invocations, and runs it for one event at a time."""

import sys
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from ...actors import KILLED, NORMAL, SHUTDOWN, Actor, ExitReason, Ref, crashed, logs
from ...actors.actor import make_receiver
from ...actors.exits import crash_in, is_a, without_cancelled
from ...actors.mailbox import LOOK
from ...actors.trio_internals import tasks_are_runnable
from ..codec.json import (
    LambdaContextUnmarshalError,
    MarshalError,
    ResultIsStream,
    UnmarshalError,
    decode_event,
)
from ..deadlines.where_it_stood import (
    FOLLOW_UP,
    HANDLER,
    deadline_error_from_exception,
)
from ..errors.error_response import (
    DEADLINE_EXCEEDED,
    calls_handler,
    handler_error,
    platform_error,
    unwrap_stop_iteration,
)
from ..errors.exceptions import DeadlineExceeded, ProcessStopped, prefer_deadline
from ..handlers.context import Context, check_context
from ..handlers.handler import Instance, PlainHandler, is_async, is_awaitable
from ..in_flight.delivery import Delivery
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import NO_TIME, Ledger
from ..logs.invocation_context import Invocation, enter_invocation, restore_context
from ..logs.lambda_log import flush, log_error
from ..protocol.outcome import Outcome
from ..settings import Settings
from .event_scope import EventScope
from .instance_lifecycle import InstanceLifecycle

if TYPE_CHECKING:
    from ..codec.json import Decoder
    from ..handlers.asyncio_handlers import HandlerLoop

logger = logs.logger("okibi")

# The official client's name for (un)marshal errors in an X-Ray cause.
X_RAY_FAULT = "LambdaValidationError"
# Seconds for the `terminate` of a discarded instance: its worker cannot serve meanwhile.
REPLACED_GRACE = 1.0
LEAKED = "Cancelled leaked from a cancel scope of the handler that has exited"
NO_INSTANCE = "without an instance, because its init has failed"
# Why a function did not run after the response, or was cut.
STOPPED_WITH_WORKER = "its worker was stopped, or its handler's instance has crashed"
NO_INSTANCE_LEFT = "the handler's instance has ended"

# A message of the dispatcher: an event for this worker.
Assigned = tuple[Lane, Delivery]


class Worker(Actor):
    """Runs one handler instance, one event at a time.

    The instance lives in a nursery owned by the worker. After an exception or a timeout the worker
    cancels that nursery, calls `terminate`, and creates a new instance. The same happens when a
    background task of the instance crashes. The worker itself keeps running, so this does not count
    against the supervisor's restart intensity.

    An `init` that fails in the start of the tree is an init error. If a later one fails, because a
    database is down, the worker waits for an event, tries `init` again for the event, and answers
    with the error of `init` if it fails again. So an outage costs no process, each invoker learns
    the cause at once, and the first event after the outage is served.

    If new instances keep crashing before their first event, the worker waits before each next one:
    not at all after the first, then 20 ms, 100 ms, and 500 ms from then on
    (`instance_lifecycle.PAUSES`).

    Args:
        ledger: holds the lanes and the ready workers.
        settings: the settings, for the context object.
        create: creates an instance.
        decoder: decodes the handler's event type.
        stateful: whether to replace an instance that has failed.
        encode_result: encodes a handler's result.
        plain_handler_for: returns the handler that runs follow-ups beside an instance.
        loop: asyncio's loop, if the function's `async def` handlers run on it.
        error_outcome: makes the outcome of a handler's exception from a request id.
    """

    __slots__ = (
        "_end_reason", "_event", "_has_started", "_lifecycle", "_own_ref", "_plain", "_running",
        "decoder", "encode_result", "error_outcome", "ledger", "loop", "plain_handler_for",
        "settings", "stateful",
    )  # fmt: skip

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        create: Callable[[], Instance],
        decoder: "Decoder",
        stateful: bool,
        encode_result: Callable[[object], Outcome],
        plain_handler_for: Callable[[Instance], PlainHandler],
        loop: "HandlerLoop | None" = None,
        error_outcome: Callable[[BaseException, str], Outcome] = handler_error,
    ) -> None:
        self.ledger = ledger
        self.settings = settings
        self.decoder = decoder
        self.stateful = stateful
        self.encode_result = encode_result
        self.loop = loop
        self.error_outcome = error_outcome
        self.plain_handler_for = plain_handler_for
        # Runs the follow-ups that are no `async def`; None until the instance's first one.
        self._plain: PlainHandler | None = None
        # Made once: `self.ref` is a new object each time, and costs two calls per event.
        self._own_ref: Ref[Any]
        self._lifecycle = InstanceLifecycle(create)
        # The delivery that the handler or a follow-up runs for.
        self._running: Assigned | None = None
        # Why that event ends, once its response is settled and follow-ups go on.
        self._end_reason = NORMAL
        # Whether this worker, or one before it, has had an instance.
        self._has_started = False
        # The event as the caller of the actors that the handler and its follow-ups call.
        self._event: Invocation | None = None

    @property
    def doing(self) -> str:
        """The activity that keeps the worker from taking an event, for messages; empty for none."""
        return "at another event" if self._running is not None else self._lifecycle.doing

    def abandon_task(self) -> Callable[[], bool]:
        """Stop waiting for the handler's task on asyncio's loop.

        Returns:
            A function: whether the abandoned task, or this worker, still runs.
        """
        if self._event is not None:
            self._event.end(KILLED)
        process = self._own_ref.process()
        task = process.waits.task
        goes_on = self.loop.abandon(task) if self.loop and task else None
        return goes_on or (lambda: process.life.reason is None)

    async def live(self, started: Callable[[], None]) -> None:
        self._own_ref = self.ref
        self._has_started = self._process.incarnation > 1
        if self.loop is not None:
            self.loop.mark_context()
        context_at_start = copy_context()
        event: Assigned | None = None
        while True:
            started_instance = await self._run_one_instance(started, event)
            replaced = crashed(RuntimeError("its instance is replaced"))
            await self._lifecycle.stop_instance(replaced, self.path, REPLACED_GRACE)
            await self._lifecycle.pause()
            # Tasks and actors that the next instance starts must not inherit an event's context,
            # or a tenant's.
            await restore_context(context_at_start.copy())
            event = None if started_instance else await self._wait_for_event()

    async def terminate(self, reason: ExitReason) -> None:
        self.ledger.remove_worker(self.ref)
        # An assigned event that has not begun goes to another worker.
        self.ledger.wake_dispatcher()
        self._settle_running(partial(_stopped, reason))
        await self._lifecycle.stop_instance(reason, self.path)

    async def before_snapshot(self) -> None:
        """Call the instance's `before_snapshot`, if it has one."""
        await self._lifecycle.call_hook("before_snapshot")

    async def after_restore(self) -> None:
        """Call the instance's `after_restore`, if it has one."""
        await self._lifecycle.call_hook("after_restore")

    async def _run_one_instance(
        self, started: Callable[[], None], event: "Assigned | None"
    ) -> bool:
        """Create an instance and serve with it until it must be replaced.

        Args:
            started: tells the starter that the worker runs.
            event: waits for the instance, because the `init` before failed; None for no event.

        Returns:
            Whether `init` succeeded.

        Raises:
            BaseException: the worker itself must end: its first `init` failed, or it is being
                stopped.
        """
        serving = False
        try:
            async with trio.open_nursery() as nursery:
                instance = await self._lifecycle.start_instance(nursery)
                started()
                serving = self._has_started = True
                if event is None:
                    self.ledger.add_worker(self._own_ref)
                await self._serve(instance, event)
                nursery.cancel_scope.cancel()
        except BaseException:
            if not self._has_started or crash_in(_current_error()) is None:
                raise
            if not serving:
                self._report_failed_init(_current_crash(), event)
                started()
                return False
            # A background task of the instance has crashed, perhaps while the handler ran.
            logger.exception("%s: a background task of its handler crashed", self.path)
            self._settle_running(partial(self.error_outcome, _current_crash()))
        finally:
            removed = self.ledger.remove_worker(self._own_ref)
            self._lifecycle.mark_ended(unused=serving and removed)
        # `_serve` ended by a Cancelled that no scope has caught.
        self._settle_running(partial(platform_error, "Runtime.HandlerCancelled", LEAKED))
        return True

    def _report_failed_init(self, error: BaseException, event: "Assigned | None") -> None:
        """Answer the event that has waited for an instance, or log the error if there is none."""
        if event is None:
            self._lifecycle.doing = NO_INSTANCE
            logger.error(
                "%s: the init of a new instance failed; each event tries again",
                self.path,
                exc_info=error,
            )
        elif event[1].begin(self._own_ref):
            self._running = event
            self._settle_running(partial(self.error_outcome, error))

    async def _wait_for_event(self) -> "Assigned":
        """Wait for an event without an instance."""
        receive: Callable[[], Awaitable[Assigned]] = make_receiver(self)
        self.ledger.add_worker(self._own_ref)
        while (event := await receive()) is LOOK:
            pass
        _, delivery = event
        # In a context of its own: `init` runs for the event, and the tasks that `init` starts must
        # not inherit the event.
        copy_context().run(enter_invocation, delivery.request_id, delivery.headers)
        return event

    async def _serve(self, instance: Instance, event: "Assigned | None") -> None:
        """Handle events until the instance must be replaced.

        Args:
            instance: the instance.
            event: the first event, if it has waited for the instance.
        """
        receive: Callable[[], Awaitable[Assigned]] = make_receiver(self)
        self._plain = None
        async with EventScope() as scope:
            while True:
                message, event = event or await receive(), None
                if message is LOOK:
                    continue
                lane, delivery = message
                if not delivery.begin(self._own_ref):
                    continue
                self._running = message
                self._event = enter_invocation(delivery.request_id, delivery.headers, self._process)
                outcome, trusted = await self._handle(instance, lane, delivery, scope)
                replaced = not trusted and self.stateful
                if replaced:
                    # Before the response goes out: this instance must not get the next event.
                    self.ledger.remove_worker(self._own_ref)
                self._settle(lane, delivery, outcome)
                # A response has up to 6 MB: free it before the next handler runs.
                del message, outcome
                if delivery.follow_ups is not None:
                    await self._follow_up(instance, lane, delivery, scope, replaced)
                if replaced:
                    return
                del lane, delivery
                if scope.context_before is not None:
                    await scope.reset_context()

    @calls_handler
    async def _handle(
        self, instance: Instance, lane: Lane, delivery: Delivery, scope: EventScope
    ) -> tuple[Outcome, bool]:
        """Run the handler.

        Returns:
            The outcome, and whether the instance may run again.
        """
        request_id = delivery.request_id
        try:
            check_context(delivery)
            event = decode_event(delivery, self.decoder)
            result = instance.handle(event, Context(delivery, self.settings))
            if is_awaitable(result):
                # A `def` handler blocks the loop, and no scope can end it: the interrupt does.
                with scope.until(delivery.limit):
                    result = await result
            try:
                return self.encode_result(result), True
            except ResultIsStream:
                # Streamed below: within this block, its errors would have this one as context.
                pass
            from ..handlers.streaming_handlers import send_stream

            with scope.until(delivery.limit):
                return await send_stream(result, instance, lane, delivery, self.loop)
        except (LambdaContextUnmarshalError, UnmarshalError, MarshalError) as error:
            kind = f"Runtime.{type(error).__name__}"
            return platform_error(kind, str(error), request_id, X_RAY_FAULT), True
        except BaseException:
            outcome = _outcome_of(_current_error(), request_id, self.error_outcome)
            if outcome is not None:
                return _prefer_late_answer(delivery, outcome), False
            if scope.timed_out:
                return _late_outcome(delivery), False
            # The worker itself is being stopped or killed.
            raise

    def _settle_running(self, outcome: Callable[[str], Outcome]) -> None:
        """Settle the delivery that the handler runs for, if there is one.

        Args:
            outcome: makes the outcome from a request id.
        """
        if self._running is not None:
            lane, delivery = self._running
            if delivery.unsettled:
                delivery.drop_follow_ups(NO_INSTANCE_LEFT)
            else:
                self.ledger.finish(lane, delivery, STOPPED_WITH_WORKER)
            self._settle(lane, delivery, outcome(delivery.request_id))

    def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        """Settle a delivery, have the response sent, and report this worker as idle.

        If the event has follow-ups, they come next, and the worker is not idle.
        """
        if delivery.follow_ups is None or not self._prepare_follow_ups(lane, delivery, outcome):
            self._running = None
            event, self._event = self._event, None
            if event is not None:
                event.end(NORMAL if outcome.error_type is None else end_of_event(outcome))
        try:
            if outcome.error_type is not None and delivery.unsettled:
                log_error(outcome.body)
            flush()
        finally:
            # Also if the user's replacement of standard output raises SystemExit.
            try:
                if delivery.settle(outcome, self._own_ref):
                    # At once, unless tasks are ready that the handler has woken, for example an
                    # actor that ends and restarts: the next event must find their work done.
                    self.ledger.respond(lane, at_once=not tasks_are_runnable())
                self.ledger.add_idle_worker(self._own_ref)
            except BaseException as interruption:
                if not self.ledger.fail_interrupted_step("settling an event", interruption):
                    # The delivery may be settled without a wake-up.
                    wake(lane.responder)
                raise

    def _prepare_follow_ups(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> bool:
        """Hold the next GET for the follow-ups; False if the deadline has passed: drop them."""
        if not delivery.unsettled:
            # The handler has answered early, and has ended now.
            if outcome.error_type is not None:
                log_error(outcome.body)
            return True
        if trio.current_time() >= delivery.limit:
            delivery.drop_follow_ups(NO_TIME)
            return False
        lane.outbox.hold_next()
        self._end_reason = end_of_event(outcome)
        return True

    async def _follow_up(
        self,
        instance: Instance,
        lane: Lane,
        delivery: Delivery,
        scope: EventScope,
        replaced: bool,
    ) -> None:
        """Run the follow-ups of a settled delivery, end its event, and report this worker as idle.

        Args:
            instance, lane, delivery, scope: as of the handler.
            replaced: whether the instance gets no other event.
        """
        from .run_follow_ups import run_follow_ups

        completed = False
        begin = partial(self.ledger.begin_follow_ups, delivery, self._own_ref)
        try:
            await run_follow_ups(delivery, scope, begin, partial(self._run_function, instance))
            completed = True
        finally:
            self._running = None
            event, self._event = self._event, None
            if event is not None:
                event.end(self._end_reason)
            try:
                flush()
            finally:
                if not completed:
                    # Its instance ends: without follow-ups, this worker would count as idle.
                    self.ledger.remove_worker(self._own_ref)
                self.ledger.finish(lane, delivery, NO_TIME if completed else STOPPED_WITH_WORKER)
                if completed and not replaced:
                    self.ledger.add_idle_worker(self._own_ref)

    async def _run_function(self, instance: Instance, function: Callable[[], Any]) -> None:
        """Run a function where a handler of its kind would run."""
        if is_async(function):
            await (function() if self.loop is None else self.loop.run_handler(function))
            return
        if self._plain is None:
            self._plain = self.plain_handler_for(instance)
        await self._plain.run_function(function)


# A traceback holds the frame that catches the error. A local variable for the error would make a
# reference cycle with that frame, which keeps event, instance and context alive until the garbage
# collector runs. The same holds for a variable that is bound while the frame's locals are read.


def _current_error() -> BaseException:
    error = sys.exception()
    assert error is not None  # called within an except block
    return error


def _current_crash() -> BaseException:
    crash = crash_in(_current_error())
    assert crash is not None  # the caller has checked this
    return crash


def _late_outcome(delivery: Delivery) -> Outcome:
    """Return the outcome of a handler that was cancelled at its deadline."""
    what = HANDLER if delivery.unsettled else FOLLOW_UP
    error = deadline_error_from_exception(_current_error(), delivery.request_id, what)
    return _prefer_late_answer(delivery, error)


def _prefer_late_answer(delivery: Delivery, error: Outcome) -> Outcome:
    """Return the answer of a late adapter, and log the error; else the error itself."""
    answer = delivery.late_answer() if error.error_type == DEADLINE_EXCEEDED else None
    if answer is None:
        return error
    if delivery.observed is not None:
        delivery.observed.note_late_answer(error)
    log_error(error.body)
    return answer


def _outcome_of(
    error: BaseException, request_id: str, error_outcome: Callable[[BaseException, str], Outcome]
) -> Outcome | None:
    """Return the outcome of a handler that raised; None if the worker itself was cancelled."""
    crash = crash_in(error)
    if crash is None:
        return None
    crash = unwrap_stop_iteration(crash)
    first = prefer_deadline(crash)
    if is_a(first, ProcessStopped):
        return _stopped(SHUTDOWN, request_id)
    if is_a(first, DeadlineExceeded):
        return deadline_error_from_exception(first, request_id)
    if issubclass(type(error), BaseExceptionGroup):
        # The handler's own group is reported whole, without the Cancelled that trio added.
        own_group = without_cancelled(error)
        return error_outcome(crash if own_group is None else own_group, request_id)
    return error_outcome(crash, request_id)


def end_of_event(outcome: Outcome) -> ExitReason:
    """Return the reason for which the caller of actors ends with this response."""
    return NORMAL if outcome.error_type is None else ExitReason("crashed", outcome.error_type)


def _stopped(reason: ExitReason, request_id: str) -> Outcome:
    text = f"the handler was stopped before it responded: {reason}"
    return platform_error("Runtime.Stopped", text, request_id)
