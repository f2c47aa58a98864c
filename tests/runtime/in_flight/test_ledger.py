"""The counts of abandoned threads, hanging workers and unavailable lanes."""

import pytest
import trio

from okibi.actors import Actor, Name
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import (
    ABANDON_LIMIT,
    HANG_SECONDS,
    NO_WORKER_READY,
    STARTS_LIMIT,
    Ledger,
)
from tests.support.doubles import worker
from tests.support.lanes import SilentConnection
from tests.support.memory_platform import NoWatchdog


def ledger(lanes: int = 1) -> tuple[Ledger, list[str]]:
    failures: list[str] = []
    made = [Lane(n, b"api") for n in range(lanes)]
    return Ledger(made, failures.append, NoWatchdog()), failures


def test_too_many_abandoned_threads_end_the_process() -> None:
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


def test_an_abandoned_thread_that_has_ended_is_not_counted() -> None:
    made, failures = ledger()

    for _ in range(5 * ABANDON_LIMIT):
        made.count_abandoned("a thread", lambda: False)

    assert not failures


def test_the_limit_of_abandoned_threads_is_per_lane() -> None:
    made, failures = ledger(2)

    for _ in range(2 * ABANDON_LIMIT):
        made.count_abandoned("a thread", lambda: True)
    assert not failures
    made.count_abandoned("a thread", lambda: True)

    assert failures


def test_the_process_ends_when_all_workers_hang(
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


def test_workers_abandoned_at_the_same_time_get_time_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.worker_count = 2
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)

    for _ in range(2):
        made.count_abandoned_worker(worker(), lambda: True)

    assert not failures


def test_an_abandoned_worker_that_has_ended_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    made, failures = ledger()
    made.worker_count = 2
    at = [0.0]
    monkeypatch.setattr(trio, "current_time", lambda: at[0])

    for _ in range(4):
        at[0] += HANG_SECONDS
        made.count_abandoned_worker(worker(alive=False), lambda: True)

    assert not failures


def test_abandoning_the_only_worker_does_not_end_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, failures = ledger()
    made.worker_count = 1
    monkeypatch.setattr(trio, "current_time", lambda: 0.0)
    made.count_abandoned_worker(worker(), lambda: True)

    assert not failures


def test_without_a_ready_worker_the_process_ends() -> None:
    made, failures = ledger()

    made.check_workers()

    assert failures == [NO_WORKER_READY]


def test_without_a_ready_worker_an_ending_process_goes_on() -> None:
    made, failures = ledger()
    made.lanes[0].stop_asking()

    made.check_workers()

    assert not failures


# -- unavailable lanes


def test_an_unavailable_single_lane_ends_the_process() -> None:
    made, failures = ledger()

    made.mark_unavailable(made.lanes[0], "no connection")

    assert failures == ["no connection"]


def test_the_last_of_several_unavailable_lanes_ends_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, failures = ledger(3)
    first, second, third = made.lanes

    made.mark_unavailable(first, "one")
    made.mark_unavailable(second, "two")
    made.mark_unavailable(second, "two again")
    assert not failures
    made.mark_unavailable(third, "three")

    assert failures == ["three"]
    assert [record.name for record in caplog.records] == ["okibi"] * 2


def test_a_lane_with_a_new_connection_is_available_again() -> None:
    made, failures = ledger(2)
    made.mark_unavailable(made.lanes[0], "one")

    made.lanes[0].attach(SilentConnection())
    made.mark_unavailable(made.lanes[1], "two")

    assert not failures


def test_repeated_starts_without_an_event_make_a_lane_unavailable() -> None:
    made, failures = ledger(2)

    for lane in made.lanes:
        for _ in range(STARTS_LIMIT):
            made.count_start(lane)
        assert not lane.failures.unavailable
        made.count_start(lane)
        assert lane.failures.unavailable

    assert len(failures) == 1
    assert "have started 11 times without an event" in failures[0]


def test_with_a_single_lane_the_supervisor_counts_starts() -> None:
    made, failures = ledger()

    for _ in range(5 * STARTS_LIMIT):
        made.count_start(made.lanes[0])

    assert not failures


async def test_waking_an_unregistered_name_is_no_error() -> None:
    wake(Name("nobody", Actor))
