"""Handlers that stream, and the bytes on the wire."""

import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors.trio_internals import CONTEXT
from okibi.runtime import Context, Handler, Prelude, Response, streaming
from okibi.runtime.handlers.response import BUFFER_LIMIT, Item
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.protocol.runtime_api import HTTP_INTEGRATION
from tests.support.played_api import ACCEPTED, NEXT, Passes, event
from tests.support.streaming_worker import Stage, body, serving, trailer, until

LOG: list[object] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    LOG.clear()


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


def name_of(kind: Any) -> str:
    if isinstance(kind, partial):
        return f"partial-{kind.func.__name__}"
    return str(getattr(kind, "__name__", type(kind).__name__))


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
@pytest.mark.parametrize("handler", KINDS, ids=name_of)
async def test_every_handler_that_yields_or_writes_streams(handler: Any, lanes: int) -> None:
    async with serving(handler, lanes=lanes) as stage:
        await stage.give(4)
        await until(lambda: b"0\r\n\r\n" in stage.world.wire.written)

        assert body(stage.read()) == b"0 1 2 3 "
        await stage.world.say(ACCEPTED)
        assert stage.lane.delivery is None


@pytest.mark.parametrize("handler", KINDS, ids=name_of)
async def test_a_generator_without_items_is_an_empty_stream(handler: Any) -> None:
    async with serving(handler) as stage:
        await stage.give(0)

        assert body(stage.read()) == b""


async def test_a_piece_is_sent_before_the_next_is_computed() -> None:
    stage: Stage

    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield "first"
        LOG.append(bytes(stage.world.wire.written)[-10:])
        yield "second"
        LOG.append(bytes(stage.world.wire.written)[-11:])

    async with serving(handler) as stage:
        await stage.give()

    assert LOG == [b"5\r\nfirst\r\n", b"6\r\nsecond\r\n"]


@pytest.mark.skipif(CONTEXT is None, reason="trio's loop is another than is known")
@pytest.mark.parametrize("own_stack", [False, True])
async def test_a_yielded_piece_is_sent_a_pass_earlier_than_a_written_one(
    own_stack: bool,
) -> None:
    passes = Passes()
    taken: list[int] = []

    async def yields(event: int, context: Context) -> AsyncIterator[Item]:
        for _ in range(3):
            began = passes.made
            yield "x"
            taken.append(passes.made - began)

    @streaming
    async def writes(event: int, response: Response, context: Context) -> None:
        for _ in range(3):
            began = passes.made
            await response.write("x")
            taken.append(passes.made - began)

    trio.lowlevel.add_instrument(passes)
    async with serving(writes if own_stack else yields) as stage:
        await stage.give(1)

        assert body(stage.read()) == b"xxx"
        assert taken == [2 if own_stack else 1] * 3


@pytest.mark.parametrize("own_stack", [False, True])
async def test_the_connection_s_end_is_seen_before_a_piece_is_written(own_stack: bool) -> None:
    @streaming
    async def writes(event: int, response: Response, context: Context) -> None:
        # In one step, as after a handler that blocked the loop.
        stage.world.wire.say(ConnectionResetError("reset"))
        await response.write("x")

    async def yields(event: int, context: Context) -> AsyncIterator[Item]:
        stage.world.wire.say(ConnectionResetError("reset"))
        yield "x"

    for _ in range(20):  # trio takes either of two tasks first
        async with serving(writes if own_stack else yields) as stage:
            await stage.give(1)

            first, second = stage.world.connections
            assert first.taken() == b""
            assert body(second.taken()) == b"x"
            assert not stage.world.failures


async def test_a_piece_without_a_connection_waits_for_one(mock_clock: MockClock) -> None:
    async def yields(event: int, context: Context) -> AsyncIterator[Item]:
        await asked.wait()
        yield "x"
        LOG.append("goes on")

    asked = trio.Event()
    async with serving(yields) as stage:
        await stage.give(1)
        stage.world.refusals = 1
        await stage.world.say(ConnectionResetError("reset"))
        assert stage.lane.connection is None
        asked.set()
        await wait_all_tasks_blocked()
        assert not LOG
        mock_clock.jump(1)
        await wait_all_tasks_blocked()

        assert LOG == ["goes on"]
        assert body(stage.read()) == b"x"


