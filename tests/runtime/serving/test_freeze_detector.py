"""Freeze and thaw: who cares is told in time, once, and of nothing that was none."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Actor, Ref, Server, start
from okibi.runtime import FREEZES, Freeze
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.serving.freeze_detector import (
    CHECK_INTERVAL,
    SHORTEST_FREEZE,
    FreezeDetector,
    FreezeMonitor,
    current_monitors,
)
from tests.support.doubles import delivery, ledger_of
from tests.support.sandbox import Running, running

HOUR = 3600.0


@attrs.define(eq=False)
class Listener(Server):
    thaws: list[float] = attrs.Factory(list[float])
    asked: list[str] = attrs.Factory(list[str])
    monitored: FreezeMonitor = attrs.field(init=False)

    async def init(self) -> None:
        self.monitored = self.monitor(FREEZES)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Freeze)
        assert message.monitor is self.monitored
        self.thaws.append(message.seconds)
        self.asked.append("thawed")

    async def ask(self) -> list[str]:
        self.asked.append("asked")
        return self.asked


@attrs.define(eq=False)
class World:
    """One actor that cares, a clock, and time that is made here."""

    ledger: Ledger
    listener: Ref[Listener]
    heard: Listener
    clock: MockClock
    looking: Ref[Actor] | None = None
    ahead: float = 0.0

    def wall(self) -> float:
        return trio.current_time() + self.ahead

    async def freeze(self, seconds: float) -> None:
        """Both clocks run on; whoever has waited for them finds them late."""
        self.clock.jump(seconds)
        await wait_all_tasks_blocked()

    async def run(self, seconds: float) -> None:
        """Let time go by, with nothing frozen."""
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
        # Before the clock, as a user's children start.
        ref = await start(nursery, lambda: listener, path="listener")
        made = World(ledger, ref, listener, clock)
        current_monitors().wall_clock = made.wall
        made.looking = await looking(nursery, ledger)
        await wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


async def looking(nursery: trio.Nursery, ledger: Ledger) -> Ref[Actor]:
    return await start(nursery, partial(FreezeDetector, ledger), path="clock")


# -- what is a freeze


async def test_who_cares_is_told_for_how_long(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        await stage.freeze(HOUR)
        await stage.run(3)

        (seconds,) = stage.heard.thaws
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_virtual_machine_s_clock_that_stood_still_is_seen_by_the_wall_clock(
    mock_clock: MockClock,
) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        stage.ahead += HOUR
        await stage.run(3)

        (seconds,) = stage.heard.thaws
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_wall_clock_that_is_put_back_is_no_freeze(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        stage.ahead -= HOUR
        await stage.run(3)

        assert stage.heard.thaws == []


async def test_less_than_a_second_is_none(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(3)
        await stage.freeze(SHORTEST_FREEZE - 0.1)
        await stage.run(3)

        assert stage.heard.thaws == []


async def test_frozen_right_behind_an_answer_it_is_told_before_the_next_event(
    mock_clock: MockClock,
) -> None:
    # As Lambda does it: no look falls between the answer and the freeze.
    async with world(mock_clock) as stage:
        stage.receive()
        mock_clock.jump(0.01)
        stage.settle()
        mock_clock.jump(HOUR)
        stage.receive()

        assert await stage.listener.call(Listener.ask) == ["thawed", "asked"]
        await stage.run(3)
        (seconds,) = stage.heard.thaws
        assert HOUR - CHECK_INTERVAL <= seconds <= HOUR


async def test_a_handler_that_holds_the_loop_is_no_freeze(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        stage.receive()
        mock_clock.jump(HOUR)
        stage.settle()
        await stage.run(3)
        # And one that awaits in between.
        stage.receive()
        await stage.run(1)
        await stage.freeze(HOUR)
        stage.settle()
        await stage.run(3)

        assert stage.heard.thaws == []


# -- who is told


def looked_at(ledger: Ledger) -> bool:
    return ledger.check_freeze is not None


async def test_without_interest_nothing_is_looked_at(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        assert looked_at(stage.ledger)
        stage.listener.stop()
        await stage.run(3)
        assert not looked_at(stage.ledger)

        await stage.freeze(HOUR)
        second = Listener()
        async with trio.open_nursery() as nursery:
            await start(nursery, lambda: second, path="second")
            await stage.run(3)
            # What was before is nobody's; what comes after is.
            assert second.thaws == []
            await stage.freeze(HOUR)
            assert len(second.thaws) == 1
            nursery.cancel_scope.cancel()


async def test_after_demonitor_not_even_a_waiting_one_is_seen(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(1)
        monitor = stage.heard.monitored
        mock_clock.jump(HOUR)
        stage.ledger.lanes[0].delivery = delivery()
        assert stage.ledger.check_freeze is not None
        stage.ledger.check_freeze(False)
        monitor.demonitor()
        await stage.run(3)

        assert stage.heard.thaws == []
        assert current_monitors().monitors == {}


class Odd:
    """A message of the user's that cannot be compared, as an array cannot."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


