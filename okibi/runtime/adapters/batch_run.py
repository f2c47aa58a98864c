"""Run the handler of a batch's records: several at once, in time, whatever they raise."""

import math
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from ...actors import logs
from ...actors.exits import crash_in, is_a
from ..codec.json import UnmarshalError
from ..deadlines.where_it_stood import describe_place
from ..errors.exceptions import DeadlineExceeded, prefer_deadline
from ..errors.user_code import is_okibi_file
from ..handlers.handler import Abandon, is_async, is_awaitable
from ..handlers.handler_thread import THREADS
from ..protocol.outcome import Outcome
from .batch_event import Raw, make_answer
from .batch_progress import Progress
from .batch_record import Origin, Record
from .started import Started

if TYPE_CHECKING:
    from ..handlers.asyncio_handlers import HandlerLoop

logger = logs.logger("okibi")

# Seconds that handlers that do not wait may keep the loop from other tasks.
PAUSE = 0.005


class RecordTimeout(TimeoutError):
    """A record was not handled within its time-out."""

    def __init__(self, seconds: float, place: str) -> None:
        at = f"; it was {place}" if place else ""
        super().__init__(f"it was not handled within its timeout of {seconds} s{at}")


class BatchFailed(Exception):
    """Records of a batch have failed, and the whole batch comes again."""


@attrs.frozen
class Call:
    """How one record is handled.

    Args:
        function: takes a Record, and what `prepare` has returned.
        is_async: whether the result is awaited; else the function runs in a thread.
        is_trio: whether the function is okibi's own, for trio.
    """

    function: Callable[..., Any]
    is_async: bool
    is_trio: bool = False


@attrs.frozen
class TrioTasks:
    """The workers of a batch, as tasks of trio.

    Args:
        start_soon: starts a worker, with the context variables from before the first record.
    """

    start_soon: Callable[..., object]

    async def checkpoint(self) -> None:
        """Let other tasks run."""
        await trio.lowlevel.checkpoint()

    def is_cancelled(self) -> bool:
        """Return whether this worker is cancelled."""
        return trio.current_effective_deadline() == -math.inf

    def is_cancellation(self, error: BaseException) -> bool:
        """Return whether an error is nothing but a cancellation."""
        return crash_in(error) is None


@attrs.frozen
class AsyncioTasks:
    """The same, as tasks of asyncio."""

    start_soon: Callable[..., object]

    async def checkpoint(self) -> None:
        from asyncio import sleep

        await sleep(0)

    def is_cancelled(self) -> bool:
        from asyncio import current_task

        task = current_task()
        return task is not None and task.cancelling() > 0

    def is_cancellation(self, error: BaseException) -> bool:
        from asyncio import CancelledError

        return isinstance(error, CancelledError)