async def test_the_handler_waits_while_the_connection_is_blocked() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        for n in range(10):
            LOG.append(n)
            yield b"x" * (BUFFER_LIMIT // 2)

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        # Two pieces fit into the buffer; the third waits.
        assert LOG == [0, 1, 2]
        assert BUFFER_LIMIT < stage.lane.unwritten < 2 * BUFFER_LIMIT

        await stage.drain(BUFFER_LIMIT)
        assert LOG == [0, 1, 2, 3, 4]

        await stage.drain(1 << 30)
        assert len(body(stage.read())) == 10 * (BUFFER_LIMIT // 2)


async def test_many_small_pieces_wait_as_a_few_large_ones() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        for _ in range(3000):
            yield b"x" * 10
            yield b""

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        await stage.drain(1 << 30)

        assert body(stage.read()) == b"x" * 30_000


async def test_small_waiting_pieces_leave_in_one_write() -> None:
    said = bytes(n % 256 for n in range(10_000))

    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        for byte in said:
            yield bytes([byte])

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        begun, stage.world.wire.sends = stage.read(), 0
        assert len(stage.lane.outbox.pieces) > 9000
        # The responder waits for the connection and needs no message.
        assert len(stage.world.responders[0].process().mailbox.data) <= 1

        await stage.drain(1 << 30)

        # The rest of the cut piece, and all others.
        assert stage.world.wire.sends == 2
        assert body(begun + stage.read()) == said


async def test_a_write_after_a_cancelled_write_waits_first() -> None:
    @streaming
    async def handler(event: object, response: Response, context: Context) -> None:
        for _ in range(10):
            with trio.move_on_after(0.001):
                await response.write(b"x" * BUFFER_LIMIT)
        LOG.append("through")

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        await until(lambda: bool(LOG))

        assert stage.lane.unwritten < 3 * BUFFER_LIMIT
        # Else the worker's end would wait for the connection.
        await stage.drain(1 << 30)


async def test_a_cancel_scope_around_a_yield_ends_the_wait_of_its_piece() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        with trio.move_on_after(0.01):
            while True:
                yield b"x" * BUFFER_LIMIT
        LOG.append("moved on")
        yield b"done"

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.give()
        await until(lambda: bool(LOG))
        await stage.drain(1 << 30)

        assert body(stage.read()).endswith(b"xdone")


async def test_a_crash_in_a_nursery_around_a_yield_is_the_error() -> None:
    async def crashes() -> None:
        await trio.sleep(0.001)
        raise LookupError("the source is gone")

    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashes)
            while True:
                yield b"x" * BUFFER_LIMIT

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        made = await stage.give()
        await until(lambda: made.outcome is not None)
        await stage.drain(1 << 30)

        told = trailer(stage.read())
        assert told["errorType"] == "ExceptionGroup"
        assert any("LookupError: the source is gone" in entry for entry in told["stackTrace"])
        assert stage.worker.alive


async def test_a_prelude_and_eight_nuls_precede_the_body() -> None:
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


async def test_without_a_prelude_the_content_type_is_settable() -> None:
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


# -- errors


@pytest.mark.parametrize("make", [str, bytes], ids=["before", "after"])
async def test_an_error_is_an_error_response_or_ends_the_begun_stream(
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
@pytest.mark.parametrize(("plain", "lanes"), [(False, 1), (True, 1), (True, 2)])
async def test_a_piece_of_another_type_is_an_error_at_its_yield(
    item: Any, plain: bool, lanes: int
) -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield b"one"
        yield item

    def plainly(event: object, context: Context) -> Iterator[Item]:
        yield b"one"
        yield item

    async with serving(plainly if plain else handler, lanes=lanes) as stage:
        made = await stage.give()
        await until(lambda: made.state is DeliveryState.STAGED)

        told = trailer(stage.read())
        assert told["errorType"] == "TypeError"
        assert f"got {type(item).__name__}: encode the value" in told["errorMessage"]
        assert "yield item" in told["stackTrace"][0]


async def test_a_prelude_after_the_first_piece_is_an_error() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield b"one"
        yield Prelude()

    async with serving(handler) as stage:
        await stage.give()

        assert (
            "a Prelude must be the first piece of a streamed response"
            in trailer(stage.read())["errorMessage"]
        )


async def test_a_write_after_the_response_s_end_is_refused() -> None:
    kept = list[Response]()

    @streaming
    async def handler(event: object, response: Response, context: Context) -> None:
        kept.append(response)
        await response.write("one")

    async with serving(handler) as stage:
        await stage.give()
        with pytest.raises(RuntimeError, match="the response has ended"):
            await kept[0].write("two")

        assert body(stage.read()) == b"one"


async def test_a_generator_that_ignores_the_end_does_not_block_the_loop() -> None:
    rounds: list[None] = []

    async def deaf(event: object, context: Context) -> AsyncIterator[Item]:
        # Finite, so that a blocked loop ends the test.
        while len(rounds) < 100_000:
            try:
                yield 7  # type: ignore[misc]
            except GeneratorExit:
                return
            except BaseException:
                rounds.append(None)

    async with serving(deaf) as stage:
        stage.world.wire.taken()
        await stage.world.say(event("id-1"))
        made = stage.world.delivery
        assert made.assign(stage.worker)
        stage.worker.send_nowait((stage.lane, made))
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        assert 5 < len(rounds) < 100
        rounds += [None] * 100_000
