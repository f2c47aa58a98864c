"""Outer cancellation at every task step: the sweep, for the tests of both floors.

An Instrument counts task steps and cancels a scope around the scenario at the n-th; the sweep
does so for every n until a run ends without. Trio drops an Instrument that raises, so nothing is
asserted in it: what it finds is kept and looked at after the run.
"""

from collections.abc import Awaitable, Callable

import trio
from trio.testing import MockClock

DEADLINE = 1000.0


class CancelAt(trio.abc.Instrument):
    """Cancels `scope` before the n-th task step that begins inside it."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.left = step
        self.scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


def cancelled_at(
    step: int, scenario: Callable[[], Awaitable[object]], check: Callable[[], Awaitable[object]]
) -> bool:
    """Run it, cancelled at a step; False when it had ended before that step.

    The clock jumps whenever all tasks wait, so a hang is the end of DEADLINE, not of patience.
    """
    left: list[str] = []
    hung = True

    async def main() -> bool:
        nonlocal hung
        scope = trio.CancelScope()
        instrument = CancelAt(step, scope)
        with trio.move_on_after(DEADLINE) as limit:
            limit.shield = True
            with scope:
                trio.lowlevel.add_instrument(instrument)
                try:
                    await scenario()
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            hung = False
        root = trio.lowlevel.current_root_task()
        assert root is not None
        await check()
        here = trio.lowlevel.current_task().parent_nursery
        assert here is not None
        left.extend(task.name for task in here.child_tasks)
        return instrument.left <= 0

    reached = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not hung, f"cancelled at step {step}, it hung"
    assert len(left) == 1, f"cancelled at step {step}, tasks were left: {left}"
    return reached


def every_step(
    scenario: Callable[[], Awaitable[object]], check: Callable[[], Awaitable[object]]
) -> int:
    """Cancel it at each step in turn; how many steps there were."""
    step = 1
    while cancelled_at(step, scenario, check):
        step += 1
    return step - 1
