"""Real sandboxes on one cart; `make entities-sandboxes` is the full size."""

import pytest
import trio

from tests.entities.sandboxes import call_and_make_trouble, measure_take_over, run_sandboxes


@pytest.mark.slow
def test_stopped_and_killed_sandboxes_count_each_call_once() -> None:
    with run_sandboxes("sqlite", 6) as (dev, folder):
        assert trio.run(call_and_make_trouble, dev, folder, 6, 5.0, 1) == []


@pytest.mark.slow
def test_a_caller_takes_over_from_a_stopped_sandbox() -> None:
    with run_sandboxes("sqlite", 3) as (dev, folder):
        # On a busy machine the reply is later than the bar of `make entities-sandboxes`.
        assert trio.run(measure_take_over, dev, folder) > 0
