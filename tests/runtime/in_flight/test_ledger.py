"""What goes on past its deadline is counted while it does; what nobody serves ends the process."""

import pytest
import trio

from okibi.actors import Actor, Name
from okibi.runtime.in_flight.handover import tell
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import ABANDON_LIMIT, HANGS, STARTS_LIMIT, Ledger
from tests.support.doubles import worker
from tests.support.lanes import Wire
from tests.support.memory_platform import NoWatchdog


def ledger(lanes: int = 1) -> tuple[Ledger, list[str]]:
    failures: list[str] = []
    made = [Lane(n, b"api") for n in range(lanes)]
    return Ledger(made, failures.append, NoWatchdog()), failures


def test_too_much_that_does_not_end_ends_the_process() -> None:
    made, failures = ledger()

    for _ in range(ABANDON_LIMIT):
        made.abandon("a thread", lambda: True)
    assert not failures
    made.abandon("the last thread", lambda: True)

    (why,) = failures
    assert why == "the last thread is one of 9 that do not end in time"


def test_what_has_ended_by_itself_is_counted_no_more() -> None:
    made, failures = ledger()

    for _ in range(5 * ABANDON_LIMIT):
        made.abandon("a thread", lambda: False)

    assert not failures


def test_each_lane_may_leave_as_much_behind_as_a_single_one() -> None:
    made, failures = ledger(2)

    for _ in range(2 * ABANDON_LIMIT):
        made.abandon("a thread", lambda: True)
    assert not failures
    made.abandon("a thread", lambda: True)

    assert failures


def test_the_process_ends_when_the_last_worker_is_abandoned_and_the_others_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.workers = 3
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(2):
        at[0] += HANGS
        made.abandon_worker(worker(), lambda: True)
    assert not failures
    at[0] += HANGS
    made.abandon_worker(worker(), lambda: True)

    assert len(failures) == 1
    assert "no worker is left" in failures[0]


def test_workers_that_are_abandoned_at_once_have_the_time_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.workers = 2
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(2):
        made.abandon_worker(worker(), lambda: True)
    made.look_for_workers()
    assert not failures
    at[0] += HANGS
    made.look_for_workers()

    assert len(failures) == 1


def test_a_worker_that_has_ended_has_left_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    made, failures = ledger()
    made.workers = 2
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(4):
        at[0] += HANGS
        made.abandon_worker(worker(alive=False), lambda: True)
        made.look_for_workers()

    assert not failures


def test_the_only_worker_may_be_abandoned_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.workers = 1
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)
    made.abandon_worker(worker(), lambda: True)

    assert not failures


# -- lanes that do not serve


def test_a_single_lane_that_is_lost_ends_the_process() -> None:
    made, failures = ledger()

    made.lost(made.lanes[0], "no connection")

    assert failures == ["no connection"]


def test_of_many_the_last_lane_that_is_lost_ends_the_process() -> None:
    made, failures = ledger(3)
    first, second, third = made.lanes

    made.lost(first, "one")
    made.lost(second, "two")
    made.lost(second, "two again")
    assert not failures
    made.lost(third, "three")

    assert failures == ["three"]


def test_a_lane_that_has_a_connection_again_counts_as_one_that_serves() -> None:
    made, failures = ledger(2)
    made.lost(made.lanes[0], "one")

    made.lanes[0].connected(Wire())
    made.lost(made.lanes[1], "two")

    assert not failures


def test_actors_that_start_again_and_again_without_an_event_are_a_lost_lane() -> None:
    made, failures = ledger(2)

    for lane in made.lanes:
        for _ in range(STARTS_LIMIT):
            made.started(lane)
        assert not lane.lost
        made.started(lane)
        assert lane.lost

    assert len(failures) == 1
    assert "have started 11 times without an event" in failures[0]


def test_workers_that_start_again_and_again_and_never_get_ready_end_the_process() -> None:
    made, failures = ledger(2)

    for _ in range(2 * STARTS_LIMIT):
        made.worker_started()
    assert not failures
    made.worker_started()

    assert failures == ["workers have started 21 times, and none has become ready"]


async def test_as_long_as_one_serves_the_others_starts_are_not_counted() -> None:
    made, failures = ledger(2)
    serving = worker()
    made.worker_ready(serving)

    for _ in range(10 * STARTS_LIMIT):
        made.worker_started()
    # For the moment in which it replaces its instance there is none.
    made.worker_not_ready(serving)
    made.worker_started()
    made.worker_ready(serving)
    made.worker_not_ready(serving)
    for _ in range(2 * STARTS_LIMIT):
        made.worker_started()

    assert not failures


def test_a_single_lane_s_starts_are_its_supervisor_s_to_count() -> None:
    made, failures = ledger()

    for _ in range(5 * STARTS_LIMIT):
        made.started(made.lanes[0])

    assert not failures


async def test_a_wake_up_for_nobody_is_no_error() -> None:
    tell(Name("nobody", Actor))
