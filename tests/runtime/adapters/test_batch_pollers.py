"""Streams and Kafka by pollers that send again what AWS would; and batches of 10,000 records."""

import random
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from okibi import Child, Function
from okibi.batch import Batch, Record
from okibi.testing import running
from tests.support.batch_events import Item, answer_naming, items, make_event
from tests.support.batch_functions import CLERK, Clerk, sleep
from tests.support.batch_model import Reading
from tests.support.batch_pollers import poll

Clock = trio.testing.MockClock
READINGS: list[Reading] = ["named", "from the lowest"]


@attrs.define(eq=False)
class Healing:
    """A handler whose failures heal after some tries.

    Args:
        failures: by record id, how often the record still fails.
    """

    failures: dict[str, int]
    ended: list[tuple[str | None, str]] = attrs.Factory(list[tuple[str | None, str]])

    async def __call__(self, record: Record[Any]) -> None:
        if left := self.failures.get(record.id, 0):
            self.failures[record.id] = left - 1
            await sleep(0.001 * (left % 2))
            raise ValueError
        if len(self.ended) % 7 == 0:
            await sleep(0.001)
        self.ended.append((record.key and repr(record.key), record.id))


def make_records(service: str, count: int, seed: int) -> list[Item]:
    """Describe records of four keys, for Kafka in two partitions; some have no key."""
    chance = random.Random(seed)
    keys = ["a", "b", "c", None] if service == "Kafka" else ["a", "b", "c", "d"]
    records = [Item(n, key=chance.choice(keys), partition="shard") for n in range(count)]
    if service == "Kafka":
        parts = [chance.randrange(2) for _ in records]
        records = [
            attrs.evolve(each, partition=f"orders-{part}", key=each.key and f"{each.key}{part}")
            for each, part in zip(records, parts, strict=True)
        ]
    return records


async def poll_all(
    service: str, records: list[Item], reading: Reading, size: int, share: float, **options: Any
) -> int:
    """Poll until all is handled; check that nothing is lost, and the order of each key."""
    chance = random.Random(7)

    def id_of(item: Item) -> str:
        return f"{item.partition}:{item.number}" if service == "Kafka" else str(item.number)

    poison = {id_of(each): chance.randint(1, 3) for each in records if chance.random() < share}
    handler = Healing({**poison})
    async with running(Function(Batch(handler, **options)), timeout=60) as app:
        events = await poll(app.invoke, service, records, reading, size)

    # What came again after it had been handled is no matter of order.
    first = [*dict.fromkeys(handler.ended)]
    assert {each for _, each in first} == {id_of(each) for each in records}
    for key in {key for key, _ in first}:
        numbers = [int(each.rpartition(":")[2]) for own, each in first if own == key]
        if key is not None:
            assert numbers == sorted(numbers)
    for part in ("orders-0", "orders-1"):
        # Kafka's records without a key are in the order of their partition.
        numbers = [
            int(each.rpartition(":")[2]) for key, each in first
            if key is None and each.startswith(part)
        ]  # fmt: skip
        assert numbers == sorted(numbers)
    return events


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("order", ["key", "partition"])
@pytest.mark.parametrize("service", ["Kinesis", "DynamoDB", "Kafka"])
@pytest.mark.parametrize("loop", ["trio", "asyncio"])
async def test_a_stream_loses_nothing_and_keeps_its_order(
    autojump_clock: Clock, service: str, order: str, reading: Reading, loop: str
) -> None:
    records = make_records(service, 40, seed=len(service + order))
    events = await poll_all(
        service, records, reading, size=15, share=0.1, order=order, loop=loop, concurrency=3
    )
    assert events > 3


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("service", ["Kinesis", "Kafka"])
async def test_ten_thousand_records_of_a_stream_lose_none(
    autojump_clock: Clock, service: str, reading: Reading
) -> None:
    records = make_records(service, 10_000, seed=1)

    assert await poll_all(service, records, reading, size=100, share=0.03) > 100


# -- one event of 10,000 records: 3 % fail, an actor crashes, a record does not end in time


CRASHES, HANGS = 5_001, 6_001


def fails(number: int) -> bool:
    return number % 33 == 32


def make_function(handled: list[int], loop: Any) -> Function:
    async def act(record: Record[Any]) -> None:
        raise LookupError("the actor crashes")

    async def handle(record: Record[Any]) -> None:
        number = int(record.id.rpartition("-")[2])
        if number % 100 == 1:
            await sleep(0.001)
        if fails(number):
            raise ValueError
        if number == CRASHES:
            await CLERK.waiting(5).call(Clerk.handle, record)
        if number == HANGS:
            await sleep(1_000)
        handled.append(number)

    clerk = Child(partial(Clerk, act), name=CLERK)
    return Function(Batch(handle, loop=loop, timeout=1), children=[clerk])


@pytest.mark.slow
async def test_ten_thousand_messages_name_only_what_failed(autojump_clock: Clock) -> None:
    records, handled = items(10_000), list[int]()
    left = [n for n in range(10_000) if fails(n) or n in (CRASHES, HANGS)]
    async with running(make_function(handled, "trio"), timeout=60) as app:
        answer = await app.invoke(make_event("SQS", records))

    assert answer == answer_naming("SQS", [records[n] for n in left])
    assert sorted(handled + left) == [*range(10_000)]


@pytest.mark.slow
@pytest.mark.parametrize("first", [4_982, CRASHES, HANGS])
async def test_ten_thousand_records_of_a_shard_stop_at_a_failure(
    autojump_clock: Clock, first: int
) -> None:
    # Those before the first failure are handled, and no other one starts.
    records = [n for n in range(10_000) if n >= first or not (fails(n) or n == CRASHES)]
    event, handled = make_event("Kinesis", [Item(n) for n in records]), list[int]()
    async with running(make_function(handled, "asyncio"), timeout=60) as app:
        answer = await app.invoke(event)

    assert handled == [n for n in records if n < first]
    assert answer == answer_naming("Kinesis", [Item(n) for n in records if n >= first])
