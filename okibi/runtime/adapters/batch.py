"""Serve batches of records: a handler for one record, and an answer that names what comes again.

    read_batch      the records, and what they have to do with each other (`batch_event`)
    Progress        which record starts next (`batch_progress`)
    BatchRun        runs the handler, in tasks of trio or asyncio, or in threads
    make_answer     names each record that was not handled to its end

One worker handles records one after the other. Only when a handler waits, other workers start: a
handler that does not wait costs no task.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast, overload

import trio

from ...actors import Address
from ...actors.signatures import bind
from ...supervisors import Child, SpecError
from ...supervisors.spec_error import wrong_value
from ..handlers.adapter import Adapter
from ..handlers.context import Context
from ..handlers.handler import Abandon, is_async, yields
from ..handlers.handler import streams as is_stream
from ..handlers.handler_thread import THREADS
from ..in_flight.delivery import Delivery
from .batch_event import NoBatch, Order, read_batch
from .batch_record import Origin, Record, body_type, decoder_into
from .batch_run import BatchRun, Call
from .other_events import Other, call_other, check_other

if TYPE_CHECKING:
    from ..handlers.asyncio_handlers import HandlerLoop

A = TypeVar("A")
P = TypeVar("P")
T = TypeVar("T")

# How many records an `async def` handles at once.
CONCURRENCY = 10
# Seconds between the end of a batch and okibi's own time-out, for the answer.
EARLIER = 0.02


class BatchOptions(TypedDict, total=False):
    """The options of a Batch."""

    concurrency: int
    timeout: float
    order: Order
    raise_on_entire_batch_failure: bool
    loop: Literal["trio", "asyncio"]
    other: Callable[[Any, Any], object]


class Batch(Adapter):
    """Handles the records of a queue or a stream one by one, and names those that have failed.

        async def handle(record: Record[Order]) -> None:
            await save(record.body)

        function = Function(handler=Batch(handle))

    The services are SQS, Kinesis, DynamoDB Streams, Kafka and MQ. The answer names each record that
    has failed, has not ended in time or was not started (Lambda: partial batch response), and
    Lambda sends these again. A record has failed if its handler raises, whatever it raises, or if
    its body does not fit the type in the brackets. Each failure is logged.

    Records are ordered by their keys: the group of a FIFO queue, the partition key, the keys of the
    item. After a failure nothing of the same group, shard or partition starts, because Lambda sends
    the records again from the failed one on. The records of SQS's standard queues have no order.

    Shortly before okibi's time-out (`OKIBI_DEADLINE_MARGIN_MS`) no more record starts, handlers
    that still run are cancelled, and the answer leaves with what was handled. A `def` on the main
    thread is interrupted; in another thread it runs on, and is logged.

    Args:
        handler: an `async def` or a `def` that takes a Record; or a method of an actor.
        actor: the actor whose method the handler is, such as `ORDERS.waiting(1)`.
        prepare: a function that takes the list of all records first. Its result is the second
            argument of the handler. A record that does not fit the type is not in the list.
        concurrency: how many records are handled at once; default 10, and 1 for a `def`
            or an actor.
        timeout: seconds that one record may take; default: until the batch ends. With a timeout,
            each call of a `def` has a thread of its own.
        order: "key" (the default), "partition" for one record of a shard or a partition after the
            other, or "none".
        raise_on_entire_batch_failure: whether to raise BatchFailed if no record was handled,
            instead of naming all of them. MQ knows no partial answer: there, each failure raises.
        loop: "trio" or "asyncio", on which an `async def` runs. None: the loop of the Function,
            then OKIBI_LOOP, then trio.
        other: a handler for events that are no batches: `other(event, context)`.

    Raises:
        SpecError: an argument is wrong; `field` names it.
    """

    __slots__ = (
        "_abandon", "_call", "_concurrency", "_decode", "_is_plain", "_loop", "_order", "_other",
        "_prepare", "_timeout", "_whole_failure", "loop",
    )  # fmt: skip

    default_loop = "trio"
    on_trio = True

    @overload
    def __init__(
        self,
        handler: Callable[[Record[T]], object],
        *,
        prepare: None = None,
        actor: None = None,
        **options: Unpack[BatchOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        handler: Callable[[Record[T], P], object],
        *,
        prepare: Callable[[list[Record[T]]], Awaitable[P]] | Callable[[list[Record[T]]], P],
        actor: None = None,
        **options: Unpack[BatchOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        handler: Callable[[A, Record[T]], Awaitable[object]],
        *,
        prepare: None = None,
        actor: Address[A],
        **options: Unpack[BatchOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        handler: Callable[[A, Record[T], P], Awaitable[object]],
        *,
        prepare: Callable[[list[Record[T]]], Awaitable[P]] | Callable[[list[Record[T]]], P],
        actor: Address[A],
        **options: Unpack[BatchOptions],
    ) -> None: ...

    def __init__(
        self,
        handler: Callable[..., object],
        *,
        prepare: Callable[..., object] | None = None,
        actor: Address[Any] | None = None,
        **options: Unpack[BatchOptions],
    ) -> None:
        if prepare is not None and not callable(prepare):
            raise wrong_value("prepare", "a function prepare(records), or None", prepare)
        _check_handler(handler, actor, prepared=prepare is not None)
        _check_options(cast("dict[str, object]", options))
        if actor is None:
            self._call = Call(handler, is_async(handler))
        else:
            self._call = Call(
                partial(actor.call, cast("Any", handler)), is_async=True, is_trio=True
            )
        # An actor handles one message at a time, and its crash fails all that wait for it.
        default = CONCURRENCY if self._call.is_async and actor is None else 1
        self._concurrency = options.get("concurrency", default)
        # What needs no thread of its own runs where a `def` handler runs.
        self._is_plain = (
            not self._call.is_async
            and self._concurrency == 1
            and "timeout" not in options
            and not (prepare is not None and is_async(prepare))
        )
        self.loop = options.get("loop")
        self._prepare, self._other = prepare, options.get("other")
        self._order: Order = options.get("order", "key")
        self._timeout = options.get("timeout")
        self._whole_failure = options.get("raise_on_entire_batch_failure", False)
        self._decode = decoder_into(body_type(handler, method=actor is not None))
        self._loop: HandlerLoop | None = None
        # Set by `children`; a Batch that a test calls by itself abandons nothing.
        self._abandon: Abandon = lambda _, __: None

    @property
    def kind(self) -> str:
        """What handles a record, in words."""
        if self._call.is_trio:
            return "method of an actor"
        return "async def" if self._call.is_async else "plain def"

    def handler(self) -> Callable[..., Any]:
        return self.serve_plain if self._is_plain else self.__call__

    def children(self, loop: "HandlerLoop | None", abandon: Abandon) -> list[Child[Any]]:
        self._loop, self._abandon = loop, abandon
        return []

    async def __call__(self, event: Any, context: Context) -> object:
        """Handle a batch, and answer with the records that Lambda has to send again.

        Raises:
            NoBatch: the event is no batch, and there is no handler for others.
            BatchFailed: a record of MQ failed, or all did and the option says to raise.
        """
        run = self._begin(event, context)
        if not isinstance(run, BatchRun):
            return await self._call_other(run, event, context)
        try:
            with trio.move_on_after(run.origin.until - run.origin.now()):
                if self._prepare is not None:
                    await run.prepare(self._prepare, self._loop)
                await run.run(self._concurrency, self._loop)
        finally:
            # Its threads may run on, in whatever way the batch ends.
            run.close()
        return run.answer()

    def serve_plain(self, event: Any, context: Context) -> object:
        """Handle a batch by a `def`, where a `def` handler runs; as `__call__`."""
        run = self._begin(event, context)
        if not isinstance(run, BatchRun):
            return run(event, context)
        if self._prepare is not None:
            run.take_prepared(self._prepare(run.read_all()))
        run.run_plain()
        return run.answer()

    async def _call_other(self, other: Other, event: Any, context: Context) -> object:
        """Call the handler of other events where a handler of its kind runs."""
        if not is_async(other):
            return await trio.to_thread.run_sync(
                other, event, context, abandon_on_cancel=True, limiter=THREADS
            )
        if self._loop is not None:
            return await self._loop.run_handler(other, event, context)  # type: ignore[arg-type]
        return await call_other(other, event, context)

    def _begin(self, event: Any, context: Context) -> "BatchRun | Other":
        """Return the run of a batch, or `other` for an event that is no batch."""
        try:
            source, records, progress = read_batch(event, self._order, self._concurrency)
        except NoBatch:
            if self._other is None:
                raise
            return self._other
        delivery: Delivery = context._delivery
        margin = delivery.due - delivery.limit + EARLIER
        until = context._epoch_deadline_time_in_ms / 1000 - margin
        now = context._settings.wall_clock or time.time
        origin = Origin(source, self._decode, context, until, now)
        call = self._call
        if "okibi.telemetry" in sys.modules:
            from ..handlers.observed_event import observe_record

            function = observe_record(call.function, is_async=call.is_async)
            call = Call(function, call.is_async, call.is_trio)
        run = BatchRun(
            origin, records, progress, call, self._timeout, self._whole_failure, self._abandon
        )
        if source.partial:
            delivery.prepare_late_answer(run.encode_answer)
        return run


def _check_handler(handler: Any, actor: object, *, prepared: bool) -> None:
    if not callable(handler) or isinstance(handler, type):
        rule = "a function that takes a Record, or a method with actor="
        raise wrong_value("handler", rule, handler)
    if yields(handler) or is_stream(handler):
        raise SpecError(
            "the handler of a batch must be a `def` or an `async def`, and this one yields",
            field="handler",
            value=handler,
        )
    if not isinstance(actor, Address | None):
        raise wrong_value("actor", "a Name or a Ref of the actor", actor)
    if actor is not None and not is_async(handler):
        raise wrong_value("handler", "an `async def` method of the actor", handler)
    arguments = [*["self"] * (actor is not None), "record", *["prepared"] * prepared]
    try:
        bind(handler, *arguments)
    except TypeError as error:
        raise SpecError(
            f"the batch's handler must take ({', '.join(arguments)}): {error}. record.context is "
            "the context, a second argument is what `prepare` returns, and a method needs actor=",
            field="handler",
            value=handler,
        ) from None


def _check_options(options: dict[str, object]) -> None:
    unknown = [*options.keys() - BatchOptions.__annotations__.keys()]
    if unknown:
        raise TypeError(f"Batch has no option {unknown[0]}")
    concurrency, timeout = options.get("concurrency", 1), options.get("timeout", 1)
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise wrong_value("concurrency", "an integer >= 1", concurrency)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise wrong_value("timeout", "a number of seconds > 0", timeout)
    choices: dict[str, tuple[object, ...]] = {
        "order": ("key", "partition", "none"),
        "loop": ("trio", "asyncio", None),
        "raise_on_entire_batch_failure": (True, False),
    }
    for field, allowed in choices.items():
        if field in options and options[field] not in allowed:
            raise wrong_value(field, f"one of {', '.join(map(repr, allowed))}", options[field])
    check_other(options.get("other"))
