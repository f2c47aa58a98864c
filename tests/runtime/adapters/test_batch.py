"""Batches through a running function: failures, time, order, bounds, prepare, typed bodies."""

import asyncio
import logging
import math
import re
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import attrs
import msgspec
import pydantic
import pytest
import trio
import trio.lowlevel

from okibi import Child, Function, Name, Server
from okibi.actors.trio_internals import sniffio
from okibi.batch import Batch, BatchFailed, Record
from okibi.runtime.tree import choose_loop
from okibi.supervisors import SpecError
from okibi.testing import FunctionError, FunctionTimedOut, running
from tests.garbage import no_collector
from tests.support.batch_events import SERVICES, Item, answer_naming, items, make_event
from tests.support.batch_functions import CLERK, KINDS, Clerk, make_function, sleep

PARTIAL = [name for name in SERVICES if not name.endswith("MQ")]
all_kinds = pytest.mark.parametrize("kind", KINDS)
both_loops = pytest.mark.parametrize("loop", ["trio", "asyncio"])
Clock = trio.testing.MockClock


async def serve(function: Function, event: object, *, timeout: float = 3.0) -> Any:
    """Run a function for one event, and return its answer."""
    async with running(function, timeout=timeout) as app:
        return await app.invoke(event)


def number_of(record: Record[Any]) -> int:
    return int(record.id.rpartition("-")[2])


# -- what is named


@all_kinds
@pytest.mark.parametrize("service", SERVICES)
async def test_a_batch_without_failures_names_nothing(service: str, kind: str) -> None:
    handled = list[str]()
    function = make_function(kind, lambda record: handled.append(record.id))

    assert await serve(function, make_event(service, items(3))) == {"batchItemFailures": []}
    assert len(handled) == 3


@all_kinds
async def test_an_empty_batch_names_nothing(kind: str) -> None:
    function = make_function(kind, lambda record: None)

    assert await serve(function, {"Records": []}) == {"batchItemFailures": []}


class OwnBaseException(BaseException):
    pass


class BrokenText(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


ERRORS: list[Callable[[], BaseException]] = [
    partial(ValueError, "mine"),
    OwnBaseException,
    BrokenText,
    partial(SystemExit, 1),
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    asyncio.CancelledError,
    TimeoutError,
    partial(BaseExceptionGroup, "several", [OwnBaseException(), ValueError()]),
]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"),
    # A KeyboardInterrupt in an actor ends a test's run of trio, as Ctrl-C does.
    [
        (kind, each)
        for kind in KINDS
        for each in ERRORS
        if (kind, each) != ("actor", KeyboardInterrupt)
    ],
)
async def test_a_record_fails_whatever_its_handler_raises(
    autojump_clock: Clock, error: Callable[[], BaseException], waits: bool, kind: str
) -> None:
    def act(record: Record[Any]) -> object:
        if waits and kind != "def":
            return act_later(record)
        act_now(record)
        return None

    async def act_later(record: Record[Any]) -> None:
        await sleep(0.01)
        act_now(record)

    def act_now(record: Record[Any]) -> None:
        if number_of(record) == 1:
            raise error()
        handled.append(number_of(record))

    handled = list[int]()
    records = items(4)
    answer = await serve(make_function(kind, act), make_event("SQS", records))

    assert answer == answer_naming("SQS", records[1:2])
    assert sorted(handled) == [0, 2, 3]


@all_kinds
@pytest.mark.parametrize("service", PARTIAL)
async def test_all_records_are_named_when_all_failed(service: str, kind: str) -> None:
    def act(record: Record[Any]) -> None:
        raise ValueError

    records = items(3)
    answer = await serve(make_function(kind, act), make_event(service, records))

    assert answer == answer_naming(service, records)


@pytest.mark.parametrize("failing", [range(3), range(1)])
async def test_a_batch_of_failures_raises_as_an_option(failing: range) -> None:
    def act(record: Record[Any]) -> None:
        if number_of(record) in failing:
            raise LookupError("mine")

    records = items(3)
    function = make_function("trio", act, raise_on_entire_batch_failure=True)
    if len(failing) < 3:
        assert await serve(function, make_event("SQS", records)) == answer_naming(
            "SQS", records[:1]
        )
        return
    with pytest.raises(FunctionError, match="3 of 3 records of SQS were not handled") as caught:
        await serve(function, make_event("SQS", records))
    assert isinstance(caught.value.__cause__, BatchFailed)
    assert repr(caught.value.__cause__.__cause__) == "LookupError('mine')"


@all_kinds
@pytest.mark.parametrize("service", ["ActiveMQ", "RabbitMQ"])
async def test_one_failed_record_of_mq_fails_the_whole_batch(service: str, kind: str) -> None:
    def act(record: Record[Any]) -> None:
        if number_of(record) == 1:
            raise LookupError("mine")

    text = "2 of 3 records of MQ were not handled, and the whole batch comes again"
    with pytest.raises(FunctionError, match=text):
        await serve(make_function(kind, act), make_event(service, items(3)))


