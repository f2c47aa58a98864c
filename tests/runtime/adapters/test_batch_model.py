"""Random batches beside the model of what AWS sends again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from okibi.batch import Record
from okibi.testing import FunctionError, running, virtual_time
from tests.profiles import examples
from tests.support.batch_events import Item, answer_naming, make_event
from tests.support.batch_functions import KINDS, make_function, sleep
from tests.support.batch_model import Reading, Trace, sent_again

READINGS: list[Reading] = ["named", "from the lowest"]


class OwnBaseException(BaseException):
    pass


class BrokenText(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


RAISED: dict[str, Callable[[], BaseException]] = {
    "raise": ValueError,
    "raise base": OwnBaseException,
    "raise broken": BrokenText,
    "raise cancelled": asyncio.CancelledError,
    "raise exit": partial(SystemExit, 1),
}
# The body of each record is its fate. The last ones take time, and a thread would take real time.
QUICK = ["ok", "ok", "ok", "unreadable", *RAISED]
FATES = [*QUICK, "sleep", "sleep, raise", "hang", "catch cancellation"]


@attrs.frozen
class Case:
    """A batch and its options."""

    service: str
    kind: str
    order: str
    concurrency: int
    timeout: float | None
    records: list[Item]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    service = draw(st.sampled_from(["SQS", "SQS FIFO", "Kinesis", "DynamoDB", "Kafka", "ActiveMQ"]))
    kind = draw(st.sampled_from(KINDS))
    fates = draw(st.lists(st.sampled_from(QUICK if kind == "def" else FATES), max_size=10))
    partitions = [draw(st.sampled_from(["orders-0", "orders-1"])) for _ in fates]
    if service == "Kafka":
        # The records of a partition are together in the event.
        partitions.sort()
    records = [
        Item(n, fate, key=draw(st.sampled_from("abc")), partition=partition)
        for n, (fate, partition) in enumerate(zip(fates, partitions, strict=True))
    ]
    if service in ("Kinesis", "DynamoDB"):
        records = [attrs.evolve(each, partition="shard") for each in records]
    return Case(
        service,
        kind,
        draw(st.sampled_from(["key", "partition", "none"])),
        # The crash of an actor fails all that wait for it, and time-outs are those of the caller.
        # Between threads, the trace has no exact order.
        1 if kind in ("actor", "def") else draw(st.integers(1, 4)),
        None if kind == "actor" else draw(st.sampled_from([None, 0.7])),
        records,
    )


@virtual_time
async def serve(case: Case) -> tuple[Any, Trace, bool]:
    """Return the answer to a batch, what was seen, and whether the time of the batch was over.

    The answer is None if the whole batch comes again.
    """

    def item_of(record: Record[Any]) -> Item:
        return next(each for each in case.records if record.id.endswith(str(each.number)))

    def act_now(record: Record[Any]) -> None:
        # Read when it is asked for.
        assert record.body
        item = item_of(record)
        trace.steps.append(("begins", item))
        if item.body in RAISED:
            trace.steps.append(("fails", item))
            raise RAISED[item.body]()
        trace.steps.append(("ends", item))

    async def act(record: Record[Any]) -> None:
        item = item_of(record)
        if item.body in QUICK:
            act_now(record)
            return
        trace.steps.append(("begins", item))
        try:
            await sleep(1 if item.body and item.body.startswith("sleep") else 1000)
            if item.body == "sleep, raise":
                raise ValueError
        except BaseException:
            if item.body != "catch cancellation":
                trace.steps.append(("fails", item))
                raise
        trace.steps.append(("ends", item))

    trace = Trace()
    options: dict[str, Any] = {"order": case.order, "concurrency": case.concurrency}
    if case.timeout is not None:
        options["timeout"] = case.timeout
    function = make_function(case.kind, act_now if case.kind == "def" else act, **options)
    event = make_event(case.service, case.records)
    spoil(event)
    async with running(function, timeout=5) as app:
        began, answer = trio.current_time(), None
        with suppress(FunctionError):
            answer = await app.invoke(event)
        took = trio.current_time() - began
        # An actor goes on with its message, and is no part of the batch then.
        steps = [*trace.steps]
    assert took < 4.9
    return answer, Trace(steps), took > 4.87


def spoil(event: Any) -> None:
    """Make the bodies unreadable that are to be so."""
    match event:
        case {"messages": records}:
            pass
        case {"Records": records}:
            pass
        case _:
            records = [each for some in event["records"].values() for each in some]
    for raw in records:
        inner = raw.get("kinesis") or raw.get("dynamodb") or raw
        for name in ("data", "value", "body"):
            # "dW5y..." is Base64.
            if str(inner.get(name)).startswith(("unreadable", "dW5yZWFkYWJsZQ")):
                del inner[name]
                if name != "body":
                    inner[name] = 5
        text = inner.get("NewImage", {}).get("text", {})
        if text.get("S") == "unreadable":
            text["?"] = 5


@settings(max_examples=examples(120))
@given(cases())
def test_a_batch_names_what_was_not_handled_and_keeps_its_order(case: Case) -> None:
    answer, trace, late = serve(case)
    handled, unreadable = trace.of("ends"), [e for e in case.records if e.body == "unreadable"]
    left = [each for each in case.records if each not in handled]

    if case.service == "ActiveMQ":
        assert (answer is None) == bool(left)
    else:
        assert answer == answer_naming(case.service, left)
        for reading in READINGS:
            again = sent_again(case.service, case.records, answer, reading)
            assert all(each in again for each in left)
    assert not [each for each in unreadable if each in trace.of("begins")]
    assert trace.most_at_once() <= case.concurrency
    trace.check_order(case.service, case.order, case.records)
    if not late:
        trace.check_complete(case.service, case.order, case.records, unreadable)


def test_no_record_starts_that_a_failure_in_the_same_moment_stops() -> None:
    """Two records end at one time-out, one of them well; trio chooses which one goes first."""
    fates = [("ok", "a"), ("sleep", "a"), ("catch cancellation", "b"), ("ok", "b")]
    records = [Item(n, fate, key=key, partition="shard") for n, (fate, key) in enumerate(fates)]
    case = Case("Kinesis", "trio", "key", 2, 0.7, records)
    for _ in range(20):
        _, trace, _ = serve(case)
        trace.check_order(case.service, case.order, case.records)
