"""A small sample of random kills while connections break; `make kills` is the full size."""

import random

import pytest

from okibi.runtime.in_flight.lane import Lane
from tests.endurance.kills import Mixed, many
from tests.endurance.kills_and_cuts import (
    NUMBERS,
    Breaker,
    BreakingWorld,
    Where,
    breaker_of,
    judge,
    once,
)
from tests.endurance.sweep import run
from tests.support.seeded import seeded

RUNS = 40


pytestmark = [pytest.mark.usefixtures(seeded.__name__), pytest.mark.slow]


def test_after_kills_and_cuts_every_loss_is_in_the_table() -> None:
    seed = random.randrange(1 << 30)

    counts, seen, failures = many(RUNS, seed, once, len(NUMBERS))

    assert not failures, "\n".join(failures[:20])
    assert counts["kills"] >= RUNS, seed
    assert {where.value for where in Where} <= set(seen), seed


class Unsaid(Breaker):
    """Breaks connections without recording it."""

    def _break(self, lane: Lane, where: Where) -> None:
        super()._break(lane, where)
        self.made.clear()


def test_a_loss_that_no_cut_explains_is_reported() -> None:
    told: list[str] = []
    for seed in range(20):
        made = breaker_of(seed)
        breaker = Unsaid(made.point, cuts=made.cuts)
        told += run(breaker.point, breaker, BreakingWorld, Mixed, judge).wrong

    assert any("was never answered" in wrong for wrong in told)
    assert any("the process was ended" in wrong for wrong in told)
    assert any("the API refused" in wrong for wrong in told)
    assert any("connections were made" in wrong for wrong in told)
