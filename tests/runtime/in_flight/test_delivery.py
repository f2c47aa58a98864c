"""Every state and transition of a delivery, and who may take it."""

import threading
from collections.abc import Callable

import pytest

from okibi.runtime.in_flight.delivery import (
    TRANSITIONS,
    Delivery,
    DeliveryState,
)
from okibi.runtime.in_flight.stream import Stream
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import add_follow_up, brought_to, delivery, worker

WORKER, OTHER_WORKER = worker("/me"), worker("/other")

PERFORM: dict[str, Callable[[Delivery], bool]] = {
    "assign": lambda d: d.assign(WORKER),
    "give_back": Delivery.give_back,
    "begin": lambda d: d.begin(WORKER),
    "open_stream": lambda d: d.open_stream(Stream(print), WORKER),
    "settle": lambda d: d.settle(Outcome(b"late")),
    "stage": Delivery.stage,
    "unstage": Delivery.unstage,
    "ack": Delivery.ack,
    "begin_follow_ups": lambda d: d.begin_follow_ups(WORKER),
}

ALLOWED = {
    (DeliveryState.RECEIVED, "assign"): DeliveryState.ASSIGNED,
    (DeliveryState.RECEIVED, "settle"): DeliveryState.SETTLED,
    (DeliveryState.ASSIGNED, "give_back"): DeliveryState.RECEIVED,
    (DeliveryState.ASSIGNED, "begin"): DeliveryState.RUNNING,
    (DeliveryState.ASSIGNED, "settle"): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, "settle"): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, "open_stream"): DeliveryState.STREAMING,
    (DeliveryState.STREAMING, "settle"): DeliveryState.SETTLED,
    (DeliveryState.SETTLED, "stage"): DeliveryState.STAGED,
    (DeliveryState.STAGED, "unstage"): DeliveryState.SETTLED,
    (DeliveryState.STAGED, "ack"): DeliveryState.ACKED,
    (DeliveryState.ACKED, "begin_follow_ups"): DeliveryState.FOLLOWING_UP,
    (DeliveryState.ACKED, "finish"): DeliveryState.FINISHED,
    (DeliveryState.FOLLOWING_UP, "finish"): DeliveryState.FINISHED,
}


@pytest.mark.parametrize("state", list(DeliveryState))
@pytest.mark.parametrize("transition", PERFORM)
def test_a_transition_is_taken_only_if_the_table_allows_it(
    state: DeliveryState, transition: str
) -> None:
    made = brought_to(state, WORKER)

    moved = PERFORM[transition](made)

    assert moved is ((state, transition) in ALLOWED)
    assert made.state is ALLOWED.get((state, transition), state)


def test_the_table_has_these_transitions_and_no_others() -> None:
    found = {(state, name): row[state] for name, row in TRANSITIONS.items() for state in row}

    assert found == ALLOWED
    assert len(DeliveryState) == 9
    assert {*TRANSITIONS} == {*PERFORM, "finish"}


@pytest.mark.parametrize("state", list(DeliveryState))
def test_follow_ups_end_once_at_any_state(state: DeliveryState) -> None:
    made = brought_to(state, WORKER)
    if made.unsettled:
        add_follow_up(made)
    has_follow_ups = made.follow_ups is not None

    assert made.finish() is has_follow_ups
    assert not made.finish()

    assert made.follow_ups is None
    assert made.state is (DeliveryState.FINISHED if state >= DeliveryState.ACKED else state)


@pytest.mark.parametrize("state", list(DeliveryState))
def test_only_an_unsettled_delivery_takes_its_first_follow_up(state: DeliveryState) -> None:
    made = brought_to(state, WORKER)
    had = made.follow_ups

    assert (made.open_follow_ups() is not None) is (made.unsettled or had is not None)


def test_a_delivery_with_follow_ups_is_unfinished_until_they_end() -> None:
    plain, made = brought_to(DeliveryState.STAGED), brought_to(DeliveryState.ACKED, WORKER)

    assert not plain.unfinished
    assert made.unfinished
    assert made.begin_follow_ups(WORKER)
    assert made.unfinished
    assert made.finish()
    assert not made.unfinished


def test_only_the_worker_of_the_handler_begins_the_follow_ups() -> None:
    made = brought_to(DeliveryState.ACKED, WORKER)

    assert not made.begin_follow_ups(OTHER_WORKER)
    assert made.begin_follow_ups(WORKER)


def test_dropped_follow_ups_do_not_begin() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)
    add_follow_up(made)
    assert made.settle(Outcome(b"1"), WORKER)
    assert made.finish()
    assert made.stage()
    assert made.ack()

    assert not made.begin_follow_ups(WORKER)
    assert made.state is DeliveryState.ACKED


