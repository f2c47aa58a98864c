"""Handlers that stream, in a worker of their own, against a Runtime API played by hand."""

import base64
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors import ExitReason, Ref, start
from runtime import Context, Function, Handler, Prelude, Response, streaming
from runtime.alarm import Alarm
from runtime.current import request_id
from runtime.delivery import Delivery, State
from runtime.lane import Lane
from runtime.response import ROOM, Item
from runtime.tree import Serving
from runtime.wire import HTTP_INTEGRATION
from runtime.worker import Worker
from tests.runtime.played import ACCEPTED, NEXT, World, event, world
from tests.runtime.stage import SETTINGS

LOG: list[object] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    LOG.clear()


@attrs.define(eq=False)
class Stage:
    """A worker of a function, and the lane that it answers on."""

    world: World
    worker: Ref[Worker]
    events: int = 0

    @property
    def lane(self) -> Lane:
        return self.world.lane

    def read(self) -> bytes:
        """What was written since it was last asked for."""
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
        """Have the connection take so many bytes more."""
        self.world.wire.room = room
        drained, self.world.wire.drained = self.world.wire.drained, trio.Event()
        drained.set()
        await wait_all_tasks_blocked()

    async def due_in(self, seconds: float) -> Delivery:
        """The same, of an event that is to be answered by okibi in so many seconds."""
        at = int((time.time() + seconds + self.lane.margin) * 1000)
        return await self.give(lambda_runtime_deadline_ms=str(at))


@asynccontextmanager
async def serving(handler: Any, alarm: Alarm | None = None, lanes: int = 1) -> AsyncIterator[Stage]:
    """Serve a function with one worker."""
    async with world() as made:
        made.ledger.lanes += [Lane(n, b"api") for n in range(1, lanes)]
        function = Function(handler)
        factory = Serving(function, SETTINGS, made.ledger, alarm or Alarm()).worker
        yield Stage(made, await start(made.nursery, factory, path="/worker"))


async def until(there: Callable[[], bool]) -> None:
    """Wait for what a thread does."""
    with trio.fail_after(5):
        while not there():  # noqa: ASYNC110
            await trio.sleep(0.001)


def body(said: bytes) -> bytes:
    """The whole body of a streamed answer that ended well."""
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
    """The error behind a stream; its type is that in the other trailer."""
    found = re.search(
        rb"0\r\nLambda-Runtime-Function-Error-Type: (.*)\r\n"
        rb"Lambda-Runtime-Function-Error-Body: (.*)\r\n\r\n",
        said,
    )
    assert found is not None, said
    told: dict[str, Any] = json.loads(base64.b64decode(found[2]))
    assert found[1].decode().rpartition(".")[2] == told["errorType"].rpartition(".")[2]
    return told


async def count(event: int, context: Context) -> AsyncIterator[Item]:
    for n in range(event):
        yield f"{n} "


def count_plainly(event: int, context: Context) -> Iterator[Item]:
    for n in range(event):
        yield f"{n} "


async def gives_a_stream(event: int, context: Context) -> object:
    return count(event, context)


def gives_one_plainly(event: int, context: Context) -> object:
    return count(event, context)


@streaming
async def count_by_writing(event: int, response: Response, context: Context) -> None:
    for n in range(event):
        await response.write(f"{n} ")


class GivesFromCall:
    def __call__(self, event: int, context: Context) -> AsyncIterator[Item]:
        return count(event, context)


class CallableGenerator:
    async def __call__(self, event: int, context: Context) -> AsyncIterator[Item]:
        async for item in count(event, context):
            yield item


class Counter(Handler[int]):
    async def handle(self, event: int, context: Context) -> AsyncIterator[Item]:
        for n in range(event):
            yield f"{n} "


class GivesOne(Handler[int]):
    async def handle(self, event: int, context: Context) -> object:
        return count(event, context)


KINDS = [
    count,
    count_plainly,
    gives_a_stream,
    gives_one_plainly,
    count_by_writing,
    partial(count),
    partial(count_by_writing),
    GivesFromCall(),
    CallableGenerator(),
    Counter,
    GivesOne,
]


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("handler", KINDS, ids=lambda kind: getattr(kind, "__name__", str(kind)))
async def test_whatever_yields_or_writes_streams(handler: Any, lanes: int) -> None:
    async with serving(handler, lanes=lanes) as stage:
        await stage.give(4)
        await until(lambda: b"0\r\n\r\n" in stage.world.wire.written)

        assert body(stage.read()) == b"0 1 2 3 "
        await stage.world.say(ACCEPTED)
        assert stage.lane.delivery is None


@pytest.mark.parametrize("handler", KINDS, ids=lambda kind: getattr(kind, "__name__", str(kind)))
async def test_what_yields_nothing_is_an_empty_stream(handler: Any) -> None:
    async with serving(handler) as stage:
        await stage.give(0)

        assert body(stage.read()) == b""


