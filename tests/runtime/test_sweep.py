"""A fixed sample of the kill sweep; `python -m tests.runtime.sweep` is the whole of it."""

import pytest

from tests.runtime.seeded import seeded
from tests.runtime.sweep import sweep

pytestmark = pytest.mark.usefixtures(seeded.__name__)

# Prime, so that the sample meets every kind of kill.
EVERY = 127


def test_whoever_is_killed_at_whatever_step_each_event_is_answered_once() -> None:
    counts, failures = sweep(EVERY)

    assert not failures, "\n".join(failures[:20])
    assert counts["points"] >= 300
    assert counts["of streams"] >= 100
    assert counts["1 killed"] >= 100
    assert counts["2 killed"] >= 200
    assert counts["results lost with their worker"] <= counts["points"] // 20
