"""Read the records out of an event of a queue or a stream, and name those that Lambda retries.

What the services differ in stands in one table, `SOURCES`.
"""

from base64 import b64decode
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, Literal, TypeAlias, cast

import attrs

from ...dynamodb_items import from_item
from ..codec.json import UnmarshalError
from .batch_progress import Progress

Raw: TypeAlias = dict[str, Any]
# What comes in order: the records of a key, of a partition, or none.
Order = Literal["key", "partition", "none"]


class NoBatch(UnmarshalError):
    """The event is no batch of records, or one that cannot be read."""


@attrs.frozen
class Source:
    """A service whose events are batches.

    Args:
        name: the service, for errors.
        records: returns the records of an event, in their order.
        identifier: returns the identifier by which the answer names a record.
        key: returns the key of a record, or None.
        number: returns the number of a record in its queue, partition or shard, or None.
        body: returns the body of a record: a text, bytes, a value, or None.
        old_body: returns the body before a change.
        chains: returns the chain of each record (`batch_progress`); empty for none.
        stops: returns the stop group of each record; empty for none.
        partial: whether Lambda retries only the records that the answer names.
    """

    name: str
    records: Callable[[Any], list[Raw]]
    identifier: Callable[[Raw], object]
    key: Callable[[Raw], Any]
    number: Callable[[Raw], int | None]
    body: Callable[[Raw], object]
    chains: Callable[[list[Raw], Order], Sequence[Hashable]]
    stops: Callable[[list[Raw], Order], Sequence[Hashable]]
    old_body: Callable[[Raw], object] = lambda raw: None
    partial: bool = True


def read_batch(event: Any, order: Order, concurrency: int) -> tuple[Source, list[Raw], Progress]:
    """Return the service that has sent a batch, the records, and their progress.

    Raises:
        NoBatch: the event is no batch, or lacks a field of its service.
    """
    source = _find_source(event)
    try:
        records = source.records(event)
        # All records of a service have the same fields. A look at each takes too long.
        if records:
            source.identifier(records[0])
        # What runs one after the other needs no chains.
        chains = source.chains(records, order) if concurrency > 1 else ()
        return source, records, Progress(len(records), chains, source.stops(records, order))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # An event that was written or shortened by hand.
        raise NoBatch(
            f"the records of {source.name} cannot be read out of this event "
            f"({type(error).__name__}: {error}): `okibi event` prints a whole one"
        ) from error


def _find_source(event: Any) -> Source:
    try:
        records = event.get("Records")
        return SQS if records == [] else SOURCES[(records[0] if records else event)["eventSource"]]
    except (LookupError, TypeError, AttributeError):
        pass
    fields = "no object"
    if isinstance(event, dict):
        names = [*cast("Raw", event)][:4]
        fields = f"an event with {', '.join(map(str, names)) or 'no fields'}"
    raise NoBatch(
        f"this is {fields}, and no batch of SQS, Kinesis, DynamoDB, Kafka or MQ: "
        "`okibi event sqs` prints one; Batch(..., other=handler) takes other events"
    )


def make_answer(identifiers: Iterable[object]) -> dict[str, object]:
    """Return the answer that has Lambda retry records (Lambda: partial batch response).

    >>> make_answer(["1", "2", "1"])
    {'batchItemFailures': [{'itemIdentifier': '1'}, {'itemIdentifier': '2'}]}
    """
    once = {repr(identifier): {"itemIdentifier": identifier} for identifier in identifiers}
    return {"batchItemFailures": [*once.values()]}


# -- SQS


def _group(raw: Raw) -> str | None:
    group: str | None = raw.get("attributes", {}).get("MessageGroupId")
    return group


def _groups(records: list[Raw], order: Order) -> Sequence[Hashable]:
    # A queue that is not FIFO may have groups, too (fair queues), and has no order.
    if order == "none" or not records or not records[0]["eventSourceARN"].endswith(".fifo"):
        return ()
    return [_group(record) for record in records]


def _sequence(raw: Raw) -> int | None:
    number = raw.get("attributes", {}).get("SequenceNumber")
    return None if number is None else int(number)


SQS = Source(
    "SQS",
    records=lambda event: event["Records"],
    identifier=itemgetter("messageId"),
    key=_group,
    number=_sequence,
    body=lambda raw: raw["body"],
    chains=_groups,
    stops=_groups,
)