def test_an_event_ends_by_a_claim_only_while_no_response_is_on_its_way() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)
    add_follow_up(made)
    assert made.settle(Outcome(b"1"), WORKER)

    claims = [made.claim_end()]
    for step in (made.stage, made.ack):
        assert step()
        claims.append(made.claim_end())

    assert claims == [False, False, True]
    assert not made.finish()


@pytest.mark.parametrize("state", list(DeliveryState))
def test_a_delivery_is_unsettled_until_the_state_settled(state: DeliveryState) -> None:
    assert brought_to(state).unsettled is (state < DeliveryState.SETTLED)


def test_only_the_assigned_worker_begins_a_delivery() -> None:
    made = brought_to(DeliveryState.ASSIGNED, WORKER)

    assert not made.begin(OTHER_WORKER)
    assert made.begin(WORKER)


def test_a_delivery_begins_once() -> None:
    made = brought_to(DeliveryState.ASSIGNED, WORKER)

    assert [made.begin(WORKER), made.begin(WORKER)] == [True, False]
    assert made.begun == 1


def test_the_old_worker_cannot_begin_a_delivery_given_back() -> None:
    made = brought_to(DeliveryState.ASSIGNED, WORKER)

    assert made.give_back()

    assert made.worker is None
    assert not made.begin(WORKER)
    assert made.assign(OTHER_WORKER)
    assert not made.begin(WORKER)
    assert made.begin(OTHER_WORKER)


@pytest.mark.parametrize("state", [DeliveryState.RUNNING, DeliveryState.STREAMING])
def test_a_delivery_that_has_begun_cannot_be_given_back(state: DeliveryState) -> None:
    assert not brought_to(state, WORKER).give_back()


def test_only_the_running_worker_opens_a_stream_and_once() -> None:
    made, first, second = brought_to(DeliveryState.RUNNING, WORKER), Stream(print), Stream(print)

    assert not made.open_stream(first, OTHER_WORKER)
    assert not made.open_stream(first, None)
    assert made.open_stream(first, WORKER)
    assert not made.open_stream(second, WORKER)

    assert made.stream is first


def test_a_stream_is_settled_once_by_its_worker_or_the_dispatcher() -> None:
    mine, others = (
        brought_to(DeliveryState.STREAMING, WORKER),
        brought_to(DeliveryState.STREAMING, WORKER),
    )

    assert not mine.settle(Outcome(b"not mine"), OTHER_WORKER)
    assert mine.settle(Outcome(b""), WORKER)
    assert not mine.settle(Outcome(b"late"))
    assert others.settle(Outcome(b"its worker died"))
    assert not others.settle(Outcome(b""), WORKER)


def test_the_first_outcome_wins() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)

    assert made.settle(Outcome(b"first"), WORKER)
    assert not made.settle(Outcome(b"second"), WORKER)
    assert not made.settle(Outcome(b"third"))

    assert made.outcome is not None
    assert made.outcome.body == b"first"


@pytest.mark.parametrize("state", [DeliveryState.RECEIVED, DeliveryState.ASSIGNED])
def test_a_worker_settles_only_a_delivery_that_it_has_begun(state: DeliveryState) -> None:
    assert not brought_to(state, WORKER).settle(Outcome(b"early"), WORKER)


def test_a_worker_settles_only_its_own_delivery() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)

    assert not made.settle(Outcome(b"not mine"), OTHER_WORKER)
    assert made.settle(Outcome(b"mine"), WORKER)


def test_a_refused_settle_does_not_take_the_right_to_settle() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)
    made.settle(Outcome(b"not mine"), OTHER_WORKER)

    assert made.claim()


def test_a_claimed_delivery_cannot_be_settled() -> None:
    made = brought_to(DeliveryState.RUNNING, WORKER)

    assert made.claim()

    assert not made.settle(Outcome(b"too late"), WORKER)
    assert not made.settle(Outcome(b"too late"))
    assert made.unsettled


def test_one_of_many_claiming_threads_succeeds() -> None:
    made, claims, start = delivery(), list[bool](), threading.Barrier(8)

    def claim() -> None:
        start.wait()
        claims.append(made.claim())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claims) == [False] * 7 + [True]


def test_a_response_staged_again_keeps_its_outcome() -> None:
    made = brought_to(DeliveryState.STAGED, WORKER)
    outcome = made.outcome

    assert made.unstage()
    assert made.stage()

    assert made.outcome is outcome
    assert made.begun == 1


def test_deliveries_with_the_same_request_id_are_distinct() -> None:
    first, second = delivery(request_id="again"), delivery(request_id="again")

    assert first != second
    assert first.claim()
    assert second.claim()