async def test_a_demonitor_asks_no_message_of_the_users_for_its_eq(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage:
        await stage.run(1)
        mailbox, odd = stage.listener.process().mailbox, Odd()
        mailbox.post(odd)
        stage.heard.monitored.notify(HOUR)
        stage.heard.monitored.demonitor()

        [left] = mailbox.control
        assert left is odd
        mailbox.control.clear()


async def test_who_comes_and_goes_beside_one_who_stays_leaves_nothing_with_the_clock(
    mock_clock: MockClock,
) -> None:
    async with world(mock_clock) as stage, trio.open_nursery() as nursery:
        for _ in range(10):
            short = await start(nursery, Listener)
            short.stop()
            await short.wait()
        await stage.run(3)

        assert stage.looking is not None
        assert stage.looking.process().mailbox.statistics().length == 0
        assert list(current_monitors().monitors) == [stage.heard.monitored]
        await stage.freeze(HOUR)
        assert len(stage.heard.thaws) == 1


async def test_a_killed_clock_s_successor_goes_on(mock_clock: MockClock) -> None:
    async with world(mock_clock) as stage, trio.open_nursery() as nursery:
        assert stage.looking is not None
        stage.looking.kill()
        await wait_all_tasks_blocked()
        await looking(nursery, stage.ledger)
        await stage.run(1)
        await stage.freeze(HOUR)

        assert len(stage.heard.thaws) == 1
        nursery.cancel_scope.cancel()


def test_it_says_what_it_is() -> None:
    assert repr(FREEZES) == "FREEZES"


# -- a real process, stopped and continued


async def frozen_for(sandbox: Running, seconds: float) -> None:
    os.killpg(sandbox.pid, signal.SIGSTOP)
    await trio.sleep(seconds)
    os.killpg(sandbox.pid, signal.SIGCONT)


async def test_a_frozen_process_knows_it_makes_up_no_ticks_and_opens_a_new_window() -> None:
    async with running("thaws.function") as sandbox:
        await sandbox.ask()
        pid = sandbox.pid
        before = (await sandbox.ask({"fail": True}))["ticks"]
        await frozen_for(sandbox, 2.5)

        after = await sandbox.ask({"fail": True})
        assert (await sandbox.ask())["thaws"] == after["thaws"]

        (seconds,) = after["thaws"]
        assert seconds >= 2.0
        # Fifty would have come.
        assert after["ticks"] - before <= 25
        # The second crash within a second would have ended it.
        assert sandbox.pid == pid


async def test_a_long_invocation_is_no_freeze() -> None:
    async with running("thaws.function") as sandbox:
        await sandbox.ask()
        for what in ("block", "seconds"):
            await sandbox.ask({what: 1.5})

            assert (await sandbox.ask())["thaws"] == [], what
