"""Kill or stop each actor of a tree at each task step."""

import itertools
import math
import os
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import ActorExited, Name, StartError
from okibi.actors.names import name_table
from okibi.supervisors import Child, Strategy, Supervisor, SupervisorSpec, supervise
from tests.conformance.cancellation import every_step
from tests.support.child_stage import BOOM, Player, Stage, player

TOP, SUB = Name("top", Supervisor), Name("sub", Supervisor)
SEEDS = range(20 if os.environ.get("OKIBI_SWEEP") == "full" else 1)


SAMPLE = ((Strategy.REST_FOR_ONE, "sub", "kill"),)
CASES = [
    pytest.param(*case, marks=() if case in SAMPLE else (pytest.mark.slow,))
    for case in itertools.product(Strategy, ["a", "b", "c", "sub", "top"], ["kill", "stop"])
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("strategy", "victim", "how"), CASES)
def test_a_kill_or_stop_at_any_step_leaves_a_whole_tree_or_none(
    strategy: Strategy, victim: str, how: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, a crash two levels below, a stop. The victim is hit at each step in turn."""
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    stages: list[Stage] = []

    async def scenario() -> None:
        trio._core._run._r.seed(seed)
        stage = Stage()
        stages.append(stage)
        sub = Child(stage.tree("cd", strategy), id="sub", name=SUB, shutdown=math.inf)
        children = [stage.child("a"), stage.child("b"), sub]
        try:
            async with trio.open_nursery() as nursery:
                await supervise(nursery, SupervisorSpec(children, strategy), name=TOP)
                with trio.CancelScope(shield=True):
                    with suppress(ActorExited):
                        player("c").cast_nowait(Player.leave, BOOM)
                    await wait_all_tasks_blocked()
                    if TOP.whereis() is not None:
                        # The whole tree runs again.
                        assert set(name_table()) == {*"abcd", "sub", "top"}
                        top = TOP.whereis()
                        assert top is not None
                        top.stop()
        except* StartError:
            # A failure in the first start is fatal for the tree.
            pass

    def hit() -> None:
        process = name_table().get(victim)
        if process is not None:
            process.kill() if how == "kill" else process.stop()

    async def check() -> None:
        assert name_table() == {}
        log = stages[-1].log
        ended = sum(line.startswith("term") for line in log)
        begun = sum(line.startswith("start") for line in log)
        assert ended == begun if how == "stop" else ended <= begun, log

    assert every_step(scenario, check, hit) > 20
