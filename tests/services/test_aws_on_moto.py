"""okibi.aws against moto's services and dynalite, and boto3 in threads beside it."""

import os
import re
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi import aws
from tests.limits import HANG
from tests.support.aws_server import KEYS, environment
from tests.support.servers import ALL_NEEDED, free_port

server_module: Any = pytest.importorskip(
    "moto.server", reason="moto is not installed: make test-services"
)
TABLE: dict[str, Any] = {
    "TableName": "carts",
    "AttributeDefinitions": [
        {"AttributeName": "id", "AttributeType": "S"},
        {"AttributeName": "line", "AttributeType": "N"},
    ],
    "KeySchema": [
        {"AttributeName": "id", "KeyType": "HASH"},
        {"AttributeName": "line", "KeyType": "RANGE"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}
SEATS = {
    **TABLE,
    "TableName": "seats",
    "AttributeDefinitions": TABLE["AttributeDefinitions"][:1],
    "KeySchema": TABLE["KeySchema"][:1],
}
ITEM = {
    "id": "a1", "line": 1, "price": Decimal("9.90"), "tags": {"new", "tea"}, "picture": b"\x00\xff",
    "note": None, "ready": True, "inner": {"numbers": [1, 2], "empty": ""}, "odd": "ä\n\u2028𝄞",
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def dynalite() -> Iterator[str]:
    program = Path(__file__).parents[2] / ".node/dynalite/node_modules/.bin/dynalite"
    if not program.exists() and not os.environ.get(ALL_NEEDED):
        pytest.skip("dynalite is not installed: npm install --prefix .node/dynalite dynalite@4")
    port = free_port()
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--createTableMs", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(autouse=True)
def keys(url: str) -> Generator[None]:
    with environment({**KEYS, "AWS_ENDPOINT_URL": url}):
        yield


@pytest.fixture
async def table() -> AsyncIterator[None]:
    async for _ in made_table(TABLE):
        yield


@pytest.fixture(params=["moto", "dynalite"])
def emulator(request: pytest.FixtureRequest, url: str) -> Iterator[None]:
    """Each of the two emulators of DynamoDB."""
    place = url if request.param == "moto" else request.getfixturevalue("dynalite")
    with environment({**KEYS, "AWS_ENDPOINT_URL_DYNAMODB": place}):
        yield


@pytest.fixture
async def each_table(emulator: None) -> AsyncIterator[None]:
    async for _ in made_table(TABLE):
        yield


async def made_table(table: dict[str, Any]) -> AsyncIterator[None]:
    name = {"TableName": table["TableName"]}

    async def status() -> str:
        try:
            found = await aws.call("dynamodb", "DescribeTable", name)
        except aws.CallFailed as error:
            return error.code
        else:
            return str(found["Table"]["TableStatus"])

    async def until(expected: str) -> None:
        with trio.fail_after(HANG):
            while await status() != expected:  # noqa: ASYNC110, no event says so
                await trio.sleep(0.01)

    await aws.call("dynamodb", "CreateTable", table)
    await until("ACTIVE")
    yield
    await aws.call("dynamodb", "DeleteTable", name)
    await until("ResourceNotFoundException")


async def put(item: dict[str, Any], **more: Any) -> None:
    await aws.call("dynamodb", "PutItem", {"TableName": "carts", "Item": aws.to_item(item), **more})


def key(line: int) -> dict[str, Any]:
    return {"TableName": "carts", "Key": aws.to_item({"id": "a1", "line": line})}


async def test_an_item_of_every_type_is_stored_and_read(each_table: None) -> None:
    await put(ITEM)

    answer = await aws.call("dynamodb", "GetItem", key(1))

    assert aws.from_item(answer["Item"]) == ITEM


async def test_an_update_counts_and_a_delete_removes(each_table: None) -> None:
    count = {
        "UpdateExpression": "ADD visits :one",
        "ExpressionAttributeValues": {":one": aws.to_value(1)},
        "ReturnValues": "ALL_NEW",
    }
    for expected in (1, 2):
        answer = await aws.call("dynamodb", "UpdateItem", {**key(1), **count})
        assert aws.from_item(answer["Attributes"])["visits"] == expected

    await aws.call("dynamodb", "DeleteItem", key(1))

    assert await aws.call("dynamodb", "GetItem", key(1)) == {}


async def test_a_query_has_all_pages(each_table: None) -> None:
    await put_many(60)
    query = {
        "TableName": "carts",
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": aws.to_value("a1")},
        "Limit": 25,
    }

    pages = [page["Items"] async for page in aws.pages("dynamodb", "Query", query)]

    assert [len(page) for page in pages] == [25, 25, 10]
    lines = [aws.from_item(item)["line"] for page in pages for item in page]
    assert lines == [*range(60)]


async def put_many(count: int) -> None:
    """Write items in batches of 25, again where DynamoDB has processed fewer."""
    requests = [
        {"PutRequest": {"Item": aws.to_item({"id": "a1", "line": line})}} for line in range(count)
    ]
    for start in range(0, count, 25):
        left = {"carts": requests[start : start + 25]}
        while left:
            answer = await aws.call("dynamodb", "BatchWriteItem", {"RequestItems": left})
            left = answer.get("UnprocessedItems") or {}


async def test_a_failed_condition_is_an_error_with_its_code(each_table: None) -> None:
    await put(ITEM)

    with pytest.raises(aws.CallFailed, match="ConditionalCheckFailedException") as caught:
        await put(ITEM, ConditionExpression="attribute_not_exists(id)")
    assert (caught.value.status, caught.value.attempts) == (400, 1)


@pytest.fixture
async def seats(emulator: None) -> AsyncIterator[None]:
    async for _ in made_table(SEATS):
        yield


async def test_the_sample_of_a_reservation_may_run_twice(seats: None) -> None:
    page = Path(__file__).parents[2] / "docs/aws.md"
    (sample,) = re.findall(r"```python\n([^`]*def reserve.*?)```", page.read_text("utf-8"), re.S)
    names: dict[str, Any] = {}
    exec(sample, names)

    assert [await names["reserve"]("1a", guest) for guest in ("bob", "bob")] == [True, True]
    assert not await names["reserve"]("1a", "eve")


async def test_a_cancelled_transaction_names_each_reason(table: None) -> None:
    put_it = {"Put": {"TableName": "carts", "Item": aws.to_item(ITEM)}}
    once = {"Put": {**put_it["Put"], "ConditionExpression": "attribute_not_exists(id)"}}
    await aws.call("dynamodb", "TransactWriteItems", {"TransactItems": [once]})

    with pytest.raises(aws.CallFailed) as caught:
        await aws.call("dynamodb", "TransactWriteItems", {"TransactItems": [once]})

    assert caught.value.code == "TransactionCanceledException"
    reasons = [reason["Code"] for reason in caught.value.answer["CancellationReasons"]]
    assert reasons == ["ConditionalCheckFailed"]


async def test_a_missing_table_is_an_error_of_the_service() -> None:
    with pytest.raises(aws.CallFailed, match="GetItem: ResourceNotFoundException"):
        await aws.call("dynamodb", "GetItem", key(1))


async def test_a_message_goes_through_a_queue() -> None:
    queue = (await aws.call("sqs", "CreateQueue", {"QueueName": "orders"}))["QueueUrl"]
    await aws.call("sqs", "SendMessage", {"QueueUrl": queue, "MessageBody": "ä\n<tea>"})

    (message,) = (await aws.call("sqs", "ReceiveMessage", {"QueueUrl": queue}))["Messages"]

    assert message["Body"] == "ä\n<tea>"


async def test_a_schedule_is_made_read_and_deleted() -> None:
    target = {"Arn": "arn:aws:lambda:eu-west-1:1:function:a", "RoleArn": "arn:aws:iam::1:role/a"}
    schedule = {
        "Name": "every-hour",
        "ScheduleExpression": "rate(1 hour)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": target,
    }
    await aws.call("scheduler", "CreateSchedule", schedule)

    found = await aws.call("scheduler", "GetSchedule", {"Name": "every-hour"})
    await aws.call("scheduler", "DeleteSchedule", {"Name": "every-hour", "GroupName": "default"})

    assert found["ScheduleExpression"] == "rate(1 hour)"
    with pytest.raises(aws.CallFailed, match="ResourceNotFoundException"):
        await aws.call("scheduler", "GetSchedule", {"Name": "every-hour"})


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "field"),
    [
        ("ssm", "PutParameter", {"Name": "/a", "Value": "b", "Type": "String"}, "Version"),
        ("secretsmanager", "CreateSecret", {"Name": "a", "SecretString": "b"}, "ARN"),
        ("kms", "CreateKey", {}, "KeyMetadata"),
        ("events", "ListEventBuses", {}, "EventBuses"),
        ("logs", "DescribeLogGroups", {}, "logGroups"),
        ("kinesis", "ListStreams", {}, "StreamNames"),
        ("firehose", "ListDeliveryStreams", {}, "DeliveryStreamNames"),
        ("stepfunctions", "ListStateMachines", {}, "stateMachines"),
        ("ecs", "ListClusters", {}, "clusterArns"),
        ("athena", "ListWorkGroups", {}, "WorkGroups"),
        ("glue", "GetDatabases", {}, "DatabaseList"),
        ("cognito-idp", "ListUserPools", {"MaxResults": 1}, "UserPools"),
    ],
)  # fmt: skip
async def test_a_service_understands_its_row(
    service: str, operation: str, parameters: dict[str, Any], field: str
) -> None:
    assert field in await aws.call(service, operation, parameters)


async def test_boto3_in_threads_reads_what_okibi_has_written(table: None, url: str) -> None:
    import boto3  # type: ignore[import-untyped]

    client = boto3.client("dynamodb", "eu-west-1", endpoint_url=url)
    await put(ITEM)
    found = list[Any]()

    async def read() -> None:
        found.append((await aws.in_thread(client.get_item, **key(1)))["Item"]["price"])

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(read)
    with pytest.raises(aws.CallFailed, match="DynamoDB GetItem: ResourceNotFound"):
        await aws.in_thread(client.get_item, **{**key(1), "TableName": "none"})

    assert found == [{"N": "9.90"}] * 20
