"""A batch whose records say what their handler does."""

import time
from pathlib import Path

import attrs
import trio

from okibi import Function
from okibi.batch import Batch, Record


@attrs.frozen
class Order:
    """A record's body.

    Args:
        do: "nothing", "block" the loop, "sleep", or "hang" in a `def`.
        begun: a file to make first.
    """

    do: str = "nothing"
    begun: str = ""


async def handle(record: Record[Order]) -> None:
    if record.body.begun:
        Path(record.body.begun).touch()  # noqa: ASYNC240
    if record.body.do == "block":
        time.sleep(60)  # noqa: ASYNC251
    if record.body.do == "sleep":
        try:
            await trio.sleep(60)
        finally:
            print("cancelled", record.id)


def handle_plainly(record: Record[Order]) -> None:
    if record.body.begun:
        Path(record.body.begun).touch()
    if record.body.do == "hang":
        time.sleep(60)


coroutine = Function(Batch(handle))
plain = Function(Batch(handle_plainly))
threads = Function(Batch(handle_plainly, concurrency=2))
