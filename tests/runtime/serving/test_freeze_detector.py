"""Freeze messages: they arrive in time, once, and only for real freezes."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import FREEZES, Actor, Freeze, Ref, Server, start
from okibi.actors.freezes import (
    CHECK_INTERVAL,
    SHORTEST_FREEZE,
    FreezeMonitor,
    current_monitors,
)
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.freeze_detector import FreezeDetector
from tests.support.doubles import delivery, ledger_of
from tests.support.sandbox import Running, running

HOUR = 3600.0


@attrs.define(eq=False)
class Listener(Server):
    freezes: list[float] = attrs.Factory(list[float])
    asked: list[str] = attrs.Factory(list[str])
    monitored: FreezeMonitor = attrs.field(init=False)

    async def init(self) -> None:
        self.monitored = self.monitor(FREEZES)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Freeze)
        assert message.monitor is self.monitored
        self.freezes.append(message.seconds)
        self.asked.append("freeze")

    async def ask(self) -> list[str]:
        self.asked.append("asked")
        return self.asked


@attrs.define(eq=False)
class World:
    """A listener, the detector, and simulated clocks."""

    ledger: Ledger
    listener: Ref[Listener]
    heard: Listener
    clock: MockClock
    detector: Ref[Actor] | None = None
    ahead: float = 0.0

    def wall(self) -> float:
        return trio.current_time() + self.ahead

    async def freeze(self, seconds: float) -> None:
        """Advance both clocks while the process does not run."""
        self.clock.jump(seconds)
        await wait_all_tasks_blocked()

    async def run(self, seconds: float) -> None:
        """Advance time in small steps, without a freeze."""
        for _ in range(round(seconds / 0.25)):
            self.clock.jump(0.25)
            await wait_all_tasks_blocked()

    def receive(self) -> None:
        self.ledger.lanes[0].delivery = made = delivery()
        self.ledger.dispatch(self.ledger.lanes[0], made)

    def settle(self) -> None:
        lane = self.ledger.lanes[0]
        assert lane.delivery is not None
        assert lane.delivery.settle(Outcome(b"1"))
        self.ledger.respond(lane)
        lane.delivery = None


@asynccontextmanager
async def world(clock: MockClock) -> AsyncIterator[World]:
    listener, ledger = Listener(), ledger_of()
    async with trio.open_nursery() as nursery:
        # Before the detector, like the user's children.
        ref = await start(nursery, lambda: listener, path="listener")
        made = World(ledger, ref, listener, clock)
        current_monitors().wall_clock = made.wall
        made.detector = await start_detector(nursery, ledger)
        await wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def start_detector(nursery: trio.Nursery, ledger: Ledger) -> Ref[Actor]:
    return await start(nursery, partial(FreezeDetector, ledger), path="clock")


# -- what is a freeze


async def test_a_freeze_message_has_the_duration(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        await stage.freeze(HOUR)
        await stage.run(3)

        (seconds,) = stage.heard.freezes
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_freeze_that_only_the_wall_clock_shows_is_detected(
    mock_clock: MockClock,
) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        stage.ahead += HOUR
        await stage.run(3)

        (seconds,) = stage.heard.freezes
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_wall_clock_set_back_is_no_freeze(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        stage.ahead -= HOUR
        await stage.run(3)

        assert stage.heard.freezes == []


async def test_a_gap_of_less_than_a_second_is_no_freeze(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        await stage.freeze(SHORTEST_FREEZE - 0.1)
        await stage.run(3)

        assert stage.heard.freezes == []


async def test_the_message_comes_before_the_next_event_s_call(
    mock_clock: MockClock,
) -> None:
    # As on Lambda: no check happens between the response and the freeze.
    async with world(mock_clock) as stage:
        stage.receive()
        mock_clock.jump(0.01)
        stage.settle()
        mock_clock.jump(HOUR)
        stage.receive()

        assert await stage.listener.call(Listener.ask) == ["freeze", "asked"]
        await stage.run(3)
        (seconds,) = stage.heard.freezes
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_handler_that_blocks_the_loop_is_no_freeze(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        stage.receive()
        mock_clock.jump(HOUR)
        stage.settle()
        await stage.run(3)
        # The same with a handler that awaits in between.
        stage.receive()
        await stage.run(1)
        await stage.freeze(HOUR)
        stage.settle()
        await stage.run(3)

        assert stage.heard.freezes == []


# -- monitors


def is_checking(ledger: Ledger) -> bool:
    return ledger.check_freeze is not None


async def test_without_monitors_the_clocks_are_not_checked(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        assert is_checking(stage.ledger)
        stage.listener.stop()
        await stage.run(3)
        assert not is_checking(stage.ledger)

        await stage.freeze(HOUR)
        second = Listener()
        async with trio.open_nursery() as nursery:
            await start(nursery, lambda: second, path="second")
            await stage.run(3)
            # Only the freeze after the monitor counts.
            assert second.freezes == []
            await stage.freeze(HOUR)
            assert len(second.freezes) == 1
            nursery.cancel_scope.cancel()


async def test_a_restarted_detector_goes_on(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage, trio.open_nursery() as nursery:
        assert stage.detector is not None
        stage.detector.kill()
        await wait_all_tasks_blocked()
        await start_detector(nursery, stage.ledger)
        await stage.run(1)
        await stage.freeze(HOUR)

        assert len(stage.heard.freezes) == 1
        nursery.cancel_scope.cancel()


# -- a real process, stopped and continued


async def frozen_for(sandbox: Running, seconds: float) -> None:
    os.killpg(sandbox.pid, signal.SIGSTOP)
    await trio.sleep(seconds)
    os.killpg(sandbox.pid, signal.SIGCONT)


async def test_a_stopped_process_detects_the_freeze() -> None:
    async with running("thaws.function") as sandbox:
        await sandbox.ask()
        pid = sandbox.pid
        before = (await sandbox.ask({"fail": True}))["ticks"]
        await frozen_for(sandbox, 1.7)

        after = await sandbox.ask({"fail": True})
        assert (await sandbox.ask())["thaws"] == after["thaws"]

        (seconds,) = after["thaws"]
        assert seconds >= 1.2
        # Without the freeze there would be 34.
        assert after["ticks"] - before <= 17
        # Two crashes within a second would have ended the process.
        assert sandbox.pid == pid
