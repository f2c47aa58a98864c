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


async def test_crashes_that_take_too_long_are_told_of_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.cli.bench.crashes.LIMIT", 0.01)

    with pytest.raises(RuntimeError, match=r"within 0\.01 s; measure anew on a quiet"):
        await restart_time(COMMAND, {})


async def test_where_a_good_event_is_late_the_machine_is_to_be_quieter() -> None:
    with pytest.raises(RuntimeError, match=r"(Timedout|Exceeded).*; measure anew on a quiet"):
        await crash_times(COMMAND, {"PYTHONPATH": str(FUNCTIONS)}, limit=1e-6)
