"""A worker: owns one handler instance across invocations, and runs it, one event at a time."""

import math
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context as Variables
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from actors import SHUTDOWN, Actor, ExitReason, Ref, crashed, logs
from actors.actor import receiver_of
from actors.exits import crash_in, is_a, uncancelled
from actors.hooks import awaited
from actors.mailbox import LOOK
from actors.start import START_TIMEOUT
from actors.trio_internals import others_wait

from .context import Context, check_context
from .current import enter, leave_behind
from .delivery import Delivery
from .failure import (
    DeadlineExceeded,
    Stopped,
    as_raised,
    foremost,
    handler_error,
    platform_error,
)
from .failure import calls_handler as handles
from .handler import Instance, is_awaitable
from .handover import wake
from .lane import Lane
from .ledger import Ledger
from .logs import flush, log_error
from .marshal import (
    LambdaContextUnmarshalError,
    MarshalError,
    Streams,
    UnmarshalError,
    event_of,
    outcome_of,
)
from .outcome import Outcome
from .scopes import move_deadline, rang, stands_in
from .settings import Settings
from .standing import late_by

if TYPE_CHECKING:
    from .aio.loop import AsyncioLoop

logger = logs.logger("okibi")

# What the official client calls these errors in their X-Ray cause.
FAULT = "LambdaValidationError"
# What a distrusted instance may take for its `terminate` while its worker could serve.
REPLACED_GRACE = 1.0
# Seconds before another instance is made where the last ones, one after the other, were each ended
# by a task of their own before any event had been given to them: the first follows at once. Such a
# task, which finds no database say, would crash a thousand times a second, each with its lines in
# the log. The most is less than the shortest time-out, for an event may wait meanwhile.
PAUSES = (0.0, 0.02, 0.1, 0.5)
_INIT, _TERMINATE = "in the init of a new instance", "in the terminate of an old instance"
_PAUSE = "waiting to make a new instance, since a task of the last one's own ended it at once"


