"""What a crash costs, by real processes: that what is timed is what it is said to be."""

import sys

import pytest

from runtime.cli.bench.crashes import crash_times, restart_time
from runtime.cli.bench.functions import CRASHING, FUNCTIONS

COMMAND = (sys.executable, "-P", "-m", "runtime")


async def test_a_warm_restart_is_timed_until_the_new_instance_has_answered() -> None:
    assert await restart_time(COMMAND, {}) > 0


async def test_a_handler_that_is_not_replaced_has_no_warm_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.cli.bench.crashes.RESTARTING", CRASHING)

    with pytest.raises(RuntimeError, match="is not replaced"):
        await restart_time(COMMAND, {})


async def test_two_good_events_are_timed_as_a_crash_and_the_one_after_it_are() -> None:
    times = await crash_times(COMMAND, {"PYTHONPATH": str(FUNCTIONS)}, limit=0.3)

    assert times.good is not None
    assert 0 < times.good < times.death
