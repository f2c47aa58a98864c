"""Outer cancellation, or any other blow, at every task step: the sweep.

An Instrument counts task steps and cancels a scope around the scenario at the n-th; the sweep
does so for every n until a run ends without. Trio drops an Instrument that raises, so nothing is
asserted in it: what it finds is kept and looked at after the run.
"""

import math
from collections.abc import Awaitable, Callable

import trio
from trio.testing import MockClock

DEADLINE = 1000.0


class StrikeAt(trio.abc.Instrument):
    """Strikes before the n-th task step from now."""

    def __init__(self, step: int, strike: Callable[[], object]) -> None:
        self.left = step
        self.strike = strike
        self.at = math.inf

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.at = trio.current_time()
            self.strike()


def struck_at(
    step: int,
    scenario: Callable[[], Awaitable[object]],
    check: Callable[[], Awaitable[object]],
    strike: Callable[[], object] | None,
    limit: float,
) -> bool:
    """Run it, struck at a step; False when it had ended before that step.

    The clock jumps whenever all tasks wait, so a hang is the end of DEADLINE, not of patience.
    """
    left: list[str] = []
    hung, took = True, 0.0

    async def main() -> bool:
        nonlocal hung, took
        scope = trio.CancelScope()
        instrument = StrikeAt(step, strike or scope.cancel)
        with trio.move_on_after(DEADLINE) as patience:
            patience.shield = True
            with scope:
                trio.lowlevel.add_instrument(instrument)
                try:
                    await scenario()
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            hung, took = False, trio.current_time() - instrument.at
        root = trio.lowlevel.current_root_task()
        assert root is not None
        await check()
        here = trio.lowlevel.current_task().parent_nursery
        assert here is not None
        left.extend(task.name for task in here.child_tasks)
        return instrument.left <= 0

    reached = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not hung, f"struck at step {step}, it hung"
    assert took <= limit, f"struck at step {step}, it took {took:g} s to end"
    assert len(left) == 1, f"struck at step {step}, tasks were left: {left}"
    return reached


def every_step(
    scenario: Callable[[], Awaitable[object]],
    check: Callable[[], Awaitable[object]],
    strike: Callable[[], object] | None = None,
    limit: float = DEADLINE,
) -> int:
    """Cancel it at each step in turn, or strike as told; how many steps there were.

    Args:
        scenario: what is run, anew for each step.
        check: looks at what is left after each run.
        strike: the blow; to cancel the scenario, if left out.
        limit: seconds from the blow within which the scenario has to end.
    """
    step = 1
    while struck_at(step, scenario, check, strike, limit):
        step += 1
    return step - 1
