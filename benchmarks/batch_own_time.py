"""The CPU time of a batch processor itself, in process: `python -m benchmarks.batch_own_time`.

The processors take turns at the same events, round by round. Their handlers do nothing, so what is
measured is the time a record takes beside its handler. The bar is 1.00 of Powertools' time: of its
synchronous processor for a `def`, and of its asynchronous one for an `async def`. The last line
compares the whole time of 1,000 records that each wait 5 ms with the synchronous processor's. Its
bar is a tenth.
"""

import gc
import json
import statistics
import time
from base64 import b64encode
from typing import Any

import trio
from aws_lambda_powertools.utilities import batch as powertools

from okibi.batch import Batch, Record
from okibi.testing import context

ROUNDS, RECORDS = 41, 4000
# Seconds that a record waits, and how often that is measured.
WAIT, WAITING_ROUNDS = 0.005, 3
SIZES = {"SQS": (10, 1000), "Kinesis": (100, 1000)}


def sqs_event(count: int) -> dict[str, Any]:
    """Return an event of a standard queue."""
    arn = "arn:aws:sqs:eu-central-1:123456789012:orders"
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": json.dumps({"order_id": "a1", "quantity": number}),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
                "messageAttributes": {},
                "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": "eu-central-1",
            }
            for number in range(count)
        ]
    }


def kinesis_event(count: int) -> dict[str, Any]:
    """Return an event of a stream, with a key for each record."""
    arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/orders"
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"key-{number}",
                    "sequenceNumber": f"4959033827149025660869257853{number:012}",
                    "data": b64encode(json.dumps({"quantity": number}).encode()).decode(),
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:{number}",
                "eventName": "aws:kinesis:record",
                "eventSourceARN": arn,
                "awsRegion": "eu-central-1",
            }
            for number in range(count)
        ]
    }


MAKERS = {"SQS": sqs_event, "Kinesis": kinesis_event}
TYPES = {"SQS": powertools.EventType.SQS, "Kinesis": powertools.EventType.KinesisDataStreams}


def plain(_: Any, /) -> None: ...


async def asynchronous(_: Any, /) -> None: ...


def powertools_plain(record: Any) -> None: ...


async def powertools_asynchronous(record: Any) -> None: ...


def sleep(record: Any) -> None:
    time.sleep(WAIT)


# Powertools' functions have no complete types.
process = getattr(powertools, "process_partial_response")  # noqa: B009
process_async = getattr(powertools, "async_process_partial_response")  # noqa: B009


async def timed(kind: str, batch: Any, event: Any, lambda_context: Any, count: int) -> float:
    """Return the microseconds of CPU time that one call takes."""
    serve = batch.handler()
    gc.collect()
    began = time.process_time_ns()
    answer: object = None
    if kind == "def":
        for _ in range(count):
            answer = serve(event, lambda_context)
    else:
        for _ in range(count):
            answer = await serve(event, lambda_context)
    assert answer == {"batchItemFailures": []}
    return (time.process_time_ns() - began) / count / 1000


async def run() -> None:
    print("CPU time in us a record: okibi, Powertools, median of the rounds' ratios")
    for kind, handler in (("def", plain), ("async def", asynchronous)):
        batch = Batch(handler)
        for service, sizes in SIZES.items():
            for size in sizes:
                event, lambda_context = MAKERS[service](size), context(remaining=900)
                # As on Lambda.
                lambda_context._settings = lambda_context._settings._replace(wall_clock=None)
                calls = RECORDS // size
                own, theirs = list[float](), list[float]()
                for _ in range(ROUNDS):
                    took = await timed(kind, batch, event, lambda_context, calls)
                    own.append(took / size)
                    theirs.append(powertools_time(kind, service, event, calls) / size)
                ratio = statistics.median(a / b for a, b in zip(own, theirs, strict=True))
                times = f"{statistics.median(own):6.2f} {statistics.median(theirs):6.2f}"
                print(f"{kind}, {service}, {size} records".ljust(34), times, f" {ratio:.2f}")


async def compare_waits() -> None:
    """Print the seconds of a batch whose records wait."""

    async def wait(_: Record[str]) -> None:
        await trio.sleep(WAIT)

    event, lambda_context = sqs_event(1000), context(remaining=900)
    batch, pairs = Batch(wait, concurrency=100), list[tuple[float, float]]()
    for _ in range(WAITING_ROUNDS):
        began = time.perf_counter()
        assert await batch(event, lambda_context) == {"batchItemFailures": []}
        between = time.perf_counter()
        processor = powertools.BatchProcessor(event_type=powertools.EventType.SQS)
        process(event, sleep, processor)
        pairs.append((between - began, time.perf_counter() - between))
    own, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
    what = "1,000 records that wait 5 ms, seconds:"
    print(what, f"{own:.3f} {theirs:.3f}  {statistics.median(a / b for a, b in pairs):.3f}")


def powertools_time(kind: str, service: str, event: dict[str, Any], count: int) -> float:
    """Return the microseconds of CPU time of one call of Powertools' processor."""
    gc.collect()
    event_type = TYPES[service]
    began = time.process_time_ns()
    if kind == "def":
        processor = powertools.BatchProcessor(event_type=event_type)
        for _ in range(count):
            process(event, powertools_plain, processor)
    else:
        asynchronous_processor = powertools.AsyncBatchProcessor(event_type=event_type)
        for _ in range(count):
            process_async(event, powertools_asynchronous, asynchronous_processor)
    return (time.process_time_ns() - began) / count / 1000


async def main() -> None:
    await run()
    await compare_waits()


if __name__ == "__main__":
    trio.run(main)
