"""Cancel a scenario, or perform another action, at every task step.

A trio Instrument counts task steps and acts at step n: by default, it cancels a scope around the
scenario. The sweep repeats this for n = 1, 2, ... until a run ends before step n. Trio drops an
Instrument that raises, so the Instrument asserts nothing: the sweep checks after each run.
"""

import math
from collections.abc import Awaitable, Callable

import trio
from trio.testing import MockClock

DEADLINE = 1000.0


class ActionAtStep(trio.abc.Instrument):
    """Performs an action before the n-th task step from now."""

    def __init__(self, step: int, action: Callable[[], object]) -> None:
        self.steps_left = step
        self.action = action
        self.acted_at = math.inf

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            self.acted_at = trio.current_time()
            self.action()


def act_at_step(
    step: int,
    scenario: Callable[[], Awaitable[object]],
    check: Callable[[], Awaitable[object]],
    action: Callable[[], object] | None,
    limit: float,
) -> bool:
    """Run the scenario and act at a step. Return False if the scenario ended before that step.

    The clock jumps whenever all tasks wait, so a hang costs no time: DEADLINE passes at once.
    """
    remaining: list[str] = []
    hung, took = True, 0.0

    async def main() -> bool:
        nonlocal hung, took
        scope = trio.CancelScope()
        instrument = ActionAtStep(step, action or scope.cancel)
        with trio.move_on_after(DEADLINE) as deadline:
            deadline.shield = True
            with scope:
                trio.lowlevel.add_instrument(instrument)
                try:
                    await scenario()
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            hung, took = False, trio.current_time() - instrument.acted_at
        root = trio.lowlevel.current_root_task()
        assert root is not None
        await check()
        nursery = trio.lowlevel.current_task().parent_nursery
        assert nursery is not None
        remaining.extend(task.name for task in nursery.child_tasks)
        return instrument.steps_left <= 0

    reached = trio.run(main, clock=MockClock(autojump_threshold=0))
    assert not hung, f"the scenario hung after the action at step {step}"
    assert took <= limit, f"the scenario ended {took:g} s after the action at step {step}"
    assert len(remaining) == 1, f"tasks left after the action at step {step}: {remaining}"
    return reached


def every_step(
    scenario: Callable[[], Awaitable[object]],
    check: Callable[[], Awaitable[object]],
    strike: Callable[[], object] | None = None,
    limit: float = DEADLINE,
) -> int:
    """Act at each task step in turn. Return the number of steps.

    Args:
        scenario: runs again for each step.
        check: inspects the state after each run.
        strike: the action. Default: cancel the scenario.
        limit: seconds from the action to the end of the scenario, at most.
    """
    step = 1
    while act_at_step(step, scenario, check, strike, limit):
        step += 1
    return step - 1
