"""The records of each service: identifiers, keys, numbers, bodies, and what they are tied to."""

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from okibi.runtime.adapters.batch_event import (
    SOURCES,
    NoBatch,
    Order,
    Source,
    make_answer,
    read_batch,
)
from tests.support.batch_events import SERVICES, Item, identifier_of, make_event

RECORDS = [
    Item(7, "seven", key="a", partition="orders-0"),
    Item(8, "eight", key="b", partition="orders-0"),
    Item(3, "three", key="a", partition="orders-1"),
]


def read(event: object) -> tuple[Source, list[dict[str, Any]]]:
    source, records, _ = read_batch(event, "key", 10)
    return source, records


def attribute(value: dict[str, Any]) -> Any:
    """Return the value of an attribute of DynamoDB, as `body` has it."""
    raw = {"dynamodb": {"NewImage": {"value": value}}}
    body: Any = SOURCES["aws:dynamodb"].body(raw)
    return body["value"]


@pytest.mark.parametrize("service", SERVICES)
def test_the_answer_names_a_record_as_the_service_wants(service: str) -> None:
    source, records = read(make_event(service, RECORDS))

    assert [source.identifier(raw) for raw in records] == [
        identifier_of(service, each) for each in RECORDS
    ]


BODIES: dict[str, list[object]] = {
    "SQS": ["seven", "eight", "three"],
    "SQS FIFO": ["seven", "eight", "three"],
    "DynamoDB": [
        {"id": "a", "text": "seven"}, {"id": "b", "text": "eight"}, {"id": "a", "text": "three"}
    ],
}  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_the_body_is_what_was_sent(service: str) -> None:
    source, records = read(make_event(service, RECORDS))

    sent = BODIES.get(service, [b"seven", b"eight", b"three"])
    assert [source.body(raw) for raw in records] == sent


KEYS_AND_NUMBERS: dict[str, list[tuple[object, int | None]]] = {
    "SQS": [("a", None), ("b", None), ("a", None)],
    "SQS FIFO": [("a", 7), ("b", 8), ("a", 3)],
    "Kinesis": [("a", 7), ("b", 8), ("a", 3)],
    "DynamoDB": [({"id": "a"}, 7), ({"id": "b"}, 8), ({"id": "a"}, 3)],
    "Kafka": [(b"a", 7), (b"b", 8), (b"a", 3)],
    "self-managed Kafka": [(b"a", 7), (b"b", 8), (b"a", 3)],
    "ActiveMQ": [("orders-0", None), ("orders-0", None), ("orders-1", None)],
    "RabbitMQ": [("orders-0", None), ("orders-0", None), ("orders-1", None)],
}


@pytest.mark.parametrize("service", SERVICES)
def test_a_record_has_its_key_and_its_number(service: str) -> None:
    source, records = read(make_event(service, RECORDS))

    told = [(source.key(raw), source.number(raw)) for raw in records]
    assert told == KEYS_AND_NUMBERS[service]


def test_a_number_of_kinesis_is_exact() -> None:
    number = 49545115243490985018280067714973144582180062593244200961
    source, (raw,) = read(make_event("Kinesis", [Item(number)]))

    assert source.number(raw) == number


def test_a_message_may_have_neither_group_nor_attributes() -> None:
    event = make_event("SQS", [Item(0, key=None)])
    del event["Records"][0]["attributes"]
    source, (raw,) = read(event)

    assert (source.key(raw), source.number(raw)) == (None, None)
    assert (source.chains([raw], "key"), source.stops([raw], "key")) == ((), ())


def test_kafka_may_have_neither_key_nor_value() -> None:
    source, (raw,) = read(make_event("Kafka", [Item(0, None, key=None)]))

    assert (source.key(raw), source.body(raw)) == (None, None)


# -- attributes of DynamoDB


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"S": "tea"}, "tea"),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"N": "-7"}, -7),
        ({"N": "12345678901234567890123456789012345678"}, 12345678901234567890123456789012345678),
        ({"N": "0.1"}, Decimal("0.1")),
        ({"N": "1E+3"}, Decimal(1000)),
        ({"B": b64encode(b"\0\xff").decode()}, b"\0\xff"),
        ({"SS": ["a", "b"]}, {"a", "b"}),
        ({"NS": ["1", "0.5"]}, {1, Decimal("0.5")}),
        ({"BS": [b64encode(b"\0").decode()]}, {b"\0"}),
        ({"L": [{"S": "a"}, {"N": "1"}]}, ["a", 1]),
        ({"M": {"inner": {"L": [{"NULL": True}]}}}, {"inner": [None]}),
    ],
)
def test_an_attribute_of_dynamodb_is_a_plain_value(value: dict[str, Any], plain: object) -> None:
    assert attribute(value) == plain
    assert type(attribute(value)) is type(plain)


def test_an_unknown_attribute_type_is_named() -> None:
    with pytest.raises(ValueError, match="DynamoDB has no attribute type X"):
        attribute({"X": "?"})


