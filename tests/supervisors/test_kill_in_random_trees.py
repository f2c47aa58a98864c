"""Kill actors of random trees: only the actors in a forecast may change.

After ferd/sups, a test of Erlang's supervisors.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from hypothesis import given, note, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Name
from okibi.actors.names import name_table
from okibi.actors.process import Process
from okibi.supervisors import Child, DynamicSupervisor, Supervisor, SupervisorGaveUp, supervise
from tests.profiles import examples
from tests.support.child_stage import Stage
from tests.support.kill_forecast import Forecast, always_present, forecast
from tests.support.trees import PERIOD, Tree, child, trees

FULL = os.environ.get("OKIBI_SWEEP") == "full"
EXAMPLES = settings(
    derandomize=not FULL,
    max_examples=2000 if FULL else examples(150),
    deadline=None,
    print_blob=True,
)

# The number of task steps since the last kill, and the index of the victim among the actors.
Kill = tuple[int, int]
GAPS = st.sampled_from([1, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20])


class Slow(Stage):
    """Children take several steps in `init` and in `terminate`: a kill may hit any of them."""

    def child(self, id: str, **fields: Any) -> Child[Any]:  # noqa: A002
        return super().child(id, init=some_steps, cleanup=some_steps, **fields)


async def some_steps() -> None:
    for _ in range(4):
        await trio.lowlevel.checkpoint()


class KillAtSteps(trio.abc.Instrument):
    """Kills the actor that has a name at a task step: in `init`, in `run` or in `terminate`."""

    def __init__(self, timed_kills: list[tuple[int, str]]) -> None:
        self.timed_kills = timed_kills

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.timed_kills:
            steps, victim = self.timed_kills[0]
            self.timed_kills[0] = steps - 1, victim
            if steps <= 1:
                self.timed_kills.pop(0)
                kill(victim)


def kill(victim: str) -> None:
    process = name_table().get(victim)
    if process is not None:
        process.kill()


async def start_dynamic_children(tree: Tree, stage: Stage) -> None:
    """Start the children of dynamic supervisors, the upper supervisors first."""
    for kid in tree.kids:
        if tree.strategy == "dynamic":
            pool = Name(tree.id, DynamicSupervisor)
            await pool.call(DynamicSupervisor.start_child, child(kid, stage))
        if kid.sub is not None:
            await start_dynamic_children(kid.sub, stage)


async def start_tree(tree: Tree, stage: Stage, nursery: trio.Nursery) -> None:
    spec = tree.spec(stage)
    await supervise(nursery, spec, name=Name(tree.id, Supervisor))
    await start_dynamic_children(tree, stage)
    assert set(name_table()) == {tree.id, *(kid.id for kid in tree.below())}


def changed(before: dict[str, Process]) -> set[str]:
    """Return the names whose actors are no longer the same."""
    return {name for name, process in before.items() if name_table().get(name) is not process}


def check(tree: Tree, before: dict[str, Process], expected: Forecast) -> bool:
    """Check the tree against the forecast. Return whether the tree still runs."""
    assert changed(before) <= expected.changes | {tree.id}
    if tree.id not in name_table():
        assert tree.id in expected.gives_up
        return False
    assert not changed(before) & {tree.id}
    assert always_present(tree) <= set(name_table())
    return True


@EXAMPLES
@given(
    tree=trees(plain=True),
    kills=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([0, 0, 1.0, PERIOD, PERIOD + 1, 3600.0])),
        min_size=3,
        max_size=8,
    ),
)
def test_one_kill_changes_exactly_the_forecast_actors(
    tree: Tree, kills: list[tuple[int, float]]
) -> None:
    """One kill at a time, when all tasks are blocked. The forecast knows earlier restarts."""

    async def main() -> None:
        spent: dict[str, list[float]] = {each.id: [] for each in tree.trees()}
        async with trio.open_nursery() as nursery:
            await start_tree(tree, Slow(), nursery)
            for pick, wait in kills:
                await trio.sleep(wait)
                now, before = trio.current_time(), dict(name_table())
                victims = sorted(before.keys() - {tree.id})
                if not victims:
                    break
                victim = victims[pick % len(victims)]
                recent = {k: [t for t in v if now - t <= PERIOD] for k, v in spent.items()}
                expected = forecast(tree, [victim], {k: len(v) for k, v in recent.items()})
                note(f"kill {victim}: {sorted(expected.changes)} change")
                with trio.CancelScope(shield=True):
                    kill(victim)
                    await wait_all_tasks_blocked()
                ended.append(tree.id in expected.gives_up)
                assert (tree.id not in name_table()) is ended[-1]
                if not check(tree, before, expected):
                    return
                assert changed(before) == expected.changes & before.keys()
                for each, times in recent.items():
                    spent[each] = (
                        [] if each in expected.changes else times + [now] * expected.hits[each]
                    )
            name_table()[tree.id].stop()

    ended = [False]
    run(main, ended)


@pytest.mark.slow
@EXAMPLES
@given(
    tree=trees(plain=True),
    bursts=st.lists(
        st.lists(st.tuples(GAPS, st.integers(0, 60)), min_size=2, max_size=6),
        min_size=1,
        max_size=4,
    ),
)
def test_many_kills_change_no_actor_outside_the_forecast(
    tree: Tree, bursts: list[list[Kill]]
) -> None:
    """Several kills within a few steps: in `init`, in `terminate`, of a parent and its child."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await start_tree(tree, Slow(), nursery)
            for burst in bursts:
                # Empty the windows of all intensities.
                await trio.sleep(PERIOD + 1)
                before = dict(name_table())
                victims = sorted(before.keys() - {tree.id})
                if not victims:
                    break
                timed_kills = [(steps, victims[pick % len(victims)]) for steps, pick in burst]
                expected = forecast(tree, [victim for _, victim in timed_kills], {})
                note(f"kill {timed_kills}: {sorted(expected.changes)} may change")
                ended.append(tree.id in expected.gives_up)
                with trio.CancelScope(shield=True):
                    await run_kills(timed_kills)
                if not check(tree, before, expected):
                    return
            ended.append(False)
            name_table()[tree.id].stop()

    ended = [False]
    run(main, ended)


async def run_kills(timed_kills: list[tuple[int, str]]) -> None:
    instrument = KillAtSteps(list(timed_kills))
    trio.lowlevel.add_instrument(instrument)
    try:
        await wait_all_tasks_blocked()
        # The tasks were blocked before the remaining kills were due.
        while instrument.timed_kills:
            kill(instrument.timed_kills.pop(0)[1])
            await wait_all_tasks_blocked()
    finally:
        trio.lowlevel.remove_instrument(instrument)


def run(main: Callable[[], Awaitable[None]], ended: list[bool]) -> None:
    async def bounded() -> None:
        with trio.fail_after(1e6):
            await main()
        assert name_table() == {}

    try:
        trio.run(bounded, clock=MockClock(autojump_threshold=0))
    except* SupervisorGaveUp:
        assert ended[-1]
