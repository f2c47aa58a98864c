"""A worker: owns one handler instance across invocations, and runs it, one event at a time."""

import sys
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from ...actors import SHUTDOWN, Actor, ExitReason, Ref, crashed, logs
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
    encode_handler_result,
)
from ..deadlines.where_it_stood import late_by
from ..errors.error_response import calls_handler as handles
from ..errors.error_response import handler_error, platform_error, unwrap_stop_iteration
from ..errors.exceptions import DeadlineExceeded, ProcessStopped, prefer_deadline
from ..handlers.context import Context, check_context
from ..handlers.handler import Instance, is_awaitable
from ..in_flight.delivery import Delivery
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import Ledger
from ..protocol.outcome import Outcome
from ..settings import Settings
from ..telemetry.invocation_context import enter, leave_behind
from ..telemetry.logs import flush, log_error
from .event_scope import EventScope
from .instance_lifecycle import InstanceLifecycle

if TYPE_CHECKING:
    from ..handlers.asyncio_loop.loop import AsyncioLoop

logger = logs.logger("okibi")

# What the official client calls these errors in their X-Ray cause.
FAULT = "LambdaValidationError"
# What a distrusted instance may take for its `terminate` while its worker could serve.
REPLACED_GRACE = 1.0
LEAKED = "The handler ended by a cancellation that none of its own scopes took"