# -- Kinesis and DynamoDB: a batch is a part of one shard, and Lambda restarts at the lowest number


def _chains_by(
    key: Callable[[Raw], Hashable], records: list[Raw], order: Order
) -> Sequence[Hashable]:
    match order:
        case "key":
            return [key(record) for record in records]
        case "partition":
            return _stop_all(records, order)
        case "none":
            return ()


def _stop_all(records: list[Raw], _: Order) -> Sequence[Hashable]:
    return [True] * len(records)


def _partition_key(raw: Raw) -> str:
    key: str = raw["kinesis"]["partitionKey"]
    return key


KINESIS = Source(
    "Kinesis",
    records=lambda event: event["Records"],
    identifier=lambda raw: raw["kinesis"]["sequenceNumber"],
    key=_partition_key,
    number=lambda raw: int(raw["kinesis"]["sequenceNumber"]),
    body=lambda raw: b64decode(raw["kinesis"]["data"]),
    chains=partial(_chains_by, _partition_key),
    stops=_stop_all,
)


def _image(name: str, raw: Raw) -> object:
    image = raw["dynamodb"].get(name)
    return None if image is None else from_item(image)


def _keys(raw: Raw) -> Raw:
    return from_item(raw["dynamodb"]["Keys"])


DYNAMODB = Source(
    "DynamoDB",
    records=lambda event: event["Records"],
    identifier=lambda raw: raw["dynamodb"]["SequenceNumber"],
    key=_keys,
    number=lambda raw: int(raw["dynamodb"]["SequenceNumber"]),
    body=partial(_image, "NewImage"),
    old_body=partial(_image, "OldImage"),
    chains=partial(_chains_by, lambda raw: repr(raw["dynamodb"]["Keys"])),
    stops=_stop_all,
)


# -- Kafka: a batch has records of several partitions, each an order of its own


def _kafka_records(event: Raw) -> list[Raw]:
    # The name of the partition, such as `orders-0`, stands only here.
    return [
        {**record, "partitionName": name}
        for name, records in event["records"].items()
        for record in records
    ]


def _decoded(field: str, raw: Raw) -> bytes | None:
    text = raw.get(field)
    return None if text is None else b64decode(text)


def _kafka_chains(records: list[Raw], order: Order) -> Sequence[Hashable]:
    if order != "key":
        return _partitions(records, order)
    # Without a key, a record comes in the order of its partition.
    return [(record["partitionName"], record.get("key")) for record in records]


def _partitions(records: list[Raw], order: Order) -> Sequence[Hashable]:
    return () if order == "none" else [record["partitionName"] for record in records]


KAFKA = Source(
    "Kafka",
    records=_kafka_records,
    identifier=lambda raw: {"partition": raw["partitionName"], "offset": raw["offset"]},
    key=partial(_decoded, "key"),
    number=lambda raw: raw["offset"],
    body=partial(_decoded, "value"),
    chains=_kafka_chains,
    stops=_partitions,
)


# -- MQ has no partial answer: after a failure all records come again


def _queues(records: list[Raw], order: Order) -> Sequence[Hashable]:
    return () if order == "none" else [record["queueName"] for record in records]


def _active_records(event: Raw) -> list[Raw]:
    return [
        {**each, "queueName": each["destination"]["physicalName"]} for each in event["messages"]
    ]


def _rabbit_records(event: Raw) -> list[Raw]:
    return [
        {**each, "queueName": name}
        for name, messages in event["rmqMessagesByQueue"].items()
        for each in messages
    ]


def _rabbit_id(raw: Raw) -> object:
    return raw["basicProperties"].get("messageId") or f"without an id of {raw['queueName']}"


_MQ = Source(
    "MQ",
    records=_active_records,
    identifier=lambda raw: raw["messageID"],
    key=lambda raw: raw["queueName"],
    number=lambda raw: None,
    body=partial(_decoded, "data"),
    chains=_queues,
    stops=_stop_all,
    partial=False,
)


SOURCES = {
    "aws:sqs": SQS,
    "aws:kinesis": KINESIS,
    "aws:dynamodb": DYNAMODB,
    "aws:kafka": KAFKA,
    "SelfManagedKafka": KAFKA,
    "aws:amq": _MQ,
    # As AWS has it in some places.
    "aws:mq": _MQ,
    "aws:rmq": attrs.evolve(
        _MQ,
        records=_rabbit_records,
        identifier=_rabbit_id,
    ),
}
