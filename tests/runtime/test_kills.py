"""A small sample of the random kills; `make kills` is the full size."""

import logging
import random

import pytest
import trio

from actors.process import Process
from tests.runtime.kills import EVENTS, Busy, Mixed, RandomKiller, many, point
from tests.runtime.sweep import Point, run

RUNS = 40


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> object:
    # Set by each run; put back afterwards.
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_whoever_is_killed_no_event_is_lost_doubled_or_begun_twice() -> None:
    seed = random.randrange(1 << 30)

    counts, killed, failures = many(RUNS, seed)

    assert not failures, "\n".join(failures[:20])
    assert counts["events"] == RUNS * EVENTS
    assert counts["kills"] >= RUNS, seed
    assert {"poller", "dispatcher", "worker", "responder"} <= set(killed), seed


def test_a_seed_is_one_run() -> None:
    assert point(7) == point(7)
    assert len({point(seed) for seed in range(20)}) == 20


class Sparing(RandomKiller):
    """Cuts off a worker behind the verdict's back."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.killed.clear()


def test_a_result_lost_with_somebody_else_would_be_told() -> None:
    told: list[str] = []
    for step in range(30, 70):
        spared = Point(1, 1 << 30, True, ((step, "worker"),), step)
        told += run(spared, Sparing(spared), Busy, Mixed).wrong

    assert told
    assert all("came out as" in wrong and "Runtime.WorkerExited" in wrong for wrong in told)
