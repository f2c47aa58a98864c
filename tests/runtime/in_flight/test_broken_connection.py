"""What a broken connection means, row by row of the table, without a lane."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss, classify_loss

NEXT, ANSWER = Expected.NEXT, Expected.STATUS
SIZE = 100


def broken(
    *expected: Expected,
    left: int = 0,
    waiting: bool = False,
    streams: bool = False,
    resent: bool = False,
    announced: bool = False,
) -> Loss:
    return classify_loss(
        expected,
        SIZE,
        left,
        waiting=waiting,
        streams=streams,
        resent=resent,
        announced=announced,
    )


@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_with_nothing_owed_nothing_is_lost(waiting: bool, streams: bool) -> None:
    assert broken(left=SIZE if waiting else 0, waiting=waiting, streams=streams) is Loss.NOTHING


@pytest.mark.parametrize(
    ("waiting", "announced", "loss"),
    [
        (False, False, Loss.MAYBE_EVENT),
        (True, False, Loss.NOTHING),
        (False, True, Loss.NOTHING),
        (True, True, Loss.NOTHING),
    ],
)
def test_an_event_is_lost_only_to_a_request_that_was_written_and_would_be_answered(
    waiting: bool, announced: bool, loss: Loss
) -> None:
    assert broken(NEXT, waiting=waiting, announced=announced) is loss


@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("expected", [(ANSWER,), (ANSWER, NEXT)])
@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_of_which_nothing_is_out_is_sent_whatever_was_before(
    expected: tuple[Expected, ...], resent: bool, streams: bool
) -> None:
    loss = broken(*expected, left=SIZE, waiting=True, resent=resent, streams=streams)

    assert loss is Loss.RESEND


@pytest.mark.parametrize(
    ("expected", "waiting", "loss"),
    [
        ((ANSWER,), False, Loss.RESEND),
        # The GET behind it is not all out, so it was no request.
        ((ANSWER, NEXT), True, Loss.RESEND),
        ((ANSWER, NEXT), False, Loss.RESEND_MAYBE_EVENT),
    ],
)
@pytest.mark.parametrize("announced", [False, True])
def test_an_answer_that_is_all_out_is_sent_once_more_but_not_twice(
    expected: tuple[Expected, ...], waiting: bool, loss: Loss, announced: bool
) -> None:
    assert broken(*expected, waiting=waiting, announced=announced) is loss
    assert broken(*expected, waiting=waiting, announced=announced, resent=True) is Loss.SENT_TWICE


@pytest.mark.parametrize("left", [1, 50, SIZE - 1])
@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_an_answer_of_which_a_part_is_out_is_cut(left: int, resent: bool, streams: bool) -> None:
    assert broken(ANSWER, left=left, waiting=True, resent=resent, streams=streams) is Loss.CUT


def test_a_stream_that_may_go_on_is_cut_also_between_two_of_its_pieces() -> None:
    assert broken(ANSWER, streams=True) is Loss.CUT