@all_kinds
async def test_a_message_that_is_there_twice_is_named_if_one_of_them_failed(kind: str) -> None:
    def act(record: Record[Any]) -> None:
        seen.append(record.id)
        if len(seen) == 2:
            raise ValueError

    seen = list[str]()
    twice = [Item(0), Item(0), Item(1)]
    answer = await serve(make_function(kind, act), make_event("SQS", twice))

    assert answer == answer_naming("SQS", twice[:1])
    assert len(seen) == 3


@all_kinds
@pytest.mark.parametrize("prepared", [False, True])
async def test_a_record_that_cannot_be_read_fails(kind: str, prepared: bool) -> None:
    event = make_event("Kinesis", items(2))
    event["Records"][1]["kinesis"]["data"] = "abc"
    seen = list[str]()
    if prepared:

        def handle(record: Record[Any], _: object) -> None:
            seen.append(record.body.decode())

        function = Function(Batch(handle, prepare=len))
    else:
        function = make_function(kind, lambda record: seen.append(record.body.decode()))

    assert await serve(function, event) == answer_naming("Kinesis", items(2)[1:])
    assert seen == ["{}"]


async def test_a_failure_is_logged_with_its_record_and_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def act(record: Record[Any]) -> None:
        raise LookupError("no such order")

    await serve(make_function("trio", act), make_event("Kafka", items(1, "secret")))

    (line,) = caplog.records
    assert line.getMessage() == (
        "record {'partition': 'orders-0', 'offset': 0} failed, and comes again"
    )
    assert line.exc_info is not None
    assert repr(line.exc_info[1]) == "LookupError('no such order')"
    assert "secret" not in caplog.text


async def test_a_def_that_returns_a_coroutine_fails_with_the_cure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def save() -> None: ...

    records = items(2)
    batch = Batch(lambda record: save())

    assert await serve(Function(batch), make_event("SQS", records)) == answer_naming("SQS", records)
    errors = [line.exc_info[1] for line in caplog.records if line.exc_info]
    assert [str(each)[-44:] for each in errors] == [
        "returned an awaitable: make it an `async def`"[-44:]
    ] * 2


# -- order


@pytest.mark.parametrize(
    ("kind", "concurrency"),
    # The crash of an actor fails all that wait for it.
    [*((kind, 1) for kind in KINDS), *((kind, 10) for kind in KINDS if kind != "actor")],
)
@pytest.mark.parametrize(
    ("service", "order", "named"),
    [
        # Place 1 fails of six, with the keys a, b, a, b, a, b; of Kafka three in each partition.
        ("SQS", "key", [1]),
        ("SQS FIFO", "key", [1, 3, 5]),
        ("SQS FIFO", "none", [1]),
        ("Kinesis", "partition", [1, 2, 3, 4, 5]),
        ("DynamoDB", "partition", [1, 2, 3, 4, 5]),
        ("Kafka", "partition", [1, 2]),
        ("Kafka", "none", [1]),
    ],
)
async def test_nothing_of_a_group_starts_after_its_failure(
    autojump_clock: Clock, service: str, order: str, named: list[int], concurrency: int, kind: str
) -> None:
    def act(record: Record[Any]) -> None:
        if "1" in str(record.body):
            raise ValueError

    records = [Item(n, str(n), key="ab"[n % 2], partition=f"orders-{n // 3}") for n in range(6)]
    function = make_function(kind, act, order=order, concurrency=concurrency)
    answer = await serve(function, make_event(service, records))

    assert answer == answer_naming(service, [records[n] for n in named])


