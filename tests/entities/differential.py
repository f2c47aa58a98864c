"""Compare the stores of entities with the model, in many random steps.

    python -m tests.entities.differential --store moto --steps 10000

Each operation must do to the store's row what it does to a Row. Then `Once` runs random work on
the store, for keys that come again, with other arguments, and with work that fails; a dict is its
model.
"""

import argparse
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import trio

from okibi import Child, aws
from okibi.entities import EntityStore, Once, OnceMismatch
from okibi.entities.dynamodb_store import DynamoDBStore
from okibi.entities.sqlite_store import SQLiteStore
from okibi.entities.stores import Store
from okibi.supervisors import SupervisorSpec, supervise
from tests.deploy.ministack import run_ministack
from tests.entities.test_operations import compare_with_rows
from tests.support.aws_server import KEYS, environment

TABLE = {
    "TableName": "entities",
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@contextmanager
def open_store(name: str) -> Generator[Store]:
    """Open a new store."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if name == "sqlite":
            file = SQLiteStore(folder / "entities.db")
            stack.callback(file.close)
            store: Store = file
        elif name == "ministack":
            store = dynamodb(stack, stack.enter_context(run_ministack(folder)))
        else:
            # Installed with the services' tests.
            moto: Any = import_module("moto.server")
            logging.getLogger("werkzeug").setLevel(logging.WARNING)
            server = moto.ThreadedMotoServer(port=0, verbose=False)
            server.start()
            stack.callback(server.stop)
            host, port = server.get_host_and_port()
            store = dynamodb(stack, f"http://{host}:{port}")
        yield store


def dynamodb(stack: ExitStack, url: str) -> Store:
    """Open a store in a new table of an emulator."""
    stack.enter_context(environment({**KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": url}))
    trio.run(aws.Client().call, "dynamodb", "CreateTable", TABLE)
    return DynamoDBStore("entities")


async def compare_once(store: Store, seed: int, count: int) -> Counter[str]:
    """Run random work once for each key, and compare the results with a dict.

    Returns how often each kind of result was seen.
    """
    chance, paid = random.Random(seed), Once("paid")
    results, seen, runs = dict[str, tuple[str, int]](), Counter[str](), 0

    async def charge(card: str, *, works: bool) -> int:
        nonlocal runs
        runs += 1
        if not works:
            raise ConnectionError("no bank")
        return runs

    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(lambda: EntityStore(store))]))
        for _ in range(count):
            key, works = f"order-{chance.randrange(count // 3)}", chance.random() < 0.7
            card, before = chance.choice(("visa", "visa", "amex")), runs
            known = results.get(key)
            try:
                result = await paid.run(key, charge, card, works=works)
            except OnceMismatch:
                found = "refused"
                assert known, key
                assert known[0] != repr((card, works)), key
            except ConnectionError:
                found = "failed"
                assert not known, key
                assert not works, key
            else:
                found = "ran" if known is None else "repeated"
                results.setdefault(key, (repr((card, works)), runs))
                assert results[key] == (repr((card, works)), result), key
            assert runs - before == (found in ("ran", "failed")), (key, found)
            seen[found] += 1
        top.stop()
    return seen


def main() -> None:
    """Compare, and print what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", choices=("sqlite", "moto", "ministack"), default="sqlite")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with open_store(options.store) as store:
        done = trio.run(compare_with_rows, store, options.seed, options.steps)
        print(f"{options.store}: {options.steps} steps equal the model's; done: {sorted(done)}")
        seen = trio.run(compare_once, store, options.seed, options.steps // 10)
        print(f"{options.store}: Once {options.steps // 10} times equals the model: {dict(seen)}")


if __name__ == "__main__":
    main()
