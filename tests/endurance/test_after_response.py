"""A fixed sample; `python -m tests.endurance.after_response` runs all."""

import pytest

from tests.endurance.after_response import run_point, sweep
from tests.support.memory_platform import ALL, Point
from tests.support.seeded import seeded

pytestmark = pytest.mark.usefixtures(seeded.__name__)


def test_after_kills_around_follow_ups_each_event_is_answered_once() -> None:
    every, runs = 293, 2  # a prime, so that the sample contains every kind of kill
    counts, failures = sweep(every, runs, seed=1)

    assert not failures, "\n".join(failures[:20])
    assert counts["events, 1 at once"] >= 45_000 // every
    assert counts["events, 16 at once"] == 48 * runs


@pytest.mark.parametrize(
    "made",
    [
        Point(16, 7, True, ((518, "worker"),), 855259),
        Point(16, ALL, False, ((72, "worker"), (335, "dispatcher"), (507, "dispatcher")), 719557),
    ],
)
def test_no_event_is_given_to_an_instance_that_a_function_has_ended(made: Point) -> None:
    # A killed worker, while functions after other responses cancel their instances.
    assert run_point(made).wrong == ()
