"""A small sample of the random kills while connections break; `make kills` is the full size."""

import random

import pytest

from okibi.runtime.in_flight.lane import Lane
from tests.endurance.kills import Mixed, many
from tests.endurance.kills_and_cuts import (
    NUMBERS,
    Breaker,
    Breaking,
    Where,
    breaker_of,
    judge,
    once,
)
from tests.endurance.sweep import run
from tests.support.seeded import seeded

RUNS = 40


pytestmark = [pytest.mark.usefixtures(seeded.__name__), pytest.mark.slow]


def test_whoever_is_killed_as_a_connection_breaks_what_is_lost_is_in_the_table_of_losses() -> None:
    seed = random.randrange(1 << 30)

    counts, seen, failures = many(RUNS, seed, once, len(NUMBERS))

    assert not failures, "\n".join(failures[:20])
    assert counts["kills"] >= RUNS, seed
    assert {where.value for where in Where} <= set(seen), seed


class Unsaid(Breaker):
    """Breaks connections behind the verdict's back."""

    def _break(self, lane: Lane, where: Where) -> None:
        super()._break(lane, where)
        self.made.clear()


def test_what_no_broken_connection_explains_would_be_told() -> None:
    told: list[str] = []
    for seed in range(20):
        made = breaker_of(seed)
        breaker = Unsaid(made.point, cuts=made.cuts)
        told += run(breaker.point, breaker, Breaking, Mixed, judge).wrong

    assert any("was never answered" in wrong for wrong in told)
    assert any("the process was ended" in wrong for wrong in told)
    assert any("the API refused" in wrong for wrong in told)
    assert any("connections were made" in wrong for wrong in told)