class Worker(Actor):
    """Runs one handler instance, one event at a time.

    The instance lives in a nursery owned by the worker. After an exception or a timeout the worker
    cancels that nursery, calls `terminate`, and creates a new instance; the worker itself keeps
    running, so this does not count against the supervisor's restart intensity. If the new
    instance's `init` fails, the worker exits.

    Args:
        ledger: where its deliveries stand.
        settings: what the context object tells.
        make: makes an instance.
        decoder: of the handler's event type.
        stateful: whether an instance is to be replaced when it has failed.
        say: makes of a result what goes on the wire.
        loop: asyncio's, if asynchronous handlers run there.
    """

    __slots__ = (
        "_me", "_running", "_slot", "decoder", "ledger", "loop", "say", "settings", "stateful",
    )  # fmt: skip

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        make: Callable[[], Instance],
        decoder: msgspec.json.Decoder[Any],
        stateful: bool,
        say: Callable[[object], Outcome] = encode_handler_result,
        loop: "AsyncioLoop | None" = None,
    ) -> None:
        self.ledger = ledger
        self.settings = settings
        self.decoder = decoder
        self.stateful = stateful
        self.say = say
        self.loop = loop
        # Made once: to make one, and to compare it with another, costs each event two calls.
        self._me: Ref[Any]
        self._slot = InstanceLifecycle(make)
        # What its handler runs for, until that has its answer.
        self._running: tuple[Lane, Delivery] | None = None

    @property
    def doing(self) -> str:
        """What keeps it from an event, in words; empty if nothing does."""
        return "at another event" if self._running is not None else self._slot.doing

    def let_go(self) -> Callable[[], bool]:
        """Wait no more for what its handler has on the asyncio loop: it is abandoned.

        Returns:
            How to see whether what it was at goes on.
        """
        process = self._me.process()
        goes_on = self.loop.abandon(process.task) if self.loop and process.task else None
        return goes_on or (lambda: process.reason is None)

    async def live(self, started: Callable[[], None]) -> None:
        self._me = self.ref
        born = copy_context()
        while True:
            await self._one_instance(started)
            replaced = crashed(RuntimeError("its instance is replaced"))
            await self._slot.empty(replaced, self.path, REPLACED_GRACE)
            await self._slot.pause()
            # What the next one begins for good, tasks and actors, is of no event, nor of a tenant.
            await leave_behind(born.copy())

    async def terminate(self, reason: ExitReason) -> None:
        self.ledger.remove_worker(self.ref)
        # What it was given and has not begun is another's.
        self.ledger.wake_dispatcher()
        self._answer_running(partial(_stopped, reason))
        await self._slot.empty(reason, self.path)

    async def before_snapshot(self) -> None:
        """Have the instance get ready for a snapshot, if it has a method of that name."""
        await self._slot.call_hook("before_snapshot")

    async def after_restore(self) -> None:
        """Have the instance find back after a snapshot, if it has a method of that name."""
        await self._slot.call_hook("after_restore")

    async def _one_instance(self, started: Callable[[], None]) -> None:
        """The life of one instance, but for its `terminate`. Raises what ends the worker itself."""
        serving = False
        try:
            async with trio.open_nursery() as nursery:
                instance = await self._slot.fill(nursery)
                started()
                serving = True
                self.ledger.add_worker(self._me)
                await self._serve(instance)
                nursery.cancel_scope.cancel()
        except BaseException as error:
            if not serving or crash_in(error) is None:
                raise
            # A task of the instance's own has crashed, maybe under the handler.
            logger.exception("%s: a task of its handler crashed", self.path)
            self._answer_running(partial(handler_error, crash_in(error) or error))
        finally:
            self._slot.ended(unused=self.ledger.remove_worker(self._me))
        # A Cancelled that was nobody's: of a scope of the handler's that had ended.
        self._answer_running(partial(platform_error, "Runtime.HandlerCancelled", LEAKED))

    async def _serve(self, instance: Instance) -> None:
        """Serve until the instance is not to be trusted any more."""
        receive: Callable[[], Awaitable[tuple[Lane, Delivery]]] = make_receiver(self)
        async with EventScope() as scope:
            while True:
                message = await receive()
                if message is LOOK:
                    continue
                lane, delivery = message
                if not delivery.begin(self._me):
                    continue
                self._running = message
                enter(delivery.request_id, delivery.headers)
                outcome, trusted = await self._handle(instance, lane, delivery, scope)
                replaced = not trusted and self.stateful
                if replaced:
                    # Before the answer goes out: the next event must not be given to this instance.
                    self.ledger.remove_worker(self._me)
                self._settle(lane, delivery, outcome)
                if replaced:
                    return
                # An answer has up to 6 MB: the next event's handler is to have the memory.
                del message, lane, delivery, outcome
                if scope.before is not None:
                    await scope.leave()

    @handles
    async def _handle(
        self, instance: Instance, lane: Lane, delivery: Delivery, scope: EventScope
    ) -> tuple[Outcome, bool]:
        """Run the handler: its answer, and whether its instance may run again."""
        request_id = delivery.request_id
        try:
            check_context(delivery)
            event = decode_event(delivery, self.decoder)
            result = instance.handle(event, Context(delivery, self.settings))
            if is_awaitable(result):
                # A `def` has held the loop meanwhile, which hears of no scope: the alarm ends it.
                with scope.until(delivery.limit):
                    result = await result
            try:
                return self.say(result), True
            except ResultIsStream:
                # Not sent from in here: an error of the stream's does not come of this one.
                pass
            from ..handlers.streaming_handlers import send_stream

            with scope.until(delivery.limit):
                return await send_stream(result, instance, lane, delivery, self.loop)
        except (LambdaContextUnmarshalError, UnmarshalError, MarshalError) as error:
            kind = f"Runtime.{type(error).__name__}"
            return platform_error(kind, str(error), request_id, FAULT), True
        except BaseException:
            outcome = _outcome_of(_caught(), request_id)
            if outcome is not None:
                return outcome, False
            if scope.rang:
                return late_by(_caught(), request_id), False
            # The worker itself is stopped or killed: no business of the handler's.
            raise

    def _answer_running(self, outcome: Callable[[str], Outcome]) -> None:
        """Answer what its handler runs for, if that has no answer yet.

        Args:
            outcome: makes the answer for a request id.
        """
        if self._running is not None:
            lane, delivery = self._running
            self._settle(lane, delivery, outcome(delivery.request_id))

    def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        """Answer, have it sent, and have whatever waits for a worker given out."""
        self._running = None
        try:
            if outcome.error_type is not None and delivery.unsettled:
                log_error(outcome.body)
            flush()
        finally:
            # Even if what stands in the place of standard output raises SystemExit.
            try:
                if delivery.settle(outcome, self._me):
                    # Not before what the handler has set off, an actor's end and restart say: with
                    # the answer the next event may be there, and is to find that done.
                    self.ledger.respond(lane, at_once=not tasks_are_runnable())
                self.ledger.add_idle_worker(self._me)
            except BaseException as torn:
                if not self.ledger.fail_interrupted_step("as an answer was given", torn):
                    # It may be there, and nobody have been told.
                    wake(lane.responder)
                raise


# An error's traceback holds the frame that catches it. A name for the error in that frame would
# close a circle, which keeps event, instance and context until the collector runs. So would one
# that is bound while the frame's variables are looked at, which keeps what they were.


def _caught() -> BaseException:
    error = sys.exception()
    assert error is not None  # asked for where one is handled
    return error


def _outcome_of(error: BaseException, request_id: str) -> Outcome | None:
    """What a handler that raised answers with; None if it was the worker that was ended."""
    crash = crash_in(error)
    if crash is None:
        return None
    crash = unwrap_stop_iteration(crash)
    first = prefer_deadline(crash)
    if is_a(first, ProcessStopped):
        return _stopped(SHUTDOWN, request_id)
    if is_a(first, DeadlineExceeded):
        return late_by(first, request_id)
    if issubclass(type(error), BaseExceptionGroup):
        # The group is the handler's own, and is told as it is; what trio cancelled in it is not.
        told = without_cancelled(error)
        return handler_error(crash if told is None else told, request_id)
    return handler_error(crash, request_id)


def _stopped(reason: ExitReason, request_id: str) -> Outcome:
    text = f"The handler was stopped before it answered: {reason}"
    return platform_error("Runtime.Stopped", text, request_id)
