"""The table of a delivery, cell by cell, and its fences."""

import threading
from collections.abc import Callable

import pytest

from okibi.runtime.in_flight.delivery import (
    TRANSITIONS,
    Delivery,
    DeliveryState,
    DeliveryTransition,
)
from okibi.runtime.in_flight.stream import Stream
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import brought_to, delivery, worker

ME, OTHER = worker("/me"), worker("/other")

PERFORM: dict[DeliveryTransition, Callable[[Delivery], bool]] = {
    DeliveryTransition.ASSIGN: lambda d: d.assign(ME),
    DeliveryTransition.RETURN: Delivery.give_back,
    DeliveryTransition.BEGIN: lambda d: d.begin(ME),
    DeliveryTransition.STREAM: lambda d: d.open_stream(Stream(print), ME),
    DeliveryTransition.SETTLE: lambda d: d.settle(Outcome(b"late")),
    DeliveryTransition.STAGE: Delivery.stage,
    DeliveryTransition.UNSTAGE: Delivery.unstage,
    DeliveryTransition.ACK: Delivery.ack,
}

ALLOWED = {
    (DeliveryState.RECEIVED, DeliveryTransition.ASSIGN): DeliveryState.ASSIGNED,
    (DeliveryState.RECEIVED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.ASSIGNED, DeliveryTransition.RETURN): DeliveryState.RECEIVED,
    (DeliveryState.ASSIGNED, DeliveryTransition.BEGIN): DeliveryState.RUNNING,
    (DeliveryState.ASSIGNED, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.RUNNING, DeliveryTransition.STREAM): DeliveryState.STREAMING,
    (DeliveryState.STREAMING, DeliveryTransition.SETTLE): DeliveryState.SETTLED,
    (DeliveryState.SETTLED, DeliveryTransition.STAGE): DeliveryState.STAGED,
    (DeliveryState.STAGED, DeliveryTransition.UNSTAGE): DeliveryState.SETTLED,
    (DeliveryState.STAGED, DeliveryTransition.ACK): DeliveryState.ACKED,
}


@pytest.mark.parametrize("state", list(DeliveryState))
@pytest.mark.parametrize("move", list(DeliveryTransition))
def test_a_move_is_made_exactly_where_the_table_has_it(
    state: DeliveryState, move: DeliveryTransition
) -> None:
    made = brought_to(state, ME)

    moved = PERFORM[move](made)

    assert moved is ((state, move) in ALLOWED)
    assert made.state is ALLOWED.get((state, move), state)


def test_the_table_holds_these_moves_and_no_others() -> None:
    assert dict(TRANSITIONS) == ALLOWED


@pytest.mark.parametrize("state", list(DeliveryState))
def test_it_waits_for_an_answer_until_it_is_settled(state: DeliveryState) -> None:
    assert brought_to(state).unsettled is (state < DeliveryState.SETTLED)


def test_only_the_worker_it_is_assigned_to_begins_it() -> None:
    made = brought_to(DeliveryState.ASSIGNED, ME)

    assert not made.begin(OTHER)
    assert made.begin(ME)


def test_it_is_begun_once() -> None:
    made = brought_to(DeliveryState.ASSIGNED, ME)

    assert [made.begin(ME), made.begin(ME)] == [True, False]
    assert made.begun == 1


def test_given_back_it_is_nobody_s_and_its_old_worker_cannot_begin_it() -> None:
    made = brought_to(DeliveryState.ASSIGNED, ME)

    assert made.give_back()

    assert made.worker is None
    assert not made.begin(ME)
    assert made.assign(OTHER)
    assert not made.begin(ME)
    assert made.begin(OTHER)


@pytest.mark.parametrize("state", [DeliveryState.RUNNING, DeliveryState.STREAMING])
def test_once_begun_it_is_never_given_back(state: DeliveryState) -> None:
    assert not brought_to(state, ME).give_back()


def test_only_the_worker_that_runs_it_answers_in_pieces_and_once() -> None:
    made, first, second = brought_to(DeliveryState.RUNNING, ME), Stream(print), Stream(print)

    assert not made.open_stream(first, OTHER)
    assert not made.open_stream(first, None)
    assert made.open_stream(first, ME)
    assert not made.open_stream(second, ME)

    assert made.stream is first


def test_how_a_stream_ended_is_said_once_by_its_worker_or_in_its_place() -> None:
    mine, others = brought_to(DeliveryState.STREAMING, ME), brought_to(DeliveryState.STREAMING, ME)

    assert not mine.settle(Outcome(b"not mine"), OTHER)
    assert mine.settle(Outcome(b""), ME)
    assert not mine.settle(Outcome(b"late"))
    assert others.settle(Outcome(b"its worker died"))
    assert not others.settle(Outcome(b""), ME)


def test_the_first_answer_wins() -> None:
    made = brought_to(DeliveryState.RUNNING, ME)

    assert made.settle(Outcome(b"first"), ME)
    assert not made.settle(Outcome(b"second"), ME)
    assert not made.settle(Outcome(b"third"))

    assert made.outcome is not None
    assert made.outcome.body == b"first"


@pytest.mark.parametrize("state", [DeliveryState.RECEIVED, DeliveryState.ASSIGNED])
def test_a_worker_answers_only_what_it_has_begun(state: DeliveryState) -> None:
    assert not brought_to(state, ME).settle(Outcome(b"early"), ME)


def test_a_worker_answers_only_what_is_its_own() -> None:
    made = brought_to(DeliveryState.RUNNING, ME)

    assert not made.settle(Outcome(b"not mine"), OTHER)
    assert made.settle(Outcome(b"mine"), ME)


def test_a_refused_answer_leaves_the_right_to_answer_where_it_was() -> None:
    made = brought_to(DeliveryState.RUNNING, ME)
    made.settle(Outcome(b"not mine"), OTHER)

    assert made.claim()


def test_what_is_claimed_can_be_settled_by_nobody_else() -> None:
    made = brought_to(DeliveryState.RUNNING, ME)

    assert made.claim()

    assert not made.settle(Outcome(b"too late"), ME)
    assert not made.settle(Outcome(b"too late"))
    assert made.unsettled


def test_of_many_threads_that_claim_it_one_gets_it() -> None:
    made, got, start = delivery(), list[bool](), threading.Barrier(8)

    def claim() -> None:
        start.wait()
        got.append(made.claim())

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got) == [False] * 7 + [True]


def test_an_answer_sent_once_more_is_the_same_answer() -> None:
    made = brought_to(DeliveryState.STAGED, ME)
    outcome = made.outcome

    assert made.unstage()
    assert made.stage()

    assert made.outcome is outcome
    assert made.begun == 1


def test_two_deliveries_of_one_request_id_are_two() -> None:
    first, second = delivery(request_id="again"), delivery(request_id="again")

    assert first != second
    assert first.claim()
    assert second.claim()
