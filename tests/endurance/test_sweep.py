"""A fixed sample of the kill sweep; `python -m tests.endurance.sweep` runs all."""

import pytest

from tests.endurance.sweep import sweep
from tests.support.seeded import seeded

pytestmark = pytest.mark.usefixtures(seeded.__name__)


@pytest.mark.slow
def test_after_a_kill_at_any_step_each_event_is_answered_once() -> None:
    every = 127  # a prime, so that the sample contains every kind of kill
    counts, failures = sweep(every)

    assert not failures, "\n".join(failures[:20])
    assert counts["points"] >= 38_000 // every
    assert counts["of streams"] >= 12_700 // every
    assert counts["1 killed"] >= 12_700 // every
    assert counts["2 killed"] >= 25_400 // every
    assert counts["results lost with their worker"] <= counts["points"] // 20
