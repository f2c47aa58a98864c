"""Trees cancelled at every task step: all actors end, in order and in time."""

import itertools
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import NORMAL, ExitReason, Ref, StartError, stop
from okibi.actors.names import name_table
from okibi.supervisors import (
    AutoShutdown,
    Backoff,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.child_stage import BOOM, Player, Stage, player

GRACE = 2.0
# When the tree stops a child, these children must have stopped already.
LATER = {"a": "bcden", "b": "cden", "c": "d"}


@attrs.frozen
class Scenario:
    """The events in a tree of a, b, sub (c, d), e and n.

    Attributes:
        refused: starts that fail.
        needless: starts that raise Ignore.
        ends: children that end by themselves, in this order, with their reasons.
        options: options of both supervisors.
        sub: more options of the lower supervisor.
        requests: whether e is terminated, restarted and deleted, and f is added.
    """

    refused: frozenset[str] = frozenset()
    needless: frozenset[str] = frozenset()
    ends: tuple[tuple[str, ExitReason], ...] = (("b", BOOM), ("c", BOOM))
    options: dict[str, Any] = attrs.Factory(dict)
    sub: dict[str, Any] = attrs.Factory(dict)
    requests: bool = False


SCENARIOS = {
    "crashes": Scenario(),
    "a restart that fails once": Scenario(frozenset({"b2"})),
    "restarts that fail until it gives up": Scenario(frozenset({"b2", "b3", "b4", "b5"})),
    "a sub-supervisor that gives up": Scenario(frozenset({"c2", "c3", "c4", "c5"})),
    "a first start that fails": Scenario(frozenset({"d1"})),
    "back-off": Scenario(frozenset({"b2"}), options={"backoff": Backoff(1, 4)}),
    "auto_shutdown": Scenario(
        ends=(("d", NORMAL), ("c", BOOM)), sub={"auto_shutdown": AutoShutdown.ANY_SIGNIFICANT}
    ),
    "children that ignore": Scenario(needless=frozenset({"n1", "n2", "c2"})),
    "requests": Scenario(requests=True),
}


def tree(stage: Stage, strategy: Strategy, case: Scenario) -> SupervisorSpec:
    """Each child takes 1 s to clean up. b never finishes."""

    def child(letter: str) -> Child[Any]:
        seconds = 1e6 if letter == "b" else 1
        significant = letter == "d" and "auto_shutdown" in case.sub
        return stage.child(
            letter,
            cleanup=partial(trio.sleep, seconds),
            shutdown=GRACE,
            restart=Restart.TRANSIENT if significant else Restart.PERMANENT,
            significant=significant,
        )

    below = SupervisorSpec([child("c"), child("d")], strategy, **case.options, **case.sub)
    children = [child("a"), child("b"), Child(below, id="sub"), child("e"), child("n")]
    return SupervisorSpec(children, strategy, **case.options)


async def make_requests(top: Ref[Supervisor], stage: Stage) -> None:
    """Make every request that starts or stops a child."""
    await top.call(Supervisor.terminate_child, "e")
    await top.call(Supervisor.restart_child, "e")
    await top.call(Supervisor.terminate_child, "e")
    await top.call(Supervisor.delete_child, "e")
    await top.call(Supervisor.start_child, stage.child("f", shutdown=GRACE))


SAMPLE = ((Strategy.REST_FOR_ONE, "crashes"),)
RUNS = [
    pytest.param(*run, marks=() if run in SAMPLE else (pytest.mark.slow,))
    for run in itertools.product(Strategy, SCENARIOS)
]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "which"), RUNS)
def test_a_tree_cancelled_at_any_step_stops_in_order_and_in_time(
    strategy: Strategy, which: str
) -> None:
    """Each task step is cancelled in turn: start, ends, restarts, requests and stop."""
    case = SCENARIOS[which]
    stages: list[Stage] = []

    async def scenario() -> None:
        stage = Stage(refused=set(case.refused), needless=set(case.needless))
        stages.append(stage)
        try:
            async with trio.open_nursery() as nursery:
                top = await supervise(nursery, tree(stage, strategy, case))
                for name, reason in case.ends:
                    if player(name).whereis() is not None:
                        player(name).cast_nowait(Player.leave, reason)
                    await trio.sleep(10)
                if case.requests:
                    await make_requests(top, stage)
                await stop(top)
        except* (SupervisorGaveUp, StartError):
            pass

    async def check() -> None:
        assert name_table() == {}
        check_order(stages[-1].log, asked="e" if case.requests else "")

    assert every_step(scenario, check, limit=7 * GRACE) > 15


def check_order(log: list[str], asked: str) -> None:
    """Check that each start has one end, and that dependents stop first."""
    up: list[str] = []
    for line in log:
        what, who, *why = line.split()
        if what == "start":
            assert who not in up, log
            up.append(who)
        elif what == "term":
            up.remove(who)
            stopped = why == ["shutdown"] and who not in asked
            assert not stopped or not set(LATER.get(who, "")) & set(up), log
    assert up == [], log


def test_a_dynamic_supervisor_cancelled_at_any_step_ends_all_children() -> None:
    stages: list[Stage] = []

    async def scenario() -> None:
        stage = Stage(refused={"b2", "c1"}, needless={"d1"})
        stages.append(stage)
        slow = partial(trio.sleep, 1e6)
        try:
            async with trio.open_nursery() as nursery:
                pool = await supervise(nursery, DynamicSupervisorSpec())
                for name in "abcde":
                    with trio.CancelScope():
                        child = stage.child(name, cleanup=slow, shutdown=GRACE)
                        pending = await pool.request(DynamicSupervisor.start_child, child)
                        if name in "ab":
                            await pending.result()
                player("b").cast_nowait(Player.leave, BOOM)
                await trio.sleep(10)
                player("a").process().kill()
                await wait_all_tasks_blocked()
                await stop(pool)
        except* (SupervisorGaveUp, StartError):
            pass

    async def check() -> None:
        assert name_table() == {}
        log = stages[-1].log
        begun = [line.split()[1] for line in log if line.startswith("start")]
        ended = [line.split()[1] for line in log if line.startswith("term")]
        # A killed child writes no end to the log.
        assert sorted(begun) in (sorted(ended), sorted([*ended, "a"])), log

    # All children stop together.
    assert every_step(scenario, check, limit=GRACE) > 30
