"""A worker with a streaming handler, and a played Runtime API that takes apart what was sent."""

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Ref, start
from okibi.runtime import Function
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.serving.worker import Worker
from okibi.runtime.tree import ServedFunction
from tests.limits import HANG
from tests.support.doubles import SETTINGS
from tests.support.played_api import NEXT, World, event, world


@attrs.define(eq=False)
class Stage:
    """A worker of a function, and its lane."""

    world: World
    worker: Ref[Worker]
    events: int = 0

    @property
    def lane(self) -> Lane:
        return self.world.lane

    def read(self) -> bytes:
        """Return what was written since the last call."""
        return self.world.wire.taken()

    async def give(self, told: object = None, **head: str) -> Delivery:
        """Hand over an event, and wait until nothing more happens."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in head.items())
        self.events += 1
        await self.world.say(
            event(f"id-{self.events}", body=json.dumps(told).encode(), head=lines.encode())
        )
        self.read()
        made = self.world.delivery
        assert made.assign(self.worker)
        self.worker.send_nowait((self.lane, made))
        await wait_all_tasks_blocked()
        return made

    async def drain(self, room: int) -> None:
        """Let the connection take `room` more bytes."""
        self.world.wire.room = room
        drained, self.world.wire.drained = self.world.wire.drained, trio.Event()
        drained.set()
        await wait_all_tasks_blocked()

    async def due_in(self, seconds: float) -> Delivery:
        """Hand over an event with a deadline in `seconds`."""
        at = int((time.time() + seconds + self.lane.margin) * 1000)
        return await self.give(lambda_runtime_deadline_ms=str(at))


@asynccontextmanager
async def serving(
    handler: Any, interrupt: DeadlineInterrupt | None = None, lanes: int = 1
) -> AsyncIterator[Stage]:
    """Serve a function with one worker."""
    async with world() as made:
        made.ledger.lanes += [Lane(n, b"api") for n in range(1, lanes)]
        function = Function(handler)
        factory = ServedFunction(
            function, SETTINGS, made.ledger, interrupt or DeadlineInterrupt()
        ).make_worker
        yield Stage(made, await start(made.nursery, factory, path="/worker"))


async def until(there: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    with trio.fail_after(HANG):
        while not there():  # noqa: ASYNC110
            await trio.sleep(0.001)


def body(said: bytes) -> bytes:
    """Return the whole body of a stream that ended well."""
    head, _, rest = said.partition(b"\r\n\r\n")
    assert b"Lambda-Runtime-Function-Response-Mode: streaming\r\n" in head
    assert rest.endswith(b"0\r\n\r\n" + NEXT), rest[-200:]
    return joined(rest.removesuffix(b"0\r\n\r\n" + NEXT))


def joined(chunks: bytes) -> bytes:
    found = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        found += rest[: int(size, 16)]
        assert rest[int(size, 16) :].startswith(b"\r\n")
        chunks = rest[int(size, 16) + 2 :]
    return found


def trailer(said: bytes) -> dict[str, Any]:
    """Return the error after a stream; both trailers must have the same type."""
    found = re.search(
        rb"0\r\nLambda-Runtime-Function-Error-Type: (.*)\r\n"
        rb"Lambda-Runtime-Function-Error-Body: (.*)\r\n\r\n",
        said,
    )
    assert found is not None, said
    told: dict[str, Any] = json.loads(base64.b64decode(found[2]))
    assert found[1].decode().rpartition(".")[2] == told["errorType"].rpartition(".")[2]
    return told
