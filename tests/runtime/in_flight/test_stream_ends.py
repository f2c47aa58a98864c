"""Streams ended by a deadline, the Runtime API, a supervisor or a kill; where generators run."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import ExitReason
from okibi.runtime import Context, Handler
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.response import BUFFER_LIMIT, Item
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.telemetry.invocation_context import request_id
from tests.support.played_api import ACCEPTED, NEXT
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


async def test_at_the_deadline_a_stream_ends_with_an_error_trailer(
    autojump_clock: MockClock,
) -> None:
    async with serving(Endless) as stage:
        made = await stage.due_in(1.0)
        await trio.sleep(0.9)
        assert made.state is DeliveryState.STREAMING
        await trio.sleep(0.2)

        assert trailer(stage.read())["errorType"] == "Runtime.DeadlineExceeded"
        assert LOG == ["init", "closed", "terminate", "init"]
        assert stage.worker in stage.world.ledger.ready


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


async def test_after_a_refusal_and_a_close_the_lane_reconnects() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        await stage.world.say(
            b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )

        assert len(stage.world.connections) == 2
        assert stage.read() == NEXT
        assert not stage.world.failures


async def test_a_break_within_a_stream_ends_a_process_with_one_lane() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        await stage.world.say(b"")

        assert "a part of the response had been sent" in stage.world.failures[0]
        assert "closed" in LOG


async def test_with_several_lanes_a_break_costs_the_one_stream() -> None:
    async with serving(Endless, lanes=2) as stage:
        await stage.give()

        await stage.world.say(b"")

        assert not stage.world.failures
        assert len(stage.world.connections) == 2
        assert LOG == ["init", "closed", "terminate", "init"]
        made = await stage.give()
        assert stage.read().endswith(b"one\r\n")
        stage.worker.stop()
        await stage.worker.wait()
        await stage.world.say(ACCEPTED)
        assert made.state is DeliveryState.ACKED
        assert stage.lane.delivery is None


async def test_a_stopped_worker_ends_its_stream_with_an_error_trailer() -> None:
    async with serving(Endless) as stage:
        await stage.give()

        stage.worker.stop()
        await stage.worker.wait()
        await wait_all_tasks_blocked()

        assert trailer(stage.read())["errorType"] == "Runtime.Stopped"


async def test_a_killed_worker_leaves_its_stream_unsettled() -> None:
    async with serving(Endless) as stage:
        made = await stage.give()

        stage.worker.kill()
        await stage.worker.wait()

        assert made.state is DeliveryState.STREAMING
        assert made.unsettled


async def test_the_next_responder_continues_a_stream_where_it_stopped() -> None:
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
