"""A small sample of random kills; `make kills` is the full size."""

import random
from collections import Counter

import pytest

from okibi.actors import trio_internals
from okibi.actors.process import Process
from tests.endurance import kills
from tests.endurance.kills import EVENTS, BusyWorld, Mixed, RandomKiller, many, point
from tests.endurance.sweep import run
from tests.support.memory_platform import ALL, Point
from tests.support.seeded import seeded

RUNS = 30


pytestmark = pytest.mark.usefixtures(seeded.__name__)


@pytest.mark.parametrize("release", ["known", pytest.param("another", marks=pytest.mark.slow)])
def test_after_any_kills_no_event_is_lost_doubled_or_begun_twice(
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


def test_a_seed_determines_a_run() -> None:
    assert point(7) == point(7)
    assert len({point(seed) for seed in range(20)}) == 20


@pytest.mark.slow
def test_a_worker_stopped_by_a_failed_start_answers_stopped() -> None:
    lost: Counter[str] = Counter()
    for gap in range(50, 100, 2):
        # An odd seed: a worker that is being started is killed while `workers` restarts.
        made = Point(8, ALL, True, ((34, "workers"), (34 + gap, "worker")), 1)
        result = run(made, RandomKiller(made), BusyWorld, Mixed)
        assert not result.wrong, (gap, result.wrong)
        lost += result.lost

    assert lost["Runtime.Stopped"]
    assert set(lost) == {"Runtime.Stopped", "Runtime.WorkerExited"}


class Sparing(RandomKiller):
    """Kills a worker without recording the kill."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.killed.clear()


class Mistaking(RandomKiller):
    """Records another error than the worker's."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.killed = {each: {"Runtime.Stopped"} for each in self.killed}


@pytest.mark.slow
@pytest.mark.parametrize("killer", [Sparing, Mistaking])
def test_an_error_that_no_kill_explains_is_reported(killer: type[RandomKiller]) -> None:
    told: list[str] = []
    for step in range(30, 70, 2):
        spared = Point(1, ALL, True, ((step, "worker"),), step)
        told += run(spared, killer(spared), BusyWorld, Mixed).wrong

    assert told
    assert all("came out as" in wrong and "Runtime.WorkerExited" in wrong for wrong in told)


class Hasty(RandomKiller):
    """Records no back-off."""

    def _kill(self, root: Process, kind: str) -> None:
        super()._kill(root, kind)
        self.pauses.clear()


@pytest.mark.slow
def test_a_delay_that_no_kill_explains_is_reported() -> None:
    told: list[str] = []
    for step in range(16, 110, 15):
        made = Point(8, 40, True, ((step, "responder"),), 1)
        told += run(made, Hasty(made), BusyWorld, Mixed).wrong

    assert told
    assert all(wrong.endswith(" s late") for wrong in told)


@pytest.mark.slow
def test_a_late_event_without_a_response_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Process) -> bool:
        return False

    monkeypatch.setattr(kills, "_is_the_end", never)
    told: list[str] = []
    for step in range(30, 90, 5):
        made = Point(8, ALL, True, ((step, "lambda"),), step)
        told += run(made, RandomKiller(made), BusyWorld, Mixed).wrong

    assert any("the watchdog would end the process" in wrong for wrong in told)


def test_a_kill_that_would_delay_the_dispatcher_is_skipped() -> None:
    # Killed while they restart and the dispatcher is dead, with a shielded handler among them.
    killed = ((27, "workers"), (175, "dispatcher"), (213, "workers"), (315, "worker"))
    killer = RandomKiller(Point(8, 40, True, killed, 1))
    result = run(killer.point, killer, BusyWorld, Mixed)

    assert not result.wrong
    assert killer.counts["spared"] == 1
