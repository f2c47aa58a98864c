"""Events of queues and streams, from records that a test describes."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

Raw = dict[str, Any]


@attrs.frozen
class Item:
    """A record, as a test describes it.

    Args:
        number: the number in its queue, shard or partition.
        body: the body; None for Kafka's null value.
        key: the message group, the partition key, the item's key, or Kafka's key.
        partition: the partition of Kafka, or the queue of RabbitMQ.
    """

    number: int
    body: str | None = "{}"
    key: str | None = "a"
    partition: str = "orders-0"


def items(count: int, body: str = "{}", **fields: Any) -> list[Item]:
    """Describe records that are alike; a body of `{number}` becomes the number."""
    return [Item(n, body.replace("{number}", str(n)), **fields) for n in range(count)]


def make_event(service: str, records: Iterable[Item]) -> Raw:
    """Build an event of a service.

    Args:
        service: a key of `SERVICES`.
        records: the records, in their order.
    """
    return SERVICES[service](list(records))


def identifier_of(service: str, item: Item) -> object:
    """Return the identifier by which an answer names a record."""
    match service:
        case "Kafka" | "self-managed Kafka":
            return {"partition": item.partition, "offset": item.number}
        case "Kinesis" | "DynamoDB":
            return str(item.number)
        case _:
            return f"id-{item.number}"


def answer_naming(service: str, records: Iterable[Item]) -> Raw:
    """Return the answer that has Lambda send some records again."""
    named = [{"itemIdentifier": identifier_of(service, each)} for each in records]
    return {"batchItemFailures": named}


def _encode(text: str) -> str:
    return b64encode(text.encode()).decode()


def _sqs(queue: str, records: Sequence[Item]) -> Raw:
    fifo = queue.endswith(".fifo")
    return {
        "Records": [
            {
                "messageId": f"id-{each.number}",
                "receiptHandle": f"receipt-{each.number}",
                "body": each.body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    **({"MessageGroupId": each.key} if each.key is not None else {}),
                    **({"SequenceNumber": str(each.number)} if fifo else {}),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue}",
                "awsRegion": "eu-west-1",
            }
            for each in records
        ]
    }


def _kinesis(records: Sequence[Item]) -> Raw:
    return {
        "Records": [
            {
                "kinesis": {
                    "partitionKey": each.key,
                    "sequenceNumber": str(each.number),
                    "data": _encode(each.body or ""),
                },
                "eventSource": "aws:kinesis",
                "eventID": f"shardId-000000000000:{each.number}",
                "eventName": "aws:kinesis:record",
            }
            for each in records
        ]
    }


def _dynamodb(records: Sequence[Item]) -> Raw:
    """Build an event whose items have a key `id`, and the body as `text`."""
    return {
        "Records": [
            {
                "eventName": "MODIFY",
                "eventSource": "aws:dynamodb",
                "dynamodb": {
                    "Keys": {"id": {"S": each.key}},
                    "NewImage": {"id": {"S": each.key}, "text": {"S": each.body}},
                    "SequenceNumber": str(each.number),
                },
            }
            for each in records
        ]
    }


def _kafka(service: str, records: Sequence[Item]) -> Raw:
    by_partition: dict[str, list[Raw]] = {}
    for each in records:
        raw: Raw = {"offset": each.number, "partition": int(each.partition.rpartition("-")[2])}
        raw["topic"] = each.partition.rpartition("-")[0]
        if each.key is not None:
            raw["key"] = _encode(each.key)
        raw["value"] = None if each.body is None else _encode(each.body)
        by_partition.setdefault(each.partition, []).append(raw)
    return {"eventSource": service, "bootstrapServers": "b-1:9092", "records": by_partition}


def _active_mq(records: Sequence[Item]) -> Raw:
    return {
        "eventSource": "aws:amq",
        "messages": [
            {
                "messageID": f"id-{each.number}",
                "messageType": "jms/text-message",
                "data": _encode(each.body or ""),
                "destination": {"physicalName": each.partition},
            }
            for each in records
        ],
    }


def _rabbit_mq(records: Sequence[Item]) -> Raw:
    by_queue: dict[str, list[Raw]] = {}
    for each in records:
        raw = {
            "basicProperties": {"messageId": f"id-{each.number}"},
            "redelivered": False,
            "data": _encode(each.body or ""),
        }
        by_queue.setdefault(each.partition, []).append(raw)
    return {"eventSource": "aws:rmq", "rmqMessagesByQueue": by_queue}


SERVICES: dict[str, Callable[[Sequence[Item]], Raw]] = {
    "SQS": lambda records: _sqs("orders", records),
    "SQS FIFO": lambda records: _sqs("orders.fifo", records),
    "Kinesis": _kinesis,
    "DynamoDB": _dynamodb,
    "Kafka": lambda records: _kafka("aws:kafka", records),
    "self-managed Kafka": lambda records: _kafka("SelfManagedKafka", records),
    "ActiveMQ": _active_mq,
    "RabbitMQ": _rabbit_mq,
}