class BatchRun:
    """One batch while its records are handled.

    Args:
        origin: what the records have in common.
        records: the records as AWS sends them.
        progress: decides which one starts next.
        call: how one record is handled.
        timeout: seconds that one record may take; None for no limit of its own.
        whole_failure: whether to raise instead of naming all records.
        abandon: called for a thread that cannot be ended.
    """

    def __init__(
        self,
        origin: Origin,
        records: Sequence[Raw],
        progress: Progress,
        call: Call,
        timeout: float | None,
        whole_failure: bool,
        abandon: Abandon,
    ) -> None:
        self.origin, self._records, self._call = origin, records, call
        self._timeout, self._whole_failure, self._abandon = timeout, whole_failure, abandon
        self._progress = progress
        self._first_error: BaseException | None = None
        # What `prepare` has returned, in a tuple.
        self._prepared: tuple[object, ...] = ()
        # What records are read from, and how. It may raise any error: the record has failed.
        self._unread: Sequence[Any] = records
        self._read: Callable[[Any], Record[Any]] = origin.reader()
        self._workers, self._worker_limit = 1, 1
        # The ends of the threads that run on.
        self._late: list[threading.Event] = []

    # -- the whole batch

    async def prepare(self, prepare: Callable[..., Any], loop: "HandlerLoop | None") -> None:
        """Run the batch's own step, and keep its result for the handler."""
        records = self.read_all()
        if not is_async(prepare):
            result = await self._in_thread(partial(prepare, records), "the batch's `prepare`")
        elif loop is None:
            result = await prepare(records)
        else:
            result = await loop.run_handler(prepare, records)
        self.take_prepared(result)

    def read_all(self) -> list[Record[Any]]:
        """Return all records that can be read, for the batch's own step."""
        read = self._read
        items: list[Record[Any] | Raw] = []
        for raw in self._records:
            try:
                items.append(read(raw))
            except BaseException as error:
                if is_a(prefer_deadline(error), DeadlineExceeded):
                    raise
                # It is read again when it starts, and fails then.
                items.append(raw)
        self._unread = items
        self._read = partial(_read_again, read)
        return [record for record in items if isinstance(record, Record)]

    def take_prepared(self, prepared: object) -> None:
        """Keep what the batch's own step has returned, for the handler."""
        self._prepared = (prepared,)

    def _handler(self) -> Callable[..., Any]:
        """Return the handler, with what `prepare` has returned."""
        function, prepared = self._call.function, self._prepared
        if not prepared:
            return function

        def call(record: Record[Any]) -> Any:
            return function(record, *prepared)

        return call

    async def run(self, concurrency: int, loop: "HandlerLoop | None") -> None:
        """Run the handler for the records, until none may start."""
        call = self._call
        self._worker_limit = concurrency
        if not call.is_async and self._timeout is None:
            lock = threading.Lock()
            async with trio.open_nursery() as nursery:
                for _ in range(min(concurrency, self._progress.ready)):
                    nursery.start_soon(self._work_in_thread, lock)
        elif loop is None or call.is_trio or not call.is_async:
            await self._run_on_trio()
        else:
            await loop.run_handler(self._run_on_asyncio)

    def close(self) -> None:
        """Let nothing start any more."""
        self._progress.close()

    def answer(self) -> object:
        """Let nothing start any more, and return the answer.

        Raises:
            BatchFailed: the whole batch has to come again.
        """
        left, error = self._progress.close(), self._take_first_error()
        if not left:
            return {"batchItemFailures": []}
        count = len(self._records)
        if self.origin.now() >= self.origin.until:
            logger.warning(
                "the time of the batch is over: %d of %d records come again", len(left), count
            )
        if not self.origin.source.partial or (self._whole_failure and len(left) == count):
            text = f"{len(left)} of {count} records of {self.origin.source.name} were not handled"
            try:
                raise BatchFailed(f"{text}, and the whole batch comes again") from error
            finally:
                del error
        return self._name(left)

    def encode_answer(self) -> Outcome:
        """Return the encoded answer of a batch that does not end in time."""
        from ..codec.json import encode_async_def_result

        self._take_first_error()
        return encode_async_def_result(self._name(self._progress.close()))

    def _take_first_error(self) -> BaseException | None:
        """Return the first error, and keep none: their frames refer to this object."""
        error, self._first_error = self._first_error, None
        self._unread = ()
        return error

    def _name(self, places: list[int]) -> dict[str, object]:
        identifier = self.origin.source.identifier
        return make_answer([identifier(self._records[place]) for place in places])

    # -- one record

    def _fail(self, place: int, error: BaseException) -> None:
        self._progress.fail(place)
        if self._first_error is None:
            self._first_error = error
        name = self._describe(place)
        if isinstance(error, UnmarshalError | RecordTimeout):
            logger.error("%s failed, and comes again: %s", name, error)
        else:
            logger.error("%s failed, and comes again", name, exc_info=_without_okibi(error))

    def _describe(self, place: int) -> str:
        try:
            return f"record {self.origin.source.identifier(self._records[place])}"
        except (LookupError, TypeError):
            # In an event that was written by hand.
            return f"the record at place {place}, which has no identifier,"

    # -- in tasks

    async def _run_on_trio(self) -> None:
        async with trio.open_nursery() as nursery:
            handle = self._handler() if self._call.is_async else self._handle_in_thread
            if self._timeout is not None:
                handle = partial(_limit_on_trio, self._timeout, self.origin, handle)
            context = copy_context()

            def start_soon(function: Callable[..., Any], *args: Any) -> None:
                context.copy().run(nursery.start_soon, function, *args)

            await self._work(handle, TrioTasks(start_soon))

    async def _run_on_asyncio(self) -> None:
        import asyncio

        handle = self._handler()
        if self._timeout is not None:
            handle = partial(_limit_on_asyncio, self._timeout, self.origin, handle)
        try:
            async with asyncio.TaskGroup() as group:
                context = copy_context()

                def start_soon(function: Callable[..., Any], *args: Any) -> object:
                    return group.create_task(function(*args), context=context.copy())

                # In a task: the group cancels all workers at once, whatever their handlers do then.
                start_soon(self._work, handle, AsyncioTasks(start_soon))
        except asyncio.CancelledError as error:
            # A frame of the TaskGroup keeps the error: a reference cycle.
            raise error.with_traceback(None)  # noqa: B904, the same error

    async def _work(
        self, handle: Callable[..., Awaitable[object]], tasks: "TrioTasks | AsyncioTasks"
    ) -> None:
        """Handle records until none may start.

        When a handler waits for the first time, all other workers start that have a record. None is
        needed later: the end of a record makes at most one other ready, for the same worker.
        """
        progress, read, unread = self._progress, self._read, self._unread
        starts, now, until = iter(progress), self.origin.now, self.origin.until
        pause_at = now() + PAUSE
        while (at := now()) < until:
            if at >= pause_at:
                # Before a record is chosen: one that fails meanwhile may stop it.
                await tasks.checkpoint()
                pause_at = now() + PAUSE
            place = next(starts, None)
            if place is None:
                return
            waits = False
            try:
                coroutine = handle(read(unread[place]))
                steps: Any = coroutine.__await__()
                try:
                    trap = steps.send(None)
                except StopIteration:
                    pass
                else:
                    waits = True
                    more = min(self._worker_limit - self._workers, progress.ready)
                    self._workers += more
                    for _ in range(more):
                        tasks.start_soon(self._work, handle, tasks)
                    await Started(coroutine, steps, trap)
            except BaseException as error:
                if tasks.is_cancelled() and tasks.is_cancellation(error):
                    cancelled = f"{self._describe(place)} was cancelled {describe_place(error)}"
                    logger.warning("%s", cancelled.rstrip())
                    raise
                self._fail(place, error)
            else:
                progress.succeed(place)
            if waits and tasks.is_cancelled():
                # The handler has caught it.
                return

    # -- in threads

    async def _work_in_thread(self, lock: threading.Lock) -> None:
        """Handle records in a thread until none may start."""
        running, starts = [0], iter(self._progress)

        def start() -> int | None:
            with lock:
                place = next(starts, None)
            running[0] = -1 if place is None else place
            return place

        def succeed(place: int) -> None:
            with lock:
                self._progress.succeed(place)

        work = partial(self.run_plain, iter(start, None), succeed)
        await self._in_thread(work, lambda: self._describe(running[0]))

    def run_plain(
        self,
        starts: Iterable[int] | None = None,
        succeed: Callable[[int], None] | None = None,
    ) -> None:
        """Handle records here until none may start.

        Args:
            starts, succeed: as of Progress, where other threads call them too.

        Raises:
            DeadlineExceeded: the batch was late, or the process stops.
        """
        succeed = succeed or self._progress.succeed
        read, unread = self._read, self._unread
        call = self._handler()
        now, until = self.origin.now, self.origin.until
        for place in starts or self._progress:
            if now() >= until:
                return
            try:
                result = call(read(unread[place]))
                if result is not None:
                    _refuse_awaitable(result)
            except BaseException as error:
                if is_a(prefer_deadline(error), DeadlineExceeded):
                    raise
                self._fail(place, error)
            else:
                succeed(place)

    async def _handle_in_thread(self, record: Record[Any]) -> None:
        await self._in_thread(
            lambda: _refuse_awaitable(self._handler()(record)), f"record {record.id}"
        )

    def _has_late_threads(self) -> bool:
        return not all(ended.is_set() for ended in self._late)

    async def _in_thread(self, function: Callable[[], Any], what: str | Callable[[], str]) -> Any:
        """Run a function in a thread. A cancellation leaves the thread alone, and logs it."""
        results: list[Any] = []
        errors: list[BaseException] = []
        # One after the other: the thread begins, the wait is cancelled, the thread ends.
        begun, cancelled, ended = threading.Event(), threading.Event(), threading.Event()

        def run() -> None:
            begun.set()
            try:
                if not cancelled.is_set():
                    results.append(function())
            except BaseException as error:
                errors.append(error)
            finally:
                ended.set()

        try:
            await trio.to_thread.run_sync(
                run, thread_name="batch", abandon_on_cancel=True, limiter=THREADS
            )
        except trio.Cancelled:
            cancelled.set()
            if begun.is_set() and not ended.is_set():
                name = what if isinstance(what, str) else what()
                logger.warning("the thread of %s runs on", name)
                if not self._late:
                    # Once a batch: the process ends when too many do not end.
                    self._abandon(f"the thread of {name}", self._has_late_threads)
                self._late.append(ended)
            raise
        if errors:
            raise errors.pop()
        return results.pop()


