"""Kill any actors of any tree: who changes was foretold from the tree, and nobody else does.

In the manner of ferd/sups, which does so to Erlang's supervisors.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from hypothesis import given, note, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Name
from okibi.actors.names import names
from okibi.actors.process import Process
from okibi.supervisors import Child, DynamicSupervisor, Supervisor, SupervisorGaveUp, supervise
from tests.profiles import examples
from tests.support.child_stage import Stage
from tests.support.kill_forecast import Forecast, forecast, lasting
from tests.support.trees import PERIOD, Tree, child, trees

FULL = os.environ.get("OKIBI_SWEEP") == "full"
EXAMPLES = settings(
    derandomize=not FULL,
    max_examples=2000 if FULL else examples(150),
    deadline=None,
    print_blob=True,
)

# At which task step from the last one, and who, as an index into those that live then.
Blow = tuple[int, int]
GAPS = st.sampled_from([1, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20])


class Slow(Stage):
    """Whoever plays here takes some steps to get ready and to clean up, and may be hit in each."""

    def child(self, id: str, **fields: Any) -> Child[Any]:  # noqa: A002
        return super().child(id, init=some_steps, cleanup=some_steps, **fields)


async def some_steps() -> None:
    for _ in range(4):
        await trio.lowlevel.checkpoint()


class Blows(trio.abc.Instrument):
    """Kills at task steps whoever bears a name then: in its init, at work or in its terminate."""

    def __init__(self, blows: list[tuple[int, str]]) -> None:
        self.blows = blows

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.blows:
            steps, victim = self.blows[0]
            self.blows[0] = steps - 1, victim
            if steps <= 1:
                self.blows.pop(0)
                kill(victim)


def kill(victim: str) -> None:
    process = names().get(victim)
    if process is not None:
        process.kill()


async def grow(tree: Tree, stage: Stage) -> None:
    """Start what lives under dynamic supervisors, the upper ones first."""
    for kid in tree.kids:
        if tree.strategy == "dynamic":
            pool = Name(tree.id, DynamicSupervisor)
            await pool.call(DynamicSupervisor.start_child, child(kid, stage))
        if kid.sub is not None:
            await grow(kid.sub, stage)


async def standing(tree: Tree, stage: Stage, nursery: trio.Nursery) -> None:
    flags = tree.flags(stage)
    await supervise(nursery, flags, name=Name(tree.id, Supervisor))
    await grow(tree, stage)
    assert set(names()) == {tree.id, *(kid.id for kid in tree.below())}


def changed(before: dict[str, Process]) -> set[str]:
    """Who is not who it was."""
    return {name for name, process in before.items() if names().get(name) is not process}


def check(tree: Tree, before: dict[str, Process], told: Forecast) -> bool:
    """Whether the tree lives on, as it was told to or may have been."""
    assert changed(before) <= told.changes | {tree.id}
    if tree.id not in names():
        assert tree.id in told.gives_up
        return False
    assert not changed(before) & {tree.id}
    assert lasting(tree) <= set(names())
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
def test_of_one_kill_exactly_those_change_that_the_tree_foretells(
    tree: Tree, kills: list[tuple[int, float]]
) -> None:
    """One after the other, each when all is quiet; how far an intensity is used up counts."""

    async def main() -> None:
        spent: dict[str, list[float]] = {each.id: [] for each in tree.trees()}
        async with trio.open_nursery() as nursery:
            await standing(tree, Slow(), nursery)
            for pick, wait in kills:
                await trio.sleep(wait)
                now, before = trio.current_time(), dict(names())
                victims = sorted(before.keys() - {tree.id})
                if not victims:
                    break
                victim = victims[pick % len(victims)]
                recent = {k: [t for t in v if now - t <= PERIOD] for k, v in spent.items()}
                told = forecast(tree, [victim], {k: len(v) for k, v in recent.items()})
                note(f"kill {victim}: {sorted(told.changes)} change")
                with trio.CancelScope(shield=True):
                    kill(victim)
                    await wait_all_tasks_blocked()
                ended.append(tree.id in told.gives_up)
                assert (tree.id not in names()) is ended[-1]
                if not check(tree, before, told):
                    return
                assert changed(before) == told.changes & before.keys()
                for each, times in recent.items():
                    spent[each] = [] if each in told.changes else times + [now] * told.hits[each]
            names()[tree.id].stop()

    ended = [False]
    run(main, ended)


@EXAMPLES
@given(
    tree=trees(plain=True),
    bursts=st.lists(
        st.lists(st.tuples(GAPS, st.integers(0, 60)), min_size=2, max_size=6),
        min_size=1,
        max_size=4,
    ),
)
def test_of_many_kills_at_any_steps_none_changes_that_the_tree_does_not_foretell(
    tree: Tree, bursts: list[list[Blow]]
) -> None:
    """Several within a few steps of each other: in an init, in a terminate, of parent and child."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await standing(tree, Slow(), nursery)
            for burst in bursts:
                # So that nothing is left in any window.
                await trio.sleep(PERIOD + 1)
                before = dict(names())
                victims = sorted(before.keys() - {tree.id})
                if not victims:
                    break
                blows = [(steps, victims[pick % len(victims)]) for steps, pick in burst]
                told = forecast(tree, [victim for _, victim in blows], {})
                note(f"kill {blows}: {sorted(told.changes)} may change")
                ended.append(tree.id in told.gives_up)
                with trio.CancelScope(shield=True):
                    await strike(blows)
                if not check(tree, before, told):
                    return
            ended.append(False)
            names()[tree.id].stop()

    ended = [False]
    run(main, ended)


async def strike(blows: list[tuple[int, str]]) -> None:
    instrument = Blows(list(blows))
    trio.lowlevel.add_instrument(instrument)
    try:
        await wait_all_tasks_blocked()
        # What is left was meant for later than all was quiet again.
        while instrument.blows:
            kill(instrument.blows.pop(0)[1])
            await wait_all_tasks_blocked()
    finally:
        trio.lowlevel.remove_instrument(instrument)


def run(main: Callable[[], Awaitable[None]], ended: list[bool]) -> None:
    async def bounded() -> None:
        with trio.fail_after(1e6):
            await main()
        assert names() == {}

    try:
        trio.run(bounded, clock=MockClock(autojump_threshold=0))
    except* SupervisorGaveUp:
        assert ended[-1]
