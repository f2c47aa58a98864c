"""A small sample of the random kills; `make kills` is the full size."""

import random
from collections import Counter

import pytest

from okibi.actors import trio_internals
from okibi.actors.process import Process
from tests.endurance import kills
from tests.endurance.kills import EVENTS, Busy, Mixed, RandomKiller, many, point
from tests.endurance.sweep import run
from tests.support.memory_platform import ALL, Point
from tests.support.seeded import seeded

RUNS = 30


pytestmark = pytest.mark.usefixtures(seeded.__name__)


@pytest.mark.parametrize("release", ["known", pytest.param("another", marks=pytest.mark.slow)])
def test_whoever_is_killed_no_event_is_lost_doubled_or_begun_twice(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if release == "another":
        monkeypatch.setattr(trio_internals, "CONTEXT", None)
    seed = random.randrange(1 << 30)

    counts, killed, failures = many(RUNS, seed)

    assert not failures, "\n".join(failures[:20])
    assert counts["events"] == RUNS * EVENTS
    assert counts["kills"] >= RUNS, seed
    assert {"poller", "dispatcher", "worker", "responder"} <= set(killed), seed


def test_a_seed_is_one_run() -> None:
    assert point(7) == point(7)
    assert len({point(seed) for seed in range(20)}) == 20


@pytest.mark.slow
def test_a_worker_that_a_failed_start_stops_answers_that_it_was_stopped() -> None:
    lost: Counter[str] = Counter()
    for gap in range(50, 100, 2):
        # Odd: while `workers` is started again, one that is just being started is killed.
        made = Point(8, ALL, True, ((34, "workers"), (34 + gap, "worker")), 1)
        result = run(made, RandomKiller(made), Busy, Mixed)
        assert not result.wrong, (gap, result.wrong)
        lost += result.lost

    assert lost["Runtime.Stopped"]
    assert set(lost) == {"Runtime.Stopped", "Runtime.WorkerExited"}


class Sparing(RandomKiller):
    """Cuts off a worker behind the verdict's back."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.killed.clear()


class Mistaking(RandomKiller):
    """Has the verdict expect another error."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.killed = {each: {"Runtime.Stopped"} for each in self.killed}


@pytest.mark.slow
@pytest.mark.parametrize("killer", [Sparing, Mistaking])
def test_an_error_that_no_kill_explains_would_be_told(killer: type[RandomKiller]) -> None:
    told: list[str] = []
    for step in range(30, 70, 2):
        spared = Point(1, ALL, True, ((step, "worker"),), step)
        told += run(spared, killer(spared), Busy, Mixed).wrong

    assert told
    assert all("came out as" in wrong and "Runtime.WorkerExited" in wrong for wrong in told)


class Hasty(RandomKiller):
    """Has the verdict know of no pause."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.pauses.clear()


@pytest.mark.slow
def test_a_wait_that_no_kill_explains_would_be_told() -> None:
    told: list[str] = []
    for step in range(16, 110, 15):
        made = Point(8, 40, True, ((step, "responder"),), 1)
        told += run(made, Hasty(made), Busy, Mixed).wrong

    assert told
    assert all(wrong.endswith(" s late") for wrong in told)


@pytest.mark.slow
def test_a_late_event_with_nobody_to_answer_it_would_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Process) -> bool:
        return False

    monkeypatch.setattr(kills, "_is_the_end", never)
    told: list[str] = []
    for step in range(30, 90, 5):
        made = Point(8, ALL, True, ((step, "lambda"),), step)
        told += run(made, RandomKiller(made), Busy, Mixed).wrong

    assert any("the watchdog would end the process" in wrong for wrong in told)


def test_workers_are_spared_that_would_hold_up_the_dispatcher_s_start() -> None:
    # Killed while they are started again and the dispatcher is dead, a shielded handler among them.
    killed = ((27, "workers"), (175, "dispatcher"), (213, "workers"), (315, "worker"))
    killer = RandomKiller(Point(8, 40, True, killed, 1))
    result = run(killer.point, killer, Busy, Mixed)

    assert not result.wrong
    assert killer.counts["spared"] == 1