@both_loops
async def test_a_stream_stops_all_keys_and_lets_the_running_records_end(
    autojump_clock: Clock, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        began.append(record.id)
        await sleep(2 if record.key == "b" else 1)
        if record.key == "a":
            raise ValueError

    began = list[str]()
    records = [Item(n, key="abc"[n % 3]) for n in range(9)]
    function = make_function(loop, act, concurrency=2)
    answer = await serve(function, make_event("Kinesis", records), timeout=10)

    assert began == ["0", "1"]
    assert answer == answer_naming("Kinesis", [records[0], *records[2:]])


@all_kinds
async def test_the_records_of_a_key_are_handled_in_order(autojump_clock: Clock, kind: str) -> None:
    def act(record: Record[Any]) -> object:
        seen.append((record.key, number_of(record)))
        return None if kind == "def" else sleep(number_of(record) % 3 / 100)

    seen = list[tuple[str, int]]()
    records = [Item(n, key="abc"[n % 3]) for n in range(10)]
    await serve(make_function(kind, act, concurrency=3), make_event("SQS FIFO", records))

    for key in "abc":
        numbers = [number for each, number in seen if each == key]
        assert numbers == sorted(numbers)
    assert len(seen) == 10


# -- the bound


@both_loops
@pytest.mark.parametrize(("options", "bound"), [({}, 10), ({"concurrency": 3}, 3)])
async def test_as_many_records_as_allowed_are_handled_at_once(
    autojump_clock: Clock, options: dict[str, int], bound: int, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        running_now.add(record.id)
        counts.append(len(running_now))
        await sleep(1 + number_of(record) % 3)
        running_now.remove(record.id)

    running_now, counts = set[str](), list[int]()
    answer = await serve(
        make_function(loop, act, **options), make_event("SQS", items(30)), timeout=60
    )

    assert answer == {"batchItemFailures": []}
    assert max(counts) == bound
    assert len(counts) == 30


@pytest.mark.parametrize("options", [{}, {"timeout": 60}])
async def test_as_many_threads_as_allowed_handle_records(options: dict[str, float]) -> None:
    def act(record: Record[Any]) -> None:
        running_now.append(threading.get_ident())
        counts.append(len(running_now))
        together.wait()
        running_now.pop()

    running_now, counts = list[int](), list[int]()
    together = threading.Barrier(3)
    function = make_function("def", act, concurrency=3, **options)
    answer = await serve(function, make_event("SQS", items(9)), timeout=60)

    assert answer == {"batchItemFailures": []}
    assert max(counts) == 3


@pytest.mark.parametrize("kind", ["def", "actor"])
async def test_a_def_or_an_actor_handles_one_record_at_a_time(
    autojump_clock: Clock, kind: str
) -> None:
    def act(record: Record[Any]) -> object:
        order.append(("begins", record.id))
        return None if kind == "def" else end(record)

    async def end(record: Record[Any]) -> None:
        await trio.sleep(0.01)
        order.append(("ends", record.id))

    order = list[tuple[str, str]]()
    await serve(make_function(kind, act), make_event("SQS", items(3)))

    if kind == "actor":
        told = [(what, f"id-{n}") for n in range(3) for what in ("begins", "ends")]
        assert order == told
    assert [record for what, record in order if what == "begins"] == ["id-0", "id-1", "id-2"]


async def test_handlers_that_do_not_wait_let_other_tasks_run() -> None:
    async def count_passes() -> None:
        while True:
            passes.append(1)
            await trio.lowlevel.checkpoint()

    def act(record: Record[Any]) -> None:
        until = time.monotonic() + 0.002
        while time.monotonic() < until:
            pass

    passes = list[int]()
    async with trio.open_nursery() as nursery, running(make_function("trio", act)) as app:
        nursery.start_soon(count_passes)
        await app.invoke(make_event("SQS", items(1)))
        before = len(passes)
        await app.invoke(make_event("SQS", items(50)))
        assert len(passes) - before > 10
        nursery.cancel_scope.cancel()


# -- time


@both_loops
@pytest.mark.parametrize("kind", ["coroutine", "actor"])
async def test_a_record_fails_at_its_timeout_and_others_are_handled(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, kind: str, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        await sleep(60 if number_of(record) == 1 else 0.1)

    records = items(4)
    function = make_function("actor" if kind == "actor" else loop, act, timeout=0.5)
    answer = await serve(function, make_event("SQS", records))

    # An actor goes on with its message, and the next ones wait for it.
    late = records[1:] if kind == "actor" else records[1:2]
    assert answer == answer_naming("SQS", late)
    assert "it was not handled within its timeout of 0.5 s; it was " in caplog.text


async def test_a_def_fails_at_its_timeout_and_its_thread_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def act(record: Record[Any]) -> None:
        if number_of(record) == 1:
            released.wait()

    released = threading.Event()
    records = items(4)
    async with running(make_function("def", act, timeout=0.2), timeout=60) as app:
        answer = await app.invoke(make_event("SQS", records))
        released.set()

    assert answer == answer_naming("SQS", records[1:2])
    assert "the thread of record id-1 runs on" in caplog.text


@both_loops
async def test_the_end_of_the_batch_cancels_handlers_and_names_the_rest(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        try:
            await sleep(60 if number_of(record) == 1 else 1)
        except BaseException:
            cancelled.append((record.id, trio.current_time() - began))
            raise

    cancelled = list[tuple[str, float]]()
    records = items(8)
    async with running(make_function(loop, act, concurrency=2)) as app:
        began = trio.current_time()
        answer = await app.invoke(make_event("SQS", records))
        assert trio.current_time() - began == pytest.approx(2.88, abs=0.01)

    assert answer == answer_naming("SQS", [records[1], *records[3:]])
    assert sorted(each for each, _ in cancelled) == ["id-1", "id-3"]
    assert [re.sub(r" in File .*batch_functions.py.*", "", each) for each in caplog.messages] == [
        *(f"record {each} was cancelled" for each, _ in cancelled),
        "the time of the batch is over: 6 of 8 records come again",
    ]


async def clean_up(seconds: float) -> None:
    """Sleep in spite of a cancellation; asyncio's comes once."""
    with trio.CancelScope(shield=True) if sniffio.name == "trio" else nullcontext():
        await sleep(seconds)


@both_loops
@pytest.mark.parametrize("service", ["SQS", "Kinesis"])
async def test_nothing_starts_once_the_time_of_the_batch_is_over(
    autojump_clock: Clock, service: str, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        began.append(record.id)
        try:
            await sleep(60)
        except BaseException:  # as in a handler that logs whatever comes
            return

    began = list[str]()
    records = [Item(n, key=str(n)) for n in range(20)]
    started = trio.current_time()
    async with running(make_function(loop, act, concurrency=2)) as app:
        answer = await app.invoke(make_event(service, records))
        assert trio.current_time() - started < 2.9

    assert len(began) == 2
    assert answer == answer_naming(service, records[2:])


async def test_a_def_that_hangs_does_not_hold_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def act(record: Record[Any]) -> None:
        with lock:
            began.append(record.id)
        if number_of(record) == 2:
            released.wait()

    lock = threading.Lock()
    began, released = list[str](), threading.Event()
    records = items(5)
    # A thread of its own: the test's main thread cannot be interrupted.
    function = Function(Batch(act, timeout=60))
    async with running(function, timeout=0.4) as app:
        answer = await app.invoke(make_event("SQS", records))
        released.set()
        assert await app.invoke(make_event("SQS", items(1))) == {"batchItemFailures": []}

    assert answer == answer_naming("SQS", records[2:])
    # The thread of the first batch starts nothing more.
    assert began == ["id-0", "id-1", "id-2", "id-0"]
    assert caplog.messages == [
        "the thread of record id-2 runs on",
        "record id-2 was cancelled",
        "the time of the batch is over: 3 of 5 records come again",
    ]


@both_loops
@pytest.mark.parametrize("service", ["SQS", "ActiveMQ"])
async def test_a_handler_that_cleans_up_past_the_margin_is_named(
    autojump_clock: Clock, service: str, loop: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async def act(record: Record[Any]) -> None:
        if number_of(record) > 0:
            try:
                await sleep(60)
            finally:
                await clean_up(0.04)

    records = items(2)
    async with running(make_function(loop, act)) as app:
        if service == "SQS":
            answer = await app.invoke(make_event(service, records))
            assert answer == answer_naming(service, records[1:])
        else:
            with pytest.raises(FunctionTimedOut):
                await app.invoke(make_event(service, records))
    assert "Runtime.DeadlineExceeded" in capfd.readouterr().out


@both_loops
async def test_a_handler_that_cannot_be_cancelled_is_an_error_of_the_function(
    autojump_clock: Clock, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        try:
            await sleep(60)
        finally:
            await clean_up(60)

    # asyncio's task has no line any more.
    line = r"the handler was in File .*, in sleep" if loop == "trio" else "ran out of time"
    async with running(make_function(loop, act)) as app:
        with pytest.raises(FunctionTimedOut, match=line):
            await app.invoke(make_event("SQS", items(2)))


class Seer(Server):
    """An actor that handles records as a function does."""

    act: Any

    async def handle(self, record: Record[Any], *prepared: object) -> None:
        await self.act(record)


SEER = Name("seer", Seer)


@all_kinds
@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(
    ("options", "shares"), [({}, [2880, 2380]), ({"timeout": 1.5}, [1500, 1500])]
)
async def test_a_record_sees_its_share_of_the_time(
    autojump_clock: Clock, options: dict[str, float], shares: list[int], prepared: bool, kind: str
) -> None:
    def see(record: Record[Any], *prepared: object) -> None:
        seen.append(record.context.get_remaining_time_in_millis())
        assert record.context.aws_request_id == "r-1"
        if kind == "def":
            trio.from_thread.run_sync(autojump_clock.jump, 0.5)

    async def see_and_sleep(record: Record[Any], *prepared: object) -> None:
        see(record)
        await sleep(0.5)

    async def prepare(records: list[Record[Any]]) -> None: ...

    def make_seer() -> Seer:
        seer = Seer()
        seer.act = see_and_sleep
        return seer

    seen = list[int]()
    options = {**options, "concurrency": 1, **({"prepare": prepare} if prepared else {})}  # type: ignore[dict-item]
    match kind:
        case "def":
            batch: Any = Batch(see, **options)  # type: ignore[call-overload]
        case "actor":
            batch = Batch(Seer.handle, actor=SEER, **options)  # type: ignore[call-overload]
        case _:
            batch = Batch(see_and_sleep, loop=kind, **options)  # type: ignore[call-overload]
    function = Function(batch, children=[Child(make_seer, name=SEER)])
    async with running(function) as app:
        await app.invoke(make_event("SQS", items(2)), request_id="r-1")

    assert seen == [pytest.approx(share, abs=250 if kind == "def" else 2) for share in shares]


# -- prepare


def double(records: list[Record[Any]]) -> list[int]:
    return [2 * number_of(each) for each in records]


async def double_later(records: list[Record[Any]]) -> list[int]:
    await sleep(1)
    return double(records)


@both_loops
@pytest.mark.parametrize("prepare", [double, double_later])
async def test_each_handler_gets_what_prepare_returned(
    autojump_clock: Clock, prepare: Any, loop: Any
) -> None:
    async def handle(record: Record[Any], doubled: list[int]) -> None:
        seen.append((number_of(record), doubled))

    seen = list[tuple[int, list[int]]]()
    function = Function(Batch(handle, prepare=prepare, loop=loop))
    async with running(function) as app:
        for numbers in ([1, 2], [3]):
            await app.invoke(make_event("SQS", [Item(n) for n in numbers]))

    assert seen == [(1, [2, 4]), (2, [2, 4]), (3, [6])]


async def test_prepare_gets_the_records_that_can_be_read() -> None:
    async def handle(record: Record[list[int]], count: int) -> None:
        seen.append((record.body, count))

    seen = list[tuple[list[int], int]]()
    records = [Item(0, "[0]"), Item(1, "{}"), Item(2, "[2]")]
    function = Function(Batch(handle, prepare=len))

    assert await serve(function, make_event("SQS", records)) == answer_naming("SQS", records[1:2])
    assert seen == [([0], 2), ([2], 2)]


@both_loops
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_of_prepare_is_the_error_of_the_batch(is_async: bool, loop: Any) -> None:
    def fail(records: list[Record[Any]]) -> object:
        raise LookupError("no database")

    async def fail_later(records: list[Record[Any]]) -> object:
        return fail(records)

    async def handle(record: Record[Any], _: object) -> None:
        raise AssertionError

    prepare: Any = fail_later if is_async else fail
    with pytest.raises(FunctionError, match="LookupError: no database"):
        await serve(
            Function(Batch(handle, prepare=prepare, loop=loop)), make_event("SQS", items(2))
        )


@both_loops
async def test_after_a_late_prepare_all_records_are_named(autojump_clock: Clock, loop: Any) -> None:
    async def prepare(records: list[Record[Any]]) -> object:
        await sleep(60)
        return None

    async def handle(record: Record[Any], _: object) -> None:
        raise AssertionError

    records = items(2)
    function = Function(Batch(handle, prepare=prepare, loop=loop))
    assert await serve(function, make_event("SQS", records)) == answer_naming("SQS", records)


async def test_a_prepare_that_hangs_in_its_thread_does_not_hold_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def prepare(records: list[Record[Any]]) -> None:
        released.wait()

    async def handle(record: Record[Any], _: object) -> None: ...

    records, released = items(2), threading.Event()
    async with running(Function(Batch(handle, prepare=prepare)), timeout=0.3) as app:
        answer = await app.invoke(make_event("SQS", records))
        released.set()

    assert answer == answer_naming("SQS", records)
    assert caplog.messages[0] == ("the thread of the batch's `prepare` runs on")


# -- typed bodies


@attrs.frozen
class AttrsOrder:
    item: str
    count: int = 1


@dataclass
class DataclassOrder:
    item: str
    count: int = 1


class StructOrder(msgspec.Struct):
    item: str
    count: int = 1


class PydanticOrder(pydantic.BaseModel):
    item: str
    count: int = 1


def taking(kind: Any, seen: list[Any]) -> Batch:
    """Return a Batch whose handler takes a Record of a type."""

    async def handle(record: Any) -> None:
        seen.append(record.body)

    handle.__annotations__["record"] = Record if kind is None else Record[kind]
    return Batch(handle)


@pytest.mark.parametrize("kind", [AttrsOrder, DataclassOrder, StructOrder, PydanticOrder])
@pytest.mark.parametrize("service", ["SQS", "Kinesis", "Kafka", "ActiveMQ"])
async def test_a_body_is_decoded_into_the_type_of_the_record(service: str, kind: Any) -> None:
    seen = list[Any]()
    event = make_event(
        service, [Item(0, '{"item": "tea", "count": 2}'), Item(1, '{"item": "mug"}')]
    )
    await serve(Function(taking(kind, seen)), event)

    assert seen == [kind(item="tea", count=2), kind(item="mug")]


@pytest.mark.parametrize("kind", [AttrsOrder, DataclassOrder, StructOrder, PydanticOrder])
async def test_a_body_that_does_not_fit_fails_and_its_field_is_logged(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    records = [Item(0, '{"item": "tea"}'), Item(1, '{"item": 5}'), Item(2, "tea")]
    seen = list[Any]()
    answer = await serve(Function(taking(kind, seen)), make_event("SQS", records))

    assert answer == answer_naming("SQS", records[1:])
    assert seen == [kind(item="tea")]
    assert "item" in caplog.messages[0]


@pytest.mark.parametrize(
    ("service", "kind", "body", "seen"),
    [
        ("SQS", None, "text", "text"),
        ("Kinesis", None, "text", b"text"),
        ("SQS", str, "text", "text"),
        ("Kinesis", str, "text", "text"),
        ("SQS", bytes, "text", b"text"),
        ("Kafka", bytes, "text", b"text"),
        ("SQS", Any, "{}", "{}"),
        ("SQS", dict[str, int], '{"a": 1}', {"a": 1}),
        ("Kafka", bytes | None, None, None),
        ("Kafka", bytes | None, "text", b"text"),
        ("Kafka", str | None, "text", "text"),
        ("Kafka", str | None, None, None),
        ("Kafka", AttrsOrder | None, None, None),
        ("Kafka", AttrsOrder | None, '{"item": "tea"}', AttrsOrder("tea")),
        ("Kafka", PydanticOrder | None, None, None),
        ("Kafka", PydanticOrder | None, '{"item": "tea"}', PydanticOrder(item="tea")),
    ],
)
async def test_a_body_is_what_the_brackets_say(
    service: str, kind: Any, body: str | None, seen: object
) -> None:
    bodies = list[Any]()
    answer = await serve(Function(taking(kind, bodies)), make_event(service, [Item(0, body)]))

    assert (answer, bodies) == ({"batchItemFailures": []}, [seen])


async def test_a_null_value_fails_where_the_type_allows_none() -> None:
    records = [Item(0, None)]
    function = Function(taking(AttrsOrder, []))

    assert await serve(function, make_event("Kafka", records)) == answer_naming("Kafka", records)


@attrs.frozen
class Stock:
    id: str
    count: int
    price: Decimal
    weight: float
    picture: bytes
    tags: set[str]
    sizes: list[Decimal]
    maker: dict[str, str] | None


STOCK = {
    "id": {"S": "a"}, "count": {"N": "3"}, "price": {"N": "0.10"}, "weight": {"N": "1.5"},
    "picture": {"B": "AP8="}, "tags": {"SS": ["x", "y"]}, "sizes": {"NS": ["1", "2.5"]},
    "maker": {"NULL": True},
}  # fmt: skip


async def test_an_item_of_dynamodb_is_converted_into_the_type() -> None:
    async def handle(record: Record[Stock]) -> None:
        seen.append((record.body, record.old_body))

    seen = list[tuple[Stock, Stock | None]]()
    event = make_event("DynamoDB", items(1))
    change = event["Records"][0]["dynamodb"]
    change["NewImage"] = STOCK
    change["OldImage"] = {**STOCK, "count": {"N": "2"}, "maker": {"M": {"name": {"S": "Ada"}}}}
    await serve(Function(Batch(handle)), event)

    (((new, old)),) = seen
    assert (new.count, new.price, new.weight) == (3, Decimal("0.10"), 1.5)
    assert (new.picture, new.tags, new.maker) == (b"\0\xff", {"x", "y"}, None)
    assert sorted(new.sizes) == [1, Decimal("2.5")]
    assert old is not None
    assert (old.count, old.maker) == (2, {"name": "Ada"})


async def test_a_removed_item_is_none_with_its_old_body() -> None:
    async def handle(record: Record[AttrsOrder | None]) -> None:
        seen.append((record.body, record.old_body))

    seen = list[tuple[AttrsOrder | None, AttrsOrder | None]]()
    event = make_event("DynamoDB", items(1))
    change = event["Records"][0]["dynamodb"]
    del change["NewImage"]
    change["OldImage"] = {"item": {"S": "tea"}}

    assert await serve(Function(Batch(handle)), event) == {"batchItemFailures": []}
    assert seen == [(None, AttrsOrder("tea"))]


class Keeper:
    """A handler with state, as an object and by its method."""

    def __init__(self) -> None:
        self.seen = list[AttrsOrder]()

    async def __call__(self, record: Record[AttrsOrder]) -> None:
        self.seen.append(record.body)

    def save(self, record: Record[AttrsOrder]) -> None:
        self.seen.append(record.body)


async def save_into(seen: list[AttrsOrder], record: Record[AttrsOrder], *, twice: bool) -> None:
    seen += [record.body] * (2 if twice else 1)


async def test_any_callable_is_a_handler_with_its_type() -> None:
    keeper, event = Keeper(), make_event("SQS", [Item(0, '{"item": "tea"}')])
    handlers: list[Any] = [keeper, keeper.save, partial(save_into, keeper.seen, twice=False)]
    for handler in handlers:
        assert await serve(Function(Batch(handler)), event) == {"batchItemFailures": []}

    assert keeper.seen == [AttrsOrder("tea")] * 3


# -- other events


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_event_that_is_no_batch_goes_to_the_other_handler(is_async: bool) -> None:
    def other(event: Any, context: Any) -> str:
        return f"{event['detail']} {context.function_name}"

    async def other_later(event: Any, context: Any) -> str:
        await trio.lowlevel.checkpoint()
        return other(event, context)

    function = make_function("trio", lambda record: None, other=other_later if is_async else other)
    async with running(function) as app:
        assert await app.invoke({"detail": "timer"}) == "timer function"
        assert await app.invoke(make_event("SQS", items(1))) == {"batchItemFailures": []}


async def test_an_event_that_is_no_batch_is_an_error_without_another_handler() -> None:
    async with running(make_function("trio", lambda record: None)) as app:
        with pytest.raises(FunctionError, match=r"Runtime\.NoBatch: .*no batch of SQS") as caught:
            await app.invoke({"detail": "timer"})
        assert caught.value.error_type == "Runtime.NoBatch"
        assert await app.invoke(make_event("SQS", items(1))) == {"batchItemFailures": []}


# -- wrong arguments


async def takes_record(record: Record[Any]) -> None: ...


async def yields(record: Record[Any]) -> AsyncIterator[int]:
    yield 1


def yields_plainly(record: Record[Any]) -> Iterator[int]:
    yield 1


async def takes_order(order: AttrsOrder) -> None: ...


async def takes_unknown(record: "Record[Missing]") -> None: ...  # type: ignore[name-defined] # noqa: F821 # pyright: ignore


@pytest.mark.parametrize(
    ("field", "arguments", "text"),
    [
        ("handler", {"handler": 5}, "handler must be a function that takes a Record"),
        ("handler", {"handler": Keeper}, "handler must be a function that takes a Record"),
        ("handler", {"handler": yields}, "must be a `def` or an `async def`, and this one yields"),
        ("handler", {"handler": yields_plainly}, "and this one yields"),
        ("handler", {"handler": takes_order}, "write order: Record[AttrsOrder]"),
        ("handler", {"handler": takes_unknown}, "cannot be read (name 'Missing' is not defined"),
        ("actor", {"actor": Clerk}, "actor must be a Name or a Ref of the actor, got"),
        ("prepare", {"prepare": 5}, "prepare must be a function prepare(records), or None"),
        ("concurrency", {"concurrency": 0}, "concurrency must be an integer >= 1, got 0"),
        ("concurrency", {"concurrency": True}, "concurrency must be an integer >= 1, got True"),
        ("timeout", {"timeout": 0}, "timeout must be a number of seconds > 0, got 0"),
        ("timeout", {"timeout": "1"}, "timeout must be a number of seconds > 0, got str[1]"),
        ("timeout", {"timeout": math.nan}, "timeout must be a number of seconds > 0, got nan"),
        ("order", {"order": "group"}, "order must be one of 'key', 'partition', 'none', got"),
        ("loop", {"loop": "uvloop"}, "loop must be one of 'trio', 'asyncio', None, got"),
        ("other", {"other": 5}, "other must be a function other(event, context), or None"),
        (
            "raise_on_entire_batch_failure",
            {"raise_on_entire_batch_failure": "yes"},
            "must be one of True, False",
        ),
    ],
)
def test_a_wrong_argument_is_refused_with_its_field(
    field: str, arguments: dict[str, Any], text: str
) -> None:
    options: Any = {"handler": takes_record, **arguments}
    with pytest.raises(SpecError, match=re.escape(text)) as caught:
        Batch(**options)
    assert caught.value.field == field


def test_a_misspelt_option_is_a_type_error() -> None:
    options: Any = {"concurency": 2}
    with pytest.raises(TypeError, match="Batch has no option concurency"):
        Batch(takes_record, **options)


def test_a_type_that_cannot_be_decoded_is_refused() -> None:
    async def handle(record: Record[AttrsOrder | DataclassOrder]) -> None: ...

    with pytest.raises(TypeError, match="Type unions may not contain more than one"):
        Batch(handle)


def test_the_batch_decides_on_its_loop_before_function_and_environment() -> None:
    undecided, on_asyncio = Batch(takes_record), Batch(takes_record, loop="asyncio")
    assert choose_loop(None, None, undecided) == "trio"
    assert choose_loop(None, "asyncio", undecided) == "asyncio"
    assert choose_loop("asyncio", None, undecided) == "asyncio"
    assert choose_loop("trio", "trio", on_asyncio) == "asyncio"


# -- one batch after the other, and several at once


@both_loops
async def test_context_variables_of_a_batch_do_not_reach_the_next(loop: str) -> None:
    async def act(record: Record[Any]) -> None:
        seen.append(variable.get())
        variable.set("set")
        await sleep(0)

    seen, variable = list[str](), ContextVar("variable", default="unset")
    async with running(make_function(loop, act)) as app:
        for _ in range(2):
            await app.invoke(make_event("SQS", items(1)))

    assert seen == ["unset", "unset"]


@both_loops
async def test_batches_are_served_at_once_and_each_names_its_own(
    autojump_clock: Clock, loop: Any
) -> None:
    async def prepare(records: list[Record[Any]]) -> set[str]:
        await sleep(1)
        return {each.id for each in records}

    async def handle(record: Record[Any], prepared: set[str]) -> None:
        assert record.id in prepared
        await sleep(1)
        if number_of(record) % 3 == 0:
            raise ValueError

    async def ask(number: int) -> None:
        records = [Item(n) for n in range(10 * number, 10 * number + 5)]
        failed = [each for each in records if each.number % 3 == 0]
        assert await app.invoke(make_event("SQS", records)) == answer_naming("SQS", failed)

    began = trio.current_time()
    function = Function(Batch(handle, prepare=prepare, loop=loop))
    async with running(function, concurrency=4) as app, trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(ask, number)
    assert trio.current_time() - began == pytest.approx(2, abs=0.1)


async def test_several_batches_of_a_def_are_served_at_once() -> None:
    def act(record: Record[Any]) -> None:
        together.wait(60)

    async def ask() -> None:
        answers.append(await app.invoke(make_event("SQS", items(3))))

    together, answers = threading.Barrier(3), list[Any]()
    function = make_function("def", act)
    async with running(function, concurrency=3, timeout=60) as app, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert answers == [{"batchItemFailures": []}] * 3


@pytest.mark.parametrize(
    ("kind", "body"), [(bytes, None), (Annotated[int, msgspec.Meta(gt=0)], "-5")]
)
async def test_a_body_outside_of_the_brackets_is_named(kind: Any, body: str | None) -> None:
    records = [Item(0, body)]
    answer = await serve(Function(taking(kind, [])), make_event("Kafka", records))

    assert answer == answer_naming("Kafka", records)


async def test_more_late_threads_than_a_process_may_have_are_named() -> None:
    def act(record: Record[Any]) -> None:
        if number_of(record) % 2:
            released.wait()

    released, records = threading.Event(), items(24)
    async with running(Function(Batch(act, timeout=0.02)), timeout=60) as app:
        answer = await app.invoke(make_event("SQS", records))
        released.set()
    late = answer_naming("SQS", records[1::2])["batchItemFailures"]
    # On a loaded machine the other records may be late, too.
    assert all(each in answer["batchItemFailures"] for each in late)


@both_loops
async def test_records_do_not_see_each_others_context_variables(
    autojump_clock: Clock, loop: str
) -> None:
    async def act(record: Record[Any]) -> None:
        seen.append(variable.get())
        token = variable.set(record.id)
        try:
            await sleep(1)
        finally:
            variable.reset(token)

    seen, variable = list[str](), ContextVar("variable", default="none")
    await serve(make_function(loop, act), make_event("SQS", items(4)))

    assert seen == ["none"] * 4


async def test_threads_of_a_batch_whose_worker_is_killed_start_nothing_more() -> None:
    def act(record: Record[Any]) -> None:
        begun.append(record.id)
        if len(begun) == 2:
            trio.from_thread.run_sync(both.set)
        released.wait()

    begun, released, both = list[str](), threading.Event(), trio.Event()
    async with running(Function(Batch(act, concurrency=2)), timeout=60) as app:
        async with trio.open_nursery() as nursery:

            async def invoke() -> None:
                with pytest.raises(FunctionError):
                    await app.invoke(make_event("SQS", items(8)))

            nursery.start_soon(invoke)
            await both.wait()
            await app.kill("lambda/workers/worker-0")
        released.set()
    assert len(begun) == 2


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
async def test_a_handler_of_other_events_runs_on_its_loop(loop: str) -> None:
    async def other(event: object, context: object) -> str:
        return str(sniffio.name)

    async def handle(record: Record[Any]) -> None: ...

    def plain(event: object, context: object) -> bool:
        return threading.current_thread() is threading.main_thread()

    options: Any = {"loop": loop}
    async with running(Function(Batch(handle, other=other, **options))) as app:
        assert await app.invoke({}) == loop
    async with running(Function(Batch(handle, other=plain, **options))) as app:
        assert await app.invoke({}) is False


# -- actors


@pytest.mark.parametrize("after", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
async def test_an_actor_that_is_killed_fails_the_record_in_its_hands(
    autojump_clock: Clock, after: float
) -> None:
    async def act(record: Record[Any]) -> None:
        begun.append(record.id)
        await trio.sleep(1)
        done.append(record.id)

    async def kill() -> None:
        await trio.sleep(after)
        await app.kill(CLERK)

    begun, done = list[str](), list[str]()
    records = items(3)
    function = make_function("actor", act)
    async with running(function, timeout=30) as app, trio.open_nursery() as nursery:
        nursery.start_soon(kill)
        answer = await app.invoke(make_event("SQS", records))

    left = [each for each in records if f"id-{each.number}" not in done]
    assert answer == answer_naming("SQS", left)
    assert len(left) <= 1
    assert begun == [f"id-{n}" for n in range(3)] or after == 0


async def test_records_behind_a_crash_wait_for_the_restarted_actor(
    autojump_clock: Clock,
) -> None:
    records = items(4)
    async with running(make_function("actor", lambda record: None)) as app:
        app.crash_next(Clerk.handle, OwnBaseException())
        answer = await app.invoke(make_event("SQS", records))
        assert app.restarts(CLERK) == 1

    assert answer == answer_naming("SQS", records[:1])


# -- what a batch leaves behind


class Held:
    """An object in a frame of a handler."""


@pytest.fixture
def no_log() -> Iterator[None]:
    """pytest keeps the errors of log lines."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures(no_collector.__name__, no_log.__name__)
@pytest.mark.parametrize("service", ["SQS", "ActiveMQ"])
@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(
    ("kind", "fate"),
    [
        *((kind, "raises") for kind in KINDS),
        # An actor goes on with its message.
        *((loop, fate) for loop in ("trio", "asyncio") for fate in ("sleeps", "cleans up")),
        *((kind, "is unreadable") for kind in KINDS),
    ],
)
async def test_a_batch_that_failed_leaves_no_reference_cycle(
    autojump_clock: Clock, kind: str, fate: str, prepared: bool, service: str
) -> None:
    def act(record: Record[Any], *_: object) -> object:
        assert record.body
        held = Held()
        refs.append(weakref.ref(held))
        refs.append(weakref.ref(record.context))
        if fate == "raises":
            raise ValueError
        return wait(held)

    async def wait(held: Held) -> None:
        try:
            await sleep(60)
        finally:
            if fate == "cleans up":
                await clean_up(0.04)

    async def act_later(record: Record[Any], *_: object) -> None:
        result: Any = act(record)
        await result

    def make_seer() -> Seer:
        seer = Seer()
        seer.act = act_later
        return seer

    def prepare(records: list[Record[Any]]) -> Held:
        held = Held()
        refs.append(weakref.ref(held))
        return held

    refs = list[weakref.ref[Any]]()
    options: Any = {"prepare": prepare} if prepared else {}
    if kind == "actor":
        options["actor"] = SEER
    elif kind != "def":
        options["loop"] = kind
    handler: Any = {"actor": Seer.handle, "def": act}.get(kind, act_later)
    event = make_event(service, items(2))
    if fate == "is unreadable":
        for each in event.get("Records") or event["messages"]:
            each.pop("body", None)
            each["data"] = 5
    function = Function(Batch(handler, **options), children=[Child(make_seer, name=SEER)])
    async with running(function) as app:
        try:
            answer = await app.invoke(event)
        except FunctionError:
            assert service == "ActiveMQ"
        else:
            assert len(answer["batchItemFailures"]) == 2
        # The next event replaces what the worker keeps of this one.
        with suppress(FunctionError):
            await app.invoke(make_event(service, []))
        assert [each() for each in refs if each() is not None] == []
