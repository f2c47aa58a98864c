"""Retries: a failed restart is tried again by a message to the supervisor itself."""

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import SHUTDOWN, MailboxPolicy, Name, WhenFull, start, stop
from okibi.supervisors import (
    Backoff,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import BOOM, Boom, Player, Stage, alive, leave


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_retry_is_dropped_after_a_siblings_restart(
    stage: Stage, nursery: trio.Nursery
) -> None:
    async def init() -> None:
        if stage.starts["b"] == 2:
            # The end of a is in the mailbox before the retry of b, and restarts both.
            a = alive("a")
            assert a is not None
            a.cast_nowait(Player.leave, BOOM)
            await a.wait()
            raise Boom

    children = [stage.child("a"), stage.child("b", init=init)]
    spec = SupervisorSpec(children, Strategy.ONE_FOR_ALL, intensity=10)
    top = await supervise(nursery, spec)

    await leave("b")

    assert stage.starts == {"a": 3, "b": 3}
    await stop(top)


@pytest.mark.parametrize("strategy", Strategy)
async def test_a_message_is_handled_between_two_attempts(
    nursery: trio.Nursery, stage: Stage, strategy: Strategy
) -> None:
    """OTP-9549: a child that cannot start must not keep its supervisor from other messages."""

    class Asked(Supervisor):
        async def handle_info(self, message: object) -> None:
            if message == "a question":
                asked.append(stage.starts["a"])
                self.ref.stop()
            else:
                await super().handle_info(message)

    async def init() -> None:
        if stage.starts["a"] == 2:
            await top.send("a question")
        if stage.starts["a"] > 1:
            raise Boom

    asked: list[int] = []
    spec = SupervisorSpec([stage.child("a", init=init)], strategy, intensity=1000)
    top = await start(nursery, lambda: Asked(spec))
    await leave("a")

    assert await top.wait() is SHUTDOWN
    assert asked == [2]


# -- an attempt counts when it is made (OTP: `add_restart` is called by `restart`)


@pytest.mark.parametrize("spec", [SupervisorSpec, DynamicSupervisorSpec])
async def test_a_supervisor_with_backoff_gives_up_without_another_delay(
    spec: type[SupervisorSpec | DynamicSupervisorSpec], stage: Stage, autojump_clock: MockClock
) -> None:
    async def init() -> None:
        if stage.starts["a"] > 1:
            raise Boom

    child, backoff = stage.child("a", init=init), Backoff(10, 1000, 100)
    began = trio.current_time()

    async def live() -> None:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, spec(intensity=1, period=60, backoff=backoff))
            kind = Supervisor if spec is SupervisorSpec else DynamicSupervisor
            await top.call(kind.start_child, child)
            await leave("a")

    with pytest.raises(BaseExceptionGroup) as gave_up:
        await live()

    assert isinstance(gave_up.value.exceptions[0], SupervisorGaveUp)
    assert trio.current_time() - began == 10


@pytest.mark.parametrize("when_full", [WhenFull.BLOCK, WhenFull.REJECT])
async def test_a_retry_needs_no_capacity_of_the_mailbox(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, when_full: WhenFull
) -> None:
    class Narrow(Supervisor):
        mailbox = MailboxPolicy(1, when_full)

    async def init() -> None:
        await trio.sleep(1)
        if stage.starts["a"] == 2:
            raise Boom

    top = Name("narrow", Narrow)
    tree = SupervisorSpec([stage.child("a", init=init)], intensity=5)
    await start(nursery, lambda: Narrow(tree), name=top)
    await leave("a", BOOM)
    # The supervisor waits for the first attempt. This request waits for the supervisor.
    first = await top.request(Supervisor.count_children)
    asked: list[int] = []

    async def ask() -> None:
        asked.append((await top.call(Supervisor.count_children)).active)

    if when_full is WhenFull.BLOCK:
        nursery.start_soon(ask)
    await trio.sleep(5)

    assert (await first.result()).active == 0
    assert asked == ([0] if when_full is WhenFull.BLOCK else [])
    assert alive("a") is not None
    assert stage.starts["a"] == 3
    await top.call(Supervisor.terminate_child, "a")
    ref = top.whereis()
    assert ref is not None
    await stop(ref)


def test_a_supervisor_refuses_a_mailbox_that_drops_messages() -> None:
    with pytest.raises(
        TypeError,
        match=r"^Dropping: .* must not drop messages: use WhenFull\.REJECT$",
    ):

        class Dropping(Supervisor):  # pyright: ignore[reportUnusedClass]
            mailbox = MailboxPolicy(9, WhenFull.DROP_OLDEST)
