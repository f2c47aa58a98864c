"""Cancelled from outside at every task step: all end, in reverse, in time, and nothing is left."""

import itertools
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import NORMAL, ExitReason, Ref, StartError, stop
from okibi.actors.names import names
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
# Who is to be down already when one of them is stopped with the tree.
LATER = {"a": "bcden", "b": "cden", "c": "d"}


@attrs.frozen
class Course:
    """What happens to a tree of a, b, sub (c, d), e and n.

    Attributes:
        refused: starts that fail.
        needless: starts that are ignored.
        ends: who ends by itself, one after the other, and how.
        flags: of both supervisors.
        sub: more flags of the lower one.
        requests: whether e is terminated and started again, and removed, and another is added.
    """

    refused: frozenset[str] = frozenset()
    needless: frozenset[str] = frozenset()
    ends: tuple[tuple[str, ExitReason], ...] = (("b", BOOM), ("c", BOOM))
    flags: dict[str, Any] = attrs.Factory(dict)
    sub: dict[str, Any] = attrs.Factory(dict)
    requests: bool = False


COURSES = {
    "crashes": Course(),
    "a restart that fails once": Course(frozenset({"b2"})),
    "restarts that fail until it gives up": Course(frozenset({"b2", "b3", "b4", "b5"})),
    "a sub-supervisor that gives up": Course(frozenset({"c2", "c3", "c4", "c5"})),
    "a first start that fails": Course(frozenset({"d1"})),
    "back-off": Course(frozenset({"b2"}), flags={"backoff": Backoff(1, 4)}),
    "auto_shutdown": Course(
        ends=(("d", NORMAL), ("c", BOOM)), sub={"auto_shutdown": AutoShutdown.ANY_SIGNIFICANT}
    ),
    "children that ignore": Course(needless=frozenset({"n1", "n2", "c2"})),
    "requests": Course(requests=True),
}


def tree(stage: Stage, strategy: Strategy, course: Course) -> SupervisorSpec:
    """Each takes a second to clean up, but b, which never has."""

    def child(letter: str) -> Child[Any]:
        seconds = 1e6 if letter == "b" else 1
        significant = letter == "d" and "auto_shutdown" in course.sub
        return stage.child(
            letter,
            cleanup=partial(trio.sleep, seconds),
            shutdown=GRACE,
            restart=Restart.TRANSIENT if significant else Restart.PERMANENT,
            significant=significant,
        )

    below = SupervisorSpec([child("c"), child("d")], strategy, **course.flags, **course.sub)
    children = [child("a"), child("b"), Child(below, id="sub"), child("e"), child("n")]
    return SupervisorSpec(children, strategy, **course.flags)


async def ask(top: Ref[Supervisor], stage: Stage) -> None:
    """All that one can ask for that starts or stops somebody."""
    await top.call(Supervisor.terminate_child, "e")
    await top.call(Supervisor.restart_child, "e")
    await top.call(Supervisor.terminate_child, "e")
    await top.call(Supervisor.delete_child, "e")
    await top.call(Supervisor.start_child, stage.child("f", shutdown=GRACE))


SAMPLE = (Strategy.REST_FOR_ONE, "crashes"), (Strategy.ONE_FOR_ONE, "requests")
RUNS = [
    pytest.param(*run, marks=() if run in SAMPLE else (pytest.mark.slow,))
    for run in itertools.product(Strategy, COURSES)
]


@pytest.mark.parametrize(("strategy", "which"), RUNS)
def test_cancelled_at_every_step_all_end_in_reverse_in_time_and_nothing_is_left(
    strategy: Strategy, which: str
) -> None:
    """Start, ends, restarts, requests and the stop, cancelled at each task step in turn."""
    course = COURSES[which]
    stages: list[Stage] = []

    async def scenario() -> None:
        stage = Stage(refused=set(course.refused), needless=set(course.needless))
        stages.append(stage)
        try:
            async with trio.open_nursery() as nursery:
                top = await supervise(nursery, tree(stage, strategy, course))
                for name, reason in course.ends:
                    if player(name).whereis() is not None:
                        player(name).cast_nowait(Player.leave, reason)
                    await trio.sleep(10)
                if course.requests:
                    await ask(top, stage)
                await stop(top)
        except* (SupervisorGaveUp, StartError):
            pass

    async def check() -> None:
        assert names() == {}
        check_order(stages[-1].log, asked="e" if course.requests else "")

    assert every_step(scenario, check, limit=7 * GRACE) > 15


def check_order(log: list[str], asked: str) -> None:
    """Each start has one end, and nobody is stopped before those that need it."""
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


def test_a_pool_that_is_cancelled_at_every_step_ends_with_all_its_children() -> None:
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
        assert names() == {}
        log = stages[-1].log
        begun = [line.split()[1] for line in log if line.startswith("start")]
        ended = [line.split()[1] for line in log if line.startswith("term")]
        # Who is killed cannot say that it ends.
        assert sorted(begun) in (sorted(ended), sorted([*ended, "a"])), log

    # They are stopped all at once.
    assert every_step(scenario, check, limit=GRACE) > 30
