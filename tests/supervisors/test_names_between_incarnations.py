"""Names between two incarnations: errors for callers, and the ends of waits."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NORMAL,
    ActorExited,
    CallCycle,
    Name,
    NoProcess,
    Server,
    StartError,
    WhenStopped,
    start,
    stop,
)
from okibi.actors.names import (
    ExpectedRestart,
    announce_wait,
    expect_no_restart,
    expect_restart,
    name_table,
)
from okibi.supervisors import (
    INFINITY,
    Backoff,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.child_stage import BOOM, Player, Stage, leave, player, when_dead

UNREGISTERED = "start one with name="
BACKOFF = Backoff(2.0, 2.0)
LOW = Name("low", Supervisor)


class Fraction(Server):
    async def divide(self, by: int) -> float:
        return 1 / by


FRACTION = Name("fraction", Fraction)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def no_process_message(name: str) -> str:
    """Return the message of the NoProcess that a send to the name raises."""
    with pytest.raises(NoProcess) as missing:
        player(name).process()
    return str(missing.value)


async def failed_wait_message(name: str) -> str:
    """Wait for a name. The wait must fail before its timeout. Return the error message."""
    with pytest.raises(NoProcess) as missing:
        await player(name).waiting(1000).send("word")
    assert trio.current_time() < 1000
    return str(missing.value)


async def test_a_waiting_call_after_actor_exited_reaches_the_next_incarnation(
    nursery: trio.Nursery,
) -> None:
    tree = SupervisorSpec([Child(Fraction, name=FRACTION)], intensity=1000)
    top = await supervise(nursery, tree)

    for _ in range(100):
        with pytest.raises(ActorExited):
            await FRACTION.call(Fraction.divide, 0)
        assert await FRACTION.waiting(1).call(Fraction.divide, 4) == 0.25

    await stop(top)


async def test_no_process_says_at_once_that_the_child_is_restarting(
    stage: Stage, nursery: trio.Nursery
) -> None:
    """In the step of the child's end, before the supervisor handles the message."""
    said: list[str] = []
    top = await supervise(nursery, stage.tree("a"))
    when_dead("a", lambda: said.append(no_process_message("a")))

    await leave("a")

    assert "its supervisor /supervisor is restarting it" in said[0]
    await stop(top)


async def test_a_wait_for_a_name_lasts_through_the_backoff(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.refused = {"a2"}
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    await leave("a")
    ref = await player("a").wait()

    assert (trio.current_time(), ref.incarnation) == (4.0, 3)
    await stop(top)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_names_of_siblings_that_restart_too_are_expected(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, strategy: Strategy
) -> None:
    tree = SupervisorSpec(
        [stage.child("a"), stage.child("b"), stage.child("t", restart=Restart.TEMPORARY)],
        strategy=strategy,
        backoff=BACKOFF,
    )
    top = await supervise(nursery, tree)
    await leave("a")

    assert "/supervisor/a starts again in 2 s" in no_process_message("b")
    assert UNREGISTERED in no_process_message("t")
    assert (await player("b").wait()).incarnation == 2
    await wait_all_tasks_blocked()
    assert not name_table().restarters
    await stop(top)


async def test_the_name_of_a_terminated_child_is_not_expected(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))

    await top.call(Supervisor.terminate_child, "a")
    assert UNREGISTERED in no_process_message("a")
    await top.call(Supervisor.restart_child, "a")

    assert not name_table().restarters
    await player("a").waiting(0).send("word")
    await stop(top)


