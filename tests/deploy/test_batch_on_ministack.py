"""A batch of SQS end to end: a queue, an event source mapping and a function on MiniStack."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.ministack import run_ministack
from tests.deploy.test_ministack import Project, wait_for

FUNCTION = """
import attrs
import trio
from okibi import Function
from okibi.batch import Batch, Record


@attrs.frozen
class Order:
    number: int
    fate: str


async def handle(record: Record[Order]) -> None:
    print("order", record.body.number)
    if record.body.fate == "fails":
        raise ValueError("no such order")
    if record.body.fate == "hangs":
        await trio.sleep_forever()


function = Function(handler=Batch(handle))
"""
PROJECT = """
[project]
name = "orders"
version = "1"

[tool.okibi.functions.orders]
handler = "app.function"
timeout = 2
queue = {max_receive_count = 2, batch_size = 10}
"""
# Longer than the function may take, and short for a test: a message comes back after these seconds.
HIDDEN = 4
FATES = {2: "fails", 5: "hangs", 7: "fails"}
UNREADABLE = 8


@pytest.fixture(scope="module")
def project(first_steps: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("orders")
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "app.py").write_text(FUNCTION)
    with run_ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield Project(folder, first_steps / "venv" / "bin", url)


def test_only_the_named_messages_come_back(project: Project) -> None:
    project.deploy("--yes")
    (stack,) = project.client("cloudformation").describe_stacks(StackName="orders")["Stacks"]
    urls = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    sqs: Any = project.client("sqs")
    sqs.set_queue_attributes(
        QueueUrl=urls["QueueUrl"], Attributes={"VisibilityTimeout": str(HIDDEN)}
    )

    bodies = [json.dumps({"number": n, "fate": FATES.get(n, "ok")}) for n in range(10)]
    bodies[UNREADABLE] = '{"number": "eight"}'
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=urls["QueueUrl"], Entries=entries)

    dead = dict[str, str]()

    def all_dead() -> bool:
        found = sqs.receive_message(QueueUrl=urls["DeadLetterQueueUrl"], MaxNumberOfMessages=10)
        dead.update({each["MessageId"]: each["Body"] for each in found.get("Messages", ())})
        return len(dead) >= len(FATES) + 1

    wait_for(all_dead)
    assert sorted(dead.values()) == sorted(bodies[n] for n in [*FATES, UNREADABLE])
    handled = [
        line for line in project.okibi("logs", "orders").out.splitlines() if "order " in line
    ]
    times = [handled.count(f"order {n}") for n in range(10)]
    assert times == [2 if n in FATES else 0 if n == UNREADABLE else 1 for n in range(10)]
