"""What goes on past its deadline is counted while it does; what nobody serves ends the process."""

import pytest
import trio

from okibi.actors import Actor, Name
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import ABANDON_LIMIT, HANG_SECONDS, STARTS_LIMIT, Ledger
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
        made.count_abandoned("a thread", lambda: True)
    assert not failures
    made.count_abandoned("the last thread", lambda: True)

    (why,) = failures
    assert (
        why
        == "9 abandoned threads or workers are still running (limit 8); the last is the last thread"
    )


def test_what_has_ended_by_itself_is_counted_no_more() -> None:
    made, failures = ledger()

    for _ in range(5 * ABANDON_LIMIT):
        made.count_abandoned("a thread", lambda: False)

    assert not failures


def test_each_lane_may_leave_as_much_behind_as_a_single_one() -> None:
    made, failures = ledger(2)

    for _ in range(2 * ABANDON_LIMIT):
        made.count_abandoned("a thread", lambda: True)
    assert not failures
    made.count_abandoned("a thread", lambda: True)

    assert failures


def test_the_process_ends_when_the_last_worker_is_abandoned_and_the_others_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.worker_count = 3
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(2):
        at[0] += HANG_SECONDS
        made.count_abandoned_worker(worker(), lambda: True)
    assert not failures
    at[0] += HANG_SECONDS
    made.count_abandoned_worker(worker(), lambda: True)

    assert len(failures) == 1
    assert "no worker is left" in failures[0]


def test_workers_that_are_abandoned_at_once_have_the_time_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.worker_count = 2
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(2):
        made.count_abandoned_worker(worker(), lambda: True)
    made.check_workers()
    assert not failures
    at[0] += HANG_SECONDS
    made.check_workers()

    assert len(failures) == 1


def test_a_worker_that_has_ended_has_left_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    made, failures = ledger()
    made.worker_count = 2
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(4):
        at[0] += HANG_SECONDS
        made.count_abandoned_worker(worker(alive=False), lambda: True)
        made.check_workers()

    assert not failures


def test_the_only_worker_may_be_abandoned_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.worker_count = 1
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)
    made.count_abandoned_worker(worker(), lambda: True)

    assert not failures


# -- lanes that do not serve


def test_a_single_lane_that_is_lost_ends_the_process() -> None:
    made, failures = ledger()

    made.mark_unavailable(made.lanes[0], "no connection")

    assert failures == ["no connection"]


def test_of_many_the_last_lane_that_is_lost_ends_the_process() -> None:
    made, failures = ledger(3)
    first, second, third = made.lanes

    made.mark_unavailable(first, "one")
    made.mark_unavailable(second, "two")
    made.mark_unavailable(second, "two again")
    assert not failures
    made.mark_unavailable(third, "three")

    assert failures == ["three"]


def test_a_lane_that_has_a_connection_again_counts_as_one_that_serves() -> None:
    made, failures = ledger(2)
    made.mark_unavailable(made.lanes[0], "one")

    made.lanes[0].attach(Wire())
    made.mark_unavailable(made.lanes[1], "two")

    assert not failures


def test_actors_that_start_again_and_again_without_an_event_are_a_lost_lane() -> None:
    made, failures = ledger(2)

    for lane in made.lanes:
        for _ in range(STARTS_LIMIT):
            made.count_start(lane)
        assert not lane.unavailable
        made.count_start(lane)
        assert lane.unavailable

    assert len(failures) == 1
    assert "have started 11 times without an event" in failures[0]


def test_workers_that_start_again_and_again_and_never_get_ready_end_the_process() -> None:
    made, failures = ledger(2)

    for _ in range(2 * STARTS_LIMIT):
        made.count_worker_start()
    assert not failures
    made.count_worker_start()

    assert failures == ["workers have started 21 times, and none has become ready"]


async def test_as_long_as_one_serves_the_others_starts_are_not_counted() -> None:
    made, failures = ledger(2)
    serving = worker()
    made.add_worker(serving)

    for _ in range(10 * STARTS_LIMIT):
        made.count_worker_start()
    # For the moment in which it replaces its instance there is none.
    made.remove_worker(serving)
    made.count_worker_start()
    made.add_worker(serving)
    made.remove_worker(serving)
    for _ in range(2 * STARTS_LIMIT):
        made.count_worker_start()

    assert not failures


def test_a_single_lane_s_starts_are_its_supervisor_s_to_count() -> None:
    made, failures = ledger()

    for _ in range(5 * STARTS_LIMIT):
        made.count_start(made.lanes[0])

    assert not failures


async def test_a_wake_up_for_nobody_is_no_error() -> None:
    wake(Name("nobody", Actor))