def test_an_item_that_was_removed_has_only_an_old_body() -> None:
    event = make_event("DynamoDB", [Item(0, "tea")])
    change = event["Records"][0]["dynamodb"]
    change["OldImage"] = change.pop("NewImage")
    source, (raw,) = read(event)

    assert source.body(raw) is None
    assert source.old_body(raw) == {"id": "a", "text": "tea"}


# -- what the order ties together: by each record its chain, by each its stop group


def numbers(groups: Sequence[object]) -> list[int]:
    """Return a small number for each group; 0 is none."""
    seen: list[object] = [None]
    for group in groups or [None] * len(RECORDS):
        if group not in seen:
            seen.append(group)
    return [seen.index(group) for group in groups] or [0] * len(RECORDS)


@pytest.mark.parametrize(
    ("service", "order", "chains", "stops"),
    [
        ("SQS", "key", [0, 0, 0], [0, 0, 0]),
        ("SQS", "partition", [0, 0, 0], [0, 0, 0]),
        ("SQS FIFO", "key", [1, 2, 1], [1, 2, 1]),
        ("SQS FIFO", "partition", [1, 2, 1], [1, 2, 1]),
        ("SQS FIFO", "none", [0, 0, 0], [0, 0, 0]),
        *(
            (service, *row)
            for service in ("Kinesis", "DynamoDB")
            for row in [
                ("key", [1, 2, 1], [1, 1, 1]),
                ("partition", [1, 1, 1], [1, 1, 1]),
                # Lambda restarts a shard at the lowest number, in whatever order it was handled.
                ("none", [0, 0, 0], [1, 1, 1]),
            ]
        ),
        *(
            (service, *row)
            for service in ("Kafka", "self-managed Kafka")
            for row in [
                ("key", [1, 2, 3], [1, 1, 2]),
                ("partition", [1, 1, 2], [1, 1, 2]),
                ("none", [0, 0, 0], [0, 0, 0]),
            ]
        ),
        *(
            (service, *row)
            for service in ("ActiveMQ", "RabbitMQ")
            for row in [
                ("key", [1, 1, 2], [1, 1, 1]),
                ("partition", [1, 1, 2], [1, 1, 1]),
                ("none", [0, 0, 0], [1, 1, 1]),
            ]
        ),
    ],
)
def test_an_order_ties_records_into_chains_and_stop_groups(
    service: str, order: Order, chains: list[int], stops: list[int]
) -> None:
    source, records = read(make_event(service, RECORDS))

    assert numbers(source.chains(records, order)) == chains
    assert numbers(source.stops(records, order)) == stops


def test_kafkas_records_without_a_key_are_in_the_order_of_their_partition() -> None:
    event = make_event("Kafka", [Item(n, key=None, partition=f"p-{n % 2}") for n in range(4)])
    source, records = read(event)

    assert numbers(source.chains(records, "key")) == [1, 1, 2, 2]


# -- events that are no batches


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (None, "this is no object"),
        ([], "this is no object"),
        ({}, "an event with no fields"),
        ({"Records": "a"}, "an event with Records"),
        ({"Records": ["a"]}, "an event with Records"),
        ({"Records": [{"eventSource": ["a"]}]}, "an event with Records"),
        ({"Records": [{"eventSource": "aws:s3"}]}, "an event with Records"),
        ({"source": "aws.events", "detail": {}}, "an event with source, detail, and no batch of"),
    ],
)
def test_an_event_that_is_no_batch_is_described(event: object, text: str) -> None:
    with pytest.raises(NoBatch, match=text) as caught:
        read(event)
    assert "`okibi event sqs` prints one; Batch(..., other=handler) takes" in str(caught.value)


@pytest.mark.parametrize(
    ("service", "change", "text"),
    [
        ("SQS", {"Records": [{"eventSource": "aws:sqs"}]}, "SQS .*KeyError: 'messageId'"),
        ("Kinesis", {"Records": [{"eventSource": "aws:kinesis"}, 5]}, "Kinesis .*KeyError"),
        ("Kafka", {"records": None}, "Kafka .*AttributeError"),
        ("ActiveMQ", {"messages": None}, "MQ .*TypeError"),
        ("RabbitMQ", {"rmqMessagesByQueue": {"q": [None]}}, "MQ .*TypeError"),
    ],
)
def test_a_batch_that_lacks_a_field_is_refused_with_a_whole_one(
    service: str, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(NoBatch, match=rf"{text}.*`okibi event` prints a whole one"):
        read({**make_event(service, RECORDS), **change})


def test_a_batch_without_records_is_one() -> None:
    assert read({"Records": []})[1] == []


def test_an_identifier_that_is_there_twice_is_named_once() -> None:
    twice = [{"partition": "orders-0", "offset": 1}] * 2

    assert make_answer(twice) == {"batchItemFailures": [{"itemIdentifier": twice[0]}]}