async def test_a_wait_for_a_name_ends_when_the_restart_is_called_off(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    spec = stage.tree("abc", strategy=Strategy.REST_FOR_ONE, backoff=BACKOFF)
    top = await supervise(nursery, spec)
    await leave("b")

    async with trio.open_nursery() as waiters:
        for name in ("b", "c"):
            waiters.start_soon(failed_wait_message, name)
        await wait_all_tasks_blocked()
        await top.call(Supervisor.terminate_child, "b")

    assert UNREGISTERED in no_process_message("b")
    assert UNREGISTERED in no_process_message("c")
    assert not name_table().restarters
    await stop(top)


@pytest.mark.parametrize("reason", [NORMAL, BOOM])
@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.TEMPORARY])
async def test_a_name_is_expected_only_if_the_child_restarts(
    stage: Stage, nursery: trio.Nursery, mock_clock: MockClock, restart: Restart, reason: object
) -> None:
    top = await supervise(
        nursery, SupervisorSpec([stage.child("a", restart=restart)], backoff=BACKOFF)
    )

    await leave("a", NORMAL if reason is NORMAL else BOOM)

    restarts = restart is Restart.TRANSIENT and reason is BOOM
    assert ("starts again in 2 s" in no_process_message("a")) is restarts
    await stop(top)
    assert not name_table().restarters


async def test_a_wait_for_a_name_ends_when_the_restart_raises_ignore(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.needless = {"a2"}
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    await leave("a")

    assert "its supervisor /supervisor does not restart it" in await failed_wait_message("a")

    assert UNREGISTERED in no_process_message("a")
    await stop(top)


async def test_a_wait_for_a_name_ends_when_the_supervisor_gives_up(
    stage: Stage, autojump_clock: MockClock
) -> None:
    said: list[str] = []

    async def wait() -> None:
        said.append(await failed_wait_message("a"))

    async with trio.open_nursery() as waiters:
        stage.refused = {"a2", "a3"}
        with pytest.raises(BaseExceptionGroup):  # noqa: PT012, a crash leaves its nursery
            async with trio.open_nursery() as nursery:
                await supervise(nursery, stage.tree("a", intensity=2, period=9, backoff=BACKOFF))
                await leave("a")
                waiters.start_soon(wait)

    assert said == ["no actor is registered as 'a': its supervisor /supervisor does not restart it"]
    assert not name_table().restarters


async def test_no_process_says_that_the_supervisor_is_ending(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = stage.child("b", cleanup=partial(trio.sleep, 3))
    tree = SupervisorSpec([stage.child("a"), slow], backoff=BACKOFF)
    top = await supervise(nursery, tree)
    await leave("a")

    top.stop()
    await wait_all_tasks_blocked()
    assert (
        no_process_message("a")
        == "no actor is registered as 'a': its supervisor /supervisor is ending"
    )
    assert "does not restart it" in await failed_wait_message("a")

    await top.wait()
    assert UNREGISTERED in no_process_message("a")


async def test_names_of_dynamic_children_are_expected_until_terminated(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, DynamicSupervisorSpec(backoff=BACKOFF), path="/top")
    child = await top.call(DynamicSupervisor.start_child, stage.child("a"))
    assert child is not None
    await leave("a")
    assert "/top/a-1 starts again in 2 s" in no_process_message("a")
    second = await player("a").wait()
    await leave("a")

    async with trio.open_nursery() as waiters:
        waiters.start_soon(failed_wait_message, "a")
        await wait_all_tasks_blocked()
        await top.call(DynamicSupervisor.terminate_child, second)

    assert not name_table().restarters
    await stop(top)


async def restarts() -> None:
    """A child crashes, two tasks wait for names, and the supervisor is restarted."""
    stage = Stage()
    tree = SupervisorSpec([Child(stage.tree("ab", intensity=0), id="low")])
    acts: list[Callable[[], Awaitable[object]]] = [
        player("a").wait,
        partial(player("b").waiting(10).send, "word"),
    ]
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, tree)
        process = player("a").process()
        process.kill()
        await process.wait_dead()
        async with trio.open_nursery() as waiters:
            for act in acts:
                waiters.start_soon(act)
        top.stop()


async def nothing_left() -> None:
    table = name_table()
    assert table == {}
    assert not any((table.waiting, table.restarters, table.attached_values))


def test_a_restart_cancelled_at_any_step_leaves_no_name() -> None:
    assert every_step(restarts, nothing_left) > 30


@attrs.define
class KilledSubSupervisor:
    """Kills a sub-supervisor at each step, while two tasks wait for its children."""

    ended: int = 0

    async def run(self) -> None:
        self.ended = 0
        stage = Stage()
        low = Child(stage.tree("ab", intensity=0), id="low", name=LOW)
        async with trio.open_nursery() as nursery:
            try:
                top = await supervise(nursery, SupervisorSpec([low]))
            except StartError:
                self.ended = 2
                return
            if (a := player("a").whereis()) is not None:
                a.kill()
            async with trio.open_nursery() as waiters:
                for name in "ab":
                    waiters.start_soon(self._wait, name)
            top.stop()

    async def _wait(self, name: str) -> None:
        with suppress(ActorExited):
            await player(name).waiting(10).send("word")
        self.ended += 1

    def kill(self) -> None:
        ref = LOW.whereis()
        if ref is not None:
            ref.kill()

    async def check(self) -> None:
        assert self.ended == 2
        assert trio.current_time() < 10
        await nothing_left()


@pytest.mark.slow
def test_a_wait_for_a_name_ends_if_the_supervisor_is_killed_at_any_step() -> None:
    scene = KilledSubSupervisor()

    assert every_step(scene.run, scene.check, scene.kill, limit=10) > 30


@attrs.define(eq=False)
class Drainer(Server):
    """Drains its mailbox before it stops, and waits for a sibling in each message."""

    sibling: Name[Player]
    when_stopped: ClassVar[WhenStopped] = WhenStopped.DRAIN

    async def work(self) -> None:
        self.sibling.process().kill()
        await self.sibling.wait()

    async def work_later(self) -> None:
        self.sibling.process().kill()
        await wait_all_tasks_blocked()
        await self.sibling.wait()


async def test_a_child_may_wait_for_a_sibling_in_backoff(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    drainer = Name("drainer", Drainer)
    drains = Child(partial(Drainer, player("a")), name=drainer)
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), drains], backoff=BACKOFF))

    await drainer.call(Drainer.work)

    assert player("a").process().incarnation == 2
    assert not drainer.process().waits.callees
    await stop(top)


