"""Streams ended by a deadline, the Runtime API, a supervisor or a kill; where generators run."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi.actors import ExitReason
from okibi.runtime import Context, Handler
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.response import BUFFER_LIMIT, Item
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.logs.invocation_context import request_id
from tests.support.played_api import NEXT
from tests.support.streaming_worker import body, serving, trailer, until

LOG: list[object] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    LOG.clear()


# -- ends


@attrs.define(eq=False)
class Endless(Handler[Any]):
    """Sends one piece and waits for ever."""

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


@pytest.mark.parametrize("status", [b"413 Too Large", b"403 Forbidden"])
async def test_after_an_early_status_the_next_event_is_served(
    status: bytes,
) -> None:
    async with serving(Endless) as stage:
        made = await stage.give()
        assert stage.read().endswith(b"one\r\n")

        await stage.world.say(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

        assert LOG == ["init", "closed", "terminate", "init"]
        assert made.state is DeliveryState.ACKED
        assert made.outcome is not None
        assert made.outcome.error_type == "Runtime.StreamCut"
        assert stage.read() == b"0\r\n\r\n" + NEXT
        await stage.give()
        assert stage.read().endswith(b"one\r\n")


# -- where a generator runs


async def test_a_streaming_handler_knows_its_request_id() -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield request_id()
        await trio.lowlevel.checkpoint()
        yield request_id()

    async with serving(handler) as stage:
        await stage.give()

        assert body(stage.read()) == b"id-1id-1"


@pytest.mark.parametrize("lanes", [1, 2])
async def test_all_steps_of_a_plain_generator_run_in_one_thread(
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
    assert {each for _, each in steps} == {"id-1"}


@pytest.mark.parametrize("swallows", [False, True])
async def test_the_alarm_ends_a_plain_generator_in_any_step(
    swallows: bool,
) -> None:
    interrupt = DeadlineInterrupt()

    def handler(event: object, context: Context) -> Iterator[Item]:
        try:
            yield b"one"
            if swallows:
                with suppress(BaseException):
                    alarm_rings()
            else:
                alarm_rings()
            yield b"two"
        finally:
            LOG.append("closed")

    def alarm_rings() -> None:
        assert interrupt.armed
        threading.Thread(target=interrupt.send_signal).start()
        time.sleep(5)

    with interrupt:
        async with serving(handler, interrupt) as stage:
            await stage.give()

            assert trailer(stage.read())["errorType"] == "Runtime.DeadlineExceeded"
    assert LOG == ["closed"]


async def test_a_blocked_plain_generator_is_closed_at_the_deadline(
    autojump_clock: MockClock,
) -> None:
    def handler(event: object, context: Context) -> Iterator[Item]:
        try:
            while True:
                yield b"x" * BUFFER_LIMIT
        finally:
            LOG.append("closed")

    async with serving(handler) as stage:
        stage.world.wire.room = 400
        await stage.due_in(1.0)
        await trio.sleep(1.1)

        assert LOG == ["closed"]
        assert stage.world.delivery.outcome is not None
        assert stage.world.delivery.outcome.error_type == "Runtime.DeadlineExceeded"
