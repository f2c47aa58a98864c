"""Entities on moto and on dynalite: each operation does there what it does to a Row."""

import pytest
import trio

from okibi import aws
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.operations import Post
from okibi.entities.rows import Mail
from okibi.entities.stores import EntityFull
from tests.entities.test_operations import compare_with_rows
from tests.services.test_aws_on_moto import dynalite, url
from tests.support.aws_server import KEYS, environment

__all__ = ["dynalite", "url"]
STEPS = 500


async def fill(store: DynamoDBStore) -> None:
    # moto counts a list twice.
    for number in range(1, 15):
        await store.apply(Post("full", Mail("a", number, "x" * 30_000, 0)))


@pytest.mark.parametrize("server", ["url", "dynalite"])
async def test_an_operation_does_there_what_it_does_to_a_row(
    server: str, request: pytest.FixtureRequest
) -> None:
    endpoint: str = request.getfixturevalue(server)
    with environment({**KEYS, "AWS_REGION": "eu-west-1"}):
        client = aws.Client(endpoint=endpoint, attempts=1)
        store = DynamoDBStore("entities", client)
        with pytest.raises(RuntimeError, match="DynamoDB has no table entities in this account"):
            await store.read("k", consistent=True)
        table = {
            "TableName": "entities",
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await client.call("dynamodb", "CreateTable", table)
        while True:
            answer = await client.call("dynamodb", "DescribeTable", {"TableName": "entities"})
            if answer["Table"]["TableStatus"] == "ACTIVE":
                break
            await trio.sleep(0.05)
        with pytest.raises(EntityFull, match="full: its item would have more than 400 KB"):
            await fill(store)
        # dynalite has no transactions.
        await compare_with_rows(store, 1, STEPS, moves=0.2 if server == "url" else 0.0)
