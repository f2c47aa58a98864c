"""Batches in a real process: code that blocks the loop, a thread that hangs, SIGTERM."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from okibi.local import InvokeResult
from tests.support.batch_events import Item, answer_naming, make_event
from tests.support.sandbox import process_of, running, until_there

pytestmark = pytest.mark.slow


def orders(*bodies: dict[str, str]) -> tuple[list[Item], Any]:
    records = [Item(n, json.dumps(body)) for n, body in enumerate(bodies)]
    return records, make_event("SQS", records)


async def test_a_handler_that_blocks_the_loop_is_answered_for_and_the_process_ends() -> None:
    records, event = orders({}, {"do": "block"})
    async with running("batches.coroutine", timeout=2) as sandbox:
        assert await sandbox.ask(event) == answer_naming("SQS", records[1:])
        assert await sandbox.ask(orders({})[1]) == {"batchItemFailures": []}
        assert sandbox.said("and held the event loop; write a plain def") == 1


@pytest.mark.parametrize(
    ("name", "logged", "left"),
    [
        ("plain", "the handler was in File", [1, 2]),
        ("threads", "the thread of record id-1 runs on", [1]),
    ],
)
async def test_a_def_that_hangs_is_named_and_the_next_batch_is_served(
    name: str, logged: str, left: list[int]
) -> None:
    records, event = orders({}, {"do": "hang"}, {})
    async with running(f"batches.{name}", timeout=2) as sandbox:
        assert await sandbox.ask(event) == answer_naming("SQS", [records[n] for n in left])
        assert await sandbox.ask(orders({})[1]) == {"batchItemFailures": []}
        assert sandbox.said(logged) == 1


@pytest.mark.parametrize(("name", "do"), [("coroutine", "sleep"), ("plain", "hang")])
async def test_sigterm_in_a_batch_is_an_error_of_the_function(
    name: str, do: str, tmp_path: Path
) -> None:
    told, begun = list[InvokeResult](), tmp_path / "begun"
    _, event = orders({}, {"do": do, "begun": str(begun)})
    async with process_of(f"batches.{name}") as (process, api, said):
        async with trio.open_nursery() as nursery:

            async def invoke() -> None:
                told.append(await api.invoke(json.dumps(event).encode()))

            nursery.start_soon(invoke)
            await until_there(begun)
            process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0

    assert [each.error_type for each in told] == ["Runtime.Stopped"]
    assert (b"cancelled id-1" in b"".join(said)) == (do == "sleep")