async def test_a_child_that_waits_for_a_sibling_gets_call_cycle_when_stopped(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    drainer = Name("drainer", Drainer)
    drains = Child(partial(Drainer, player("a")), name=drainer, shutdown=INFINITY)
    tree = SupervisorSpec([stage.child("a"), drains], backoff=Backoff(60.0, 60.0))
    top = await supervise(nursery, tree)
    asked = await drainer.request(Drainer.work)
    await trio.sleep(1)

    await stop(top)

    with pytest.raises(ActorExited) as gone:
        await asked.result()
    assert isinstance(gone.value.reason.error, CallCycle)
    assert trio.current_time() < 2


@pytest.mark.parametrize("work", [Drainer.work, Drainer.work_later])
async def test_a_stopping_child_does_not_wait_for_a_later_start(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, work: Any
) -> None:
    drainer = Name("drainer", Drainer)
    drains = Child(partial(Drainer, player("a")), name=drainer, shutdown=INFINITY)
    tree = SupervisorSpec([stage.child("a"), drains], strategy=Strategy.REST_FOR_ONE)
    top = await supervise(nursery, tree)

    with pytest.raises(ActorExited) as gone:
        await drainer.call(work)

    assert isinstance(gone.value.reason.error, CallCycle)
    assert (await player("a").wait()).incarnation == 2
    await stop(top)


class Ledger(Server):
    """Waits for a bank that restarts, while the bank's `init` calls this server."""

    async def post(self) -> str:
        try:
            return await BANK.waiting(50).call(Bank.open)
        except CallCycle as refused:
            return str(refused)

    async def sum(self) -> int:
        return 7


class Broker(Server):
    async def sum(self) -> int:
        return await LEDGER.call(Ledger.sum)


@attrs.define(eq=False)
class Bank(Server):
    ask: Callable[[], Awaitable[int]]

    async def init(self) -> None:
        await trio.sleep(1)
        await self.ask()

    async def open(self) -> str:
        return "open"


LEDGER, BROKER, BANK = Name("ledger", Ledger), Name("broker", Broker), Name("bank", Bank)


@pytest.mark.parametrize(
    ("ask", "chain"),
    [
        (lambda: LEDGER.call(Ledger.sum), "/top/ledger calls /top/bank calls /top/ledger"),
        (
            lambda: BROKER.call(Broker.sum),
            "/top/ledger calls /top/bank calls /top/broker calls /top/ledger",
        ),
    ],
    ids=["directly", "through another"],
)
async def test_the_init_of_a_restart_may_call_a_server_that_waits_for_its_name(
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    ask: Callable[[], Awaitable[int]],
    chain: str,
) -> None:
    children: list[Child[Any]] = [Child(Ledger, name=LEDGER), Child(Broker, name=BROKER)]
    bank = Child(partial(Bank, ask), name=BANK)
    top = await supervise(nursery, SupervisorSpec([*children, bank]), path="/top")

    (await BANK.wait()).kill()
    await wait_all_tasks_blocked()
    said = await LEDGER.call(Ledger.post)

    assert said == f"{chain}: the wait for the name 'bank' would never return"
    assert (await BANK.wait()).incarnation == 2
    await stop(top)


async def test_noproc_after_a_wait_names_a_supervisor_that_stops_others_first(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = stage.child("b", cleanup=partial(trio.sleep, 3))
    tree = SupervisorSpec([stage.child("a"), slow], strategy=Strategy.ONE_FOR_ALL)
    top = await supervise(nursery, tree)
    await leave("a")

    with pytest.raises(
        NoProcess, match=r"its supervisor /supervisor has not restarted it within 1"
    ):
        await player("a").waiting(1).send("word")

    assert (await player("a").wait()).incarnation == 2
    await stop(top)


async def test_only_a_wait_on_the_cycle_is_refused(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A method waits for two names at once: one leads to the caller, the other does not."""

    class Slow(Server):
        async def init(self) -> None:
            await trio.sleep(10)

    class Both(Server):
        async def wait(self) -> str:
            async with trio.open_nursery() as waits:
                waits.start_soon(SLOW.wait)
                try:
                    await BANK.waiting(50).call(Bank.open)
                except CallCycle as refused:
                    return str(refused)
            return "both were there"

        async def sum(self) -> int:
            return 7

    SLOW, BOTH = Name("slow", Slow), Name("both", Both)  # noqa: N806, as for the names above
    both = await start(nursery, Both, name=BOTH, path="/both")
    nursery.start_soon(partial(start, nursery, Slow, name=SLOW))
    asked = await both.request(Both.wait)
    await wait_all_tasks_blocked()

    bank = await start(nursery, lambda: Bank(lambda: BOTH.call(Both.sum)), name=BANK, path="/bank")

    assert await asked.result() == (
        "/both calls /bank calls /both: the wait for the name 'bank' would never return"
    )
    assert trio.current_time() == 10
    for ref in (bank, both, await SLOW.wait()):
        await stop(ref)


async def test_a_wait_of_one_supervisor_leaves_the_note_of_another(
    nursery: trio.Nursery,
) -> None:
    first, second = await start(nursery, Fraction), await start(nursery, Fraction)
    expect_restart(["a"], first.process())

    announce_wait(["a", "b"], ExpectedRestart(second.process(), 60.0, "/x", "it waits"))

    assert name_table().restarters == {"a": ExpectedRestart(first.process())}
    expect_no_restart(["a"], first.process())
    await stop(first)
    await stop(second)