def _read_again(read: Callable[[Any], Record[Any]], item: "Record[Any] | Raw") -> Record[Any]:
    return item if isinstance(item, Record) else read(item)


def _without_okibi(error: BaseException) -> BaseException:
    """Cut the frames of okibi that called the handler from the traceback of an error."""
    trace = error.__traceback__
    while trace is not None and is_okibi_file(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return error if trace is None else error.with_traceback(trace)


def _refuse_awaitable(result: object) -> None:
    if is_awaitable(result):
        getattr(result, "close", lambda: None)()
        raise TypeError("the handler of a batch returned an awaitable: make it an `async def`")


async def _limit_on_trio(
    seconds: float,
    origin: Origin,
    handle: Callable[[Record[Any]], Awaitable[object]],
    record: Record[Any],
) -> None:
    origin.limit(record, seconds)
    place = ""
    with trio.move_on_after(seconds) as scope:
        try:
            await handle(record)
        except BaseException as error:
            if scope.cancel_called:
                place = describe_place(error)
            raise
    if scope.cancelled_caught:
        raise RecordTimeout(seconds, place)


async def _limit_on_asyncio(
    seconds: float,
    origin: Origin,
    handle: Callable[[Record[Any]], Awaitable[object]],
    record: Record[Any],
) -> None:
    import asyncio

    origin.limit(record, seconds)
    place = ""
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            try:
                await handle(record)
            except BaseException as error:
                if scope.expired():
                    place = describe_place(error)
                raise
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise RecordTimeout(seconds, place) from error