async def test_a_piece_is_on_the_wire_before_the_next_is_computed() -> None:
    stage: Stage

    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield "first"
        LOG.append(bytes(stage.world.wire.written)[-10:])
        yield "second"
        LOG.append(bytes(stage.world.wire.written)[-11:])

    async with serving(handler) as stage:
        await stage.give()

    assert LOG == [b"5\r\nfirst\r\n", b"6\r\nsecond\r\n"]


async def test_while_the_connection_takes_no_more_the_handler_waits() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        for n in range(10):
            LOG.append(n)
            yield b"x" * (ROOM // 2)

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        # Two fit into the room; with the third it waits.
        assert LOG == [0, 1, 2]
        assert ROOM < stage.lane.unwritten < 2 * ROOM

        await stage.drain(ROOM)
        assert LOG == [0, 1, 2, 3, 4]

        await stage.drain(1 << 30)
        assert len(body(stage.read())) == 10 * (ROOM // 2)


async def test_a_prelude_is_a_chunk_before_eight_nuls_before_the_body() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield Prelude(201, {"content-type": "text/plain"}, ["a=b", "c=d"])
        yield "hello"

    async with serving(handler) as stage:
        await stage.give()

        said = stage.read()
        assert b"\r\nContent-Type: %s\r\n" % HTTP_INTEGRATION in said
        prelude = (
            b'{"statusCode":201,"headers":{"content-type":"text/plain"},"cookies":["a=b","c=d"]}'
        )
        assert b"\r\n\r\n%x\r\n%s\r\n8\r\n" % (len(prelude), prelude) + b"\0" * 8 in said
        assert body(said) == prelude + b"\0" * 8 + b"hello"


async def test_without_one_it_is_octets_unless_the_handler_says_what() -> None:
    @streaming
    async def says(event: object, response: Response, context: Context) -> None:
        assert response.content_type == "application/octet-stream"
        response.content_type = "text/csv"
        await response.write(memoryview(b"a"))
        with pytest.raises(RuntimeError, match="has begun"):
            response.content_type = "text/plain"

    async with serving(says) as stage:
        await stage.give()
        assert b"\r\nContent-Type: text/csv\r\n" in stage.read()
    async with serving(count) as stage:
        await stage.give(1)
        assert b"\r\nContent-Type: application/octet-stream\r\n" in stage.read()


# -- what fails


@pytest.mark.parametrize("make", [str, bytes], ids=["before", "after"])
async def test_before_the_first_piece_an_error_is_an_error_after_it_it_ends_the_stream(
    make: type,
) -> None:
    @attrs.define(eq=False)
    class Fails(Handler[Any]):
        async def init(self) -> None:
            LOG.append("init")

        async def handle(self, event: Any, context: Context) -> AsyncIterator[Item]:
            if make is bytes:
                yield b"one"
            raise LookupError("no more")

    async with serving(Fails) as stage:
        await stage.give()

        said = stage.read()
        if make is bytes:
            told = trailer(said)
        else:
            assert b"/error HTTP/1.1\r\n" in said
            told = json.loads(said.removesuffix(NEXT).rpartition(b"\r\n\r\n")[2])
        assert (told["errorType"], told["errorMessage"]) == ("LookupError", "no more")
        assert "raise LookupError" in told["stackTrace"][-1]
        assert LOG == ["init", "init"]


@pytest.mark.parametrize("item", [7, None, {"a": 1}, [b"x"]])
@pytest.mark.parametrize("plain", [False, True])
async def test_what_is_no_bytes_is_an_error_at_the_line_that_yields_it(
    item: Any, plain: bool
) -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield b"one"
        yield item

    def plainly(event: object, context: Context) -> Iterator[Item]:
        yield b"one"
        yield item

    async with serving(plainly if plain else handler) as stage:
        await stage.give()

        told = trailer(stage.read())
        assert told["errorType"] == "TypeError"
        assert f"not {type(item).__name__}" in told["errorMessage"]
        assert "yield item" in told["stackTrace"][0]


async def test_a_prelude_after_the_first_piece_is_an_error() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield b"one"
        yield Prelude()

    async with serving(handler) as stage:
        await stage.give()

        assert "before all else" in trailer(stage.read())["errorMessage"]


async def test_a_write_when_the_answer_has_ended_is_refused() -> None:
    kept = list[Response]()

    @streaming
    async def handler(event: object, response: Response, context: Context) -> None:
        kept.append(response)
        await response.write("one")

    async with serving(handler) as stage:
        await stage.give()
        with pytest.raises(RuntimeError, match="the answer has ended"):
            await kept[0].write("two")

        assert body(stage.read()) == b"one"


# -- its end by others


@attrs.define(eq=False)
class Endless(Handler[Any]):
    """Says one piece, and no other."""

    async def init(self) -> None:
        LOG.append("init")

    async def handle(self, event: Any, context: Context) -> AsyncIterator[Item]:
        task = trio.lowlevel.current_task()
        try:
            yield b"one"
            await trio.sleep_forever()
        finally:
            LOG.append("closed" if trio.lowlevel.current_task() is task else "in another task")

    async def terminate(self, reason: ExitReason) -> None:
        LOG.append("terminate")


async def test_at_the_deadline_it_is_closed_in_its_own_task_and_the_trailer_says_so(
    autojump_clock: MockClock,
) -> None:
    async with serving(Endless) as stage:
        made = await stage.due_in(1.0)
        await trio.sleep(0.9)
        assert made.state is State.STREAMING
        await trio.sleep(0.2)

        assert trailer(stage.read())["errorType"] == "Runtime.DeadlineExceeded"
        assert LOG == ["init", "closed", "terminate", "init"]
        assert stage.worker in stage.world.ledger.ready


@pytest.mark.parametrize("status", [b"413 Too Large", b"403 Forbidden"])
async def test_a_status_before_its_end_cancels_it_and_the_next_event_is_served(
    status: bytes,
) -> None:
    async with serving(Endless) as stage:
        made = await stage.give()
        assert stage.read().endswith(b"one\r\n")

        await stage.world.say(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

        assert LOG == ["init", "closed", "terminate", "init"]
        assert made.state is State.ACKED
        assert made.outcome is not None
        assert made.outcome.error_type == "Runtime.StreamCut"
        assert stage.read() == b"0\r\n\r\n" + NEXT
        await stage.give()
        assert stage.read().endswith(b"one\r\n")


async def test_refused_with_a_closed_connection_the_next_event_is_asked_for_on_another() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        await stage.world.say(
            b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )

        assert len(stage.world.connections) == 2
        assert stage.read() == NEXT
        assert not stage.world.failures


async def test_a_connection_that_breaks_inside_it_ends_the_process() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        await stage.world.say(b"")

        assert "cut half way" in stage.world.failures[0]
        assert "closed" in LOG


async def test_stopped_its_worker_says_so_behind_what_is_out() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        stage.worker.stop()
        await stage.worker.wait()
        await wait_all_tasks_blocked()

        assert trailer(stage.read())["errorType"] == "Runtime.Stopped"


async def test_killed_its_worker_leaves_the_end_to_the_dispatcher() -> None:
    async with serving(Endless) as stage:
        made = await stage.give()

        stage.worker.kill()
        await stage.worker.wait()

        assert made.state is State.STREAMING
        assert made.unsettled


async def test_a_responder_that_dies_leaves_what_was_said_and_the_next_writes_on() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield b"x" * 1000
        yield b"y" * 1000

    async with serving(handler) as stage:
        stage.world.wire.room = 500
        await stage.give()
        stage.world.responders[0].kill()
        await wait_all_tasks_blocked()
        stage.world.wire.room = 1 << 30

        await stage.world.responder()

        assert body(stage.read()) == b"x" * 1000 + b"y" * 1000


# -- where it runs


async def test_what_runs_in_it_knows_its_invocation() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield request_id()
        await trio.lowlevel.checkpoint()
        yield request_id()

    async with serving(handler) as stage:
        await stage.give()

        assert body(stage.read()) == b"id-1id-1"


@pytest.mark.parametrize("lanes", [1, 2])
async def test_a_plain_generator_runs_where_a_plain_def_does_all_of_it_in_one_thread(
    lanes: int,
) -> None:
    done, steps = threading.Event(), list[tuple[threading.Thread, str]]()

    def handler(event: object, context: Context) -> Iterator[Item]:
        try:
            for _ in range(3):
                steps.append((threading.current_thread(), request_id()))
                yield b"x"
        finally:
            done.set()

    async with serving(handler, lanes=lanes) as stage:
        await stage.give()
        await until(done.is_set)

    threads = {thread for thread, _ in steps}
    assert len(threads) == 1
    assert (threads == {threading.main_thread()}) is (lanes == 1)
    assert {told for _, told in steps} == {"id-1"}


async def test_a_plain_generator_on_the_main_thread_is_ended_by_the_alarm_in_any_of_its_steps() -> (
    None
):
    alarm = Alarm()

    def handler(event: object, context: Context) -> Iterator[Item]:
        try:
            yield b"one"
            alarm_rings()
            yield b"two"
        finally:
            LOG.append("closed")

    def alarm_rings() -> None:
        assert alarm.armed
        threading.Thread(target=alarm.send).start()
        time.sleep(5)

    with alarm:
        async with serving(handler, alarm) as stage:
            await stage.give()

            assert trailer(stage.read())["errorType"] == "Runtime.DeadlineExceeded"
    assert LOG == ["closed"]


async def test_a_plain_generator_that_waits_for_the_connection_is_closed_at_the_deadline(
    autojump_clock: MockClock,
) -> None:
    def handler(event: object, context: Context) -> Iterator[Item]:
        try:
            while True:
                yield b"x" * ROOM
        finally:
            LOG.append("closed")

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.due_in(1.0)
        await trio.sleep(1.1)

        assert LOG == ["closed"]
        assert stage.world.delivery.outcome is not None
        assert stage.world.delivery.outcome.error_type == "Runtime.DeadlineExceeded"
