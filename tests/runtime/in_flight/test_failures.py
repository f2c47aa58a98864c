"""The failures of a lane, and the pauses after them; without a lane."""

import pytest

from okibi.runtime.in_flight.failures import Failures, Repeats

HEADERS = {b"lambda-runtime-deadline-ms": b"1000", b"lambda-runtime-invocation-id": b"attempt-1"}


def test_each_refusal_doubles_the_pause_up_to_5_s() -> None:
    failures = Failures()
    pauses = list[float]()

    for _ in range(9):
        pauses.append(failures.pause)
        failures.count_refusal()

    assert pauses == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])


def test_an_event_clears_all_failures() -> None:
    failures = Failures()
    failures.count_refusal()
    assert [failures.count_start(), failures.count_start()] == [1, 2]
    assert [failures.mark_unavailable(), failures.mark_unavailable()] == [True, False]
    assert failures.count

    failures.clear()

    assert (failures.count, failures.pause, failures.unavailable) == (0, 0, False)
    assert failures.count_start() == 1


def test_a_connection_makes_a_lane_available_and_keeps_the_counts() -> None:
    failures = Failures()
    failures.count_refusal()
    failures.mark_unavailable()

    failures.mark_connected()

    assert (failures.unavailable, failures.refusals) == (False, 1)


def test_repeats_of_one_event_are_numbered() -> None:
    repeats = Repeats("id-1", HEADERS)

    assert [repeats.count("id-1", dict(HEADERS)) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("other", [{}, dict.fromkeys(HEADERS, b"other")])
def test_another_attempt_or_event_is_no_repeat(other: dict[bytes, bytes]) -> None:
    repeats = Repeats("id-1", HEADERS)

    assert repeats.count("id-1", other) == repeats.count("id-2", HEADERS) == 0