class Worker(Actor):
    """Runs a handler in a nursery of its own.

    An instance that raised or ran out of time is not trusted again: its nursery is cancelled, its
    `terminate` runs, and a new one is made, while this actor lives on and nothing counts against
    any intensity. If the new one's `init` fails the worker ends, and that counts.

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
        "_before", "_changing", "_instance", "_late", "_me", "_missed", "_running", "_vain",
        "decoder", "ledger", "loop", "make", "say", "settings", "stateful",
    )  # fmt: skip

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        make: Callable[[], Instance],
        decoder: msgspec.json.Decoder[Any],
        stateful: bool,
        say: Callable[[object], Outcome] = outcome_of,
        loop: "AsyncioLoop | None" = None,
    ) -> None:
        self.ledger = ledger
        self.settings = settings
        self.make = make
        self.decoder = decoder
        self.stateful = stateful
        self.say = say
        self.loop = loop
        # Made once: to make one, and to compare it with another, costs each event two calls.
        self._me: Ref[Any]
        self._instance: Instance | None = None
        self._running: tuple[Lane, Delivery] | None = None
        # What the handler that its deadline has ended is answered with.
        self._late: Outcome | None = None
        # What came as the scope of the events before it rang.
        self._missed: tuple[Lane, Delivery] | None = None
        # What the context variables were before a handler that may have set some.
        self._before: Variables | None = None
        self._changing = _INIT
        # How many instances in a row have ended by themselves before an event was theirs.
        self._vain = 0

    @property
    def doing(self) -> str:
        """What keeps it from an event, in words; empty if nothing does."""
        return "at another event" if self._running is not None else self._changing

    def let_go(self) -> Callable[[], bool]:
        """Wait no more for what its handler has on the asyncio loop: it is abandoned.

        Returns:
            How to see whether what it was at goes on.
        """
        process = self._me.process()
        goes_on = self.loop.let_go(process.task) if self.loop and process.task else None
        return goes_on or (lambda: process.reason is None)

    async def live(self, started: Callable[[], None]) -> None:
        self._me = self.ref
        born = copy_context()
        while True:
            error = await self._one_instance(started)
            await self._put_back()
            if error is not None:
                try:
                    raise error
                finally:
                    del error
            reason = crashed(RuntimeError("its instance is replaced"))
            await self._terminate_instance(reason, REPLACED_GRACE)
            if self._vain > 1:
                self._changing = _PAUSE
                await trio.sleep(PAUSES[min(self._vain, len(PAUSES)) - 1])
            self._changing = _INIT
            # What the next one begins for good, tasks and actors, is of no event, nor of a tenant.
            self._before = born.copy()
            await self._put_back()

    async def terminate(self, reason: ExitReason) -> None:
        self.ledger.worker_not_ready(self.ref)
        # What it was given and has not begun is another's.
        self.ledger.wake_dispatcher()
        if self._running is not None:
            lane, delivery = self._running
            self._settle(lane, delivery, _stopped(reason, delivery.request_id))
        await self._terminate_instance(reason, math.inf)

    async def before_snapshot(self) -> None:
        """Have the instance get ready for a snapshot, if it has a method of that name."""
        await self._hook("before_snapshot")

    async def after_restore(self) -> None:
        """Have the instance find back after a snapshot, if it has a method of that name."""
        await self._hook("after_restore")

    async def _hook(self, name: str) -> None:
        hook = getattr(self._instance, name, None)
        if hook is not None:
            # What wraps a Handler gives its own.
            await awaited(hook(), getattr(hook, "__self__", self._instance), name)

    async def _one_instance(self, started: Callable[[], None]) -> BaseException | None:
        """The life of one instance. Gives what the worker itself is to end with, if anything."""
        serving = False
        vain, self._vain = self._vain, 0
        try:
            async with trio.open_nursery() as nursery:
                instance = self.make()
                # Past the class's own __setattr__: it may be a frozen one.
                object.__setattr__(instance, "nursery", nursery)
                # The first one's starter has a limit of its own; a replacement's has nobody.
                with trio.fail_after(START_TIMEOUT):
                    await awaited(instance.init(), instance, "init")
                self._instance = instance
                started()
                serving = True
                self._changing = ""
                self.ledger.worker_ready(self._me)
                await self._serve(instance)
                nursery.cancel_scope.cancel()
        except BaseException as error:
            if not serving or crash_in(error) is None:
                return error
            # A task of the instance's own has crashed, maybe under the handler.
            logger.exception("%s: a task of its handler crashed", self.path)
            if self._running is not None:
                lane, delivery = self._running
                outcome = handler_error(crash_in(error) or error, delivery.request_id)
                self._settle(lane, delivery, outcome)
        finally:
            self._changing = _TERMINATE
            if (self._me, None) in self.ledger.ready.items():
                # Or a task of its own has cancelled its nursery.
                self._vain = vain + 1
            self.ledger.worker_not_ready(self._me)
        if self._running is not None:
            # A Cancelled that was nobody's: of a scope of the handler's that had ended.
            lane, delivery = self._running
            text = "The handler ended by a cancellation that none of its own scopes took"
            outcome = platform_error("Runtime.HandlerCancelled", text, delivery.request_id)
            self._settle(lane, delivery, outcome)
        return None

    async def _terminate_instance(self, reason: ExitReason, grace: float) -> None:
        instance, self._instance = self._instance, None
        if instance is None:
            return
        try:
            with trio.move_on_after(grace):
                await awaited(instance.terminate(reason), instance, "terminate")
        except Exception:
            logger.exception("%s: terminate of its handler crashed", self.path)

    async def _serve(self, instance: Instance) -> None:
        """Serve until the instance is not to be trusted any more.

        One cancel scope serves for many events: to open and close one costs more than two hops
        from actor to actor. Its deadline is that of the last event that was awaited. So it may ring
        while there is none; then, and when it has ended a handler, another takes its place.
        """
        while True:
            last: tuple[Outcome, bool] | None = None
            try:
                with trio.CancelScope() as scope:
                    last = await self._serve_within(scope, instance)
            except RuntimeError as misnested:
                if self._running is None:
                    raise
                last = handler_error(misnested, self._running[1].request_id), False
            if self._running is None:
                continue
            if last is None:
                assert self._late is not None  # what has ended the handler has said it
                last = self._late, False
            if not self._answer(*self._running, *last):
                return

    async def _serve_within(
        self, scope: trio.CancelScope, instance: Instance
    ) -> tuple[Outcome, bool] | None:
        """Serve as long as the scope does; give what is to be answered once it is closed: trio may
        have something to say then. None if it rang.
        """
        receive: Callable[[], Awaitable[tuple[Lane, Delivery]]] = receiver_of(self)
        while True:
            if self._before is not None:
                await self._put_back()
            message = self._missed
            if message is None:
                message = await receive()
                if message is LOOK:
                    continue
            else:
                self._missed = None
            if rang(scope):
                # It rang as this one came.
                self._missed = message
                return None
            lane, delivery = message
            if not delivery.begin(self._me):
                continue
            self._running = message
            enter(delivery.request_id, delivery.headers)
            outcome, trusted = await self._handle(instance, delivery, scope)
            if not trusted or not stands_in(scope):
                return outcome, trusted
            self._settle(lane, delivery, outcome)
            # An answer has up to 6 MB: the next event's handler is to have the memory.
            del message, lane, delivery, outcome

    async def _put_back(self) -> None:
        """Leave the context variables behind that the last handler has set, if it has."""
        before, self._before = self._before, None
        if before is not None and leave_behind(before):
            # What is to be without them is the next step.
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _answer(self, lane: Lane, delivery: Delivery, outcome: Outcome, trusted: bool) -> bool:
        goes_on = trusted or not self.stateful
        if not goes_on:
            # Before the answer goes out: the next event must not be given to this instance.
            self.ledger.worker_not_ready(self._me)
        self._settle(lane, delivery, outcome)
        return goes_on

    @handles
    async def _handle(
        self, instance: Instance, delivery: Delivery, scope: trio.CancelScope
    ) -> tuple[Outcome, bool]:
        """Run the handler: its answer, and whether its instance may run again."""
        request_id = delivery.request_id
        try:
            check_context(delivery)
            event = event_of(delivery, self.decoder)
            result = instance.handle(event, Context(delivery, self.settings))
            if is_awaitable(result):
                # A result that is there needs none: what has made it has held the loop, which
                # hears of no scope then, and the alarm would have ended it.
                move_deadline(scope, delivery.limit)
                self._before = copy_context()
                result = await result
            if delivery.swallowed is not None:
                raise delivery.swallowed
            try:
                return self.say(result), True
            except Streams:
                # Not sent from in here: an error of the stream's does not come of this one.
                pass
            move_deadline(scope, delivery.limit)
            return await self._pour(instance, result)
        except (LambdaContextUnmarshalError, UnmarshalError, MarshalError) as error:
            kind = f"Runtime.{type(error).__name__}"
            return platform_error(kind, str(error), request_id, FAULT), True
        except BaseException:
            # Its traceback holds this frame, which holds the delivery.
            delivery.swallowed = None
            outcome = _outcome_of(_caught(), request_id)
            if outcome is None:
                if scope.cancel_called:
                    # Out of the scope comes no exception, and no word of where it was raised.
                    self._late = late_by(_caught(), request_id)
                # Else the worker itself is stopped or killed: no business of the handler's.
                raise
            return outcome, False

    async def _pour(self, instance: Instance, result: object) -> tuple[Outcome, bool]:
        from .streamed import pour

        assert self._running is not None  # a handler runs for something
        lane, delivery = self._running
        self._before = self._before or copy_context()
        ended = await pour(result, instance, lane, delivery, self.loop)
        if delivery.swallowed is not None:
            raise delivery.swallowed
        return ended

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
                    self.ledger.settled(lane, at_once=not others_wait())
                self.ledger.worker_idle(self._me)
            except BaseException as torn:
                if not self.ledger.torn("as an answer was given", torn):
                    # It may be there, and nobody have been told.
                    wake(lane.writer)
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
    crash = as_raised(crash)
    first = foremost(crash)
    if is_a(first, Stopped):
        return _stopped(SHUTDOWN, request_id)
    if is_a(first, DeadlineExceeded):
        return late_by(first, request_id)
    if issubclass(type(error), BaseExceptionGroup):
        # The group is the handler's own, and is told as it is; what trio cancelled in it is not.
        told = uncancelled(error)
        return handler_error(crash if told is None else told, request_id)
    return handler_error(crash, request_id)


def _stopped(reason: ExitReason, request_id: str) -> Outcome:
    text = f"The handler was stopped before it answered: {reason}"
    return platform_error("Runtime.Stopped", text, request_id)
