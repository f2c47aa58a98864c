"""Every row of the table of classify connections."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss, Resend, classify_loss

NOTHING, NEXT, STATUS, STATUS_NEXT = Expected
SIZE = 100


def classify(
    expected: Expected,
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
def test_nothing_is_lost_if_nothing_is_expected(waiting: bool, streams: bool) -> None:
    assert (
        classify(NOTHING, left=SIZE if waiting else 0, waiting=waiting, streams=streams)
        is Loss.NOTHING
    )


@pytest.mark.parametrize(
    ("waiting", "announced", "loss"),
    [
        (False, False, Loss.MAYBE_EVENT),
        (True, False, Loss.NOTHING),
        (False, True, Loss.NOTHING),
        (True, True, Loss.NOTHING),
    ],
)
def test_an_event_may_be_lost_only_after_a_written_get(
    waiting: bool, announced: bool, loss: Loss
) -> None:
    assert classify(NEXT, waiting=waiting, announced=announced) is loss


@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("expected", [STATUS, STATUS_NEXT])
@pytest.mark.parametrize("streams", [False, True])
def test_an_unwritten_response_is_sent_again(
    expected: Expected, resent: bool, streams: bool
) -> None:
    loss = classify(expected, left=SIZE, waiting=True, resent=resent, streams=streams)

    assert loss is Loss.RESEND


@pytest.mark.parametrize(
    ("expected", "waiting", "loss"),
    [
        (STATUS, False, Loss.RESEND),
        # The GET after the response was not written in full, and is no request.
        (STATUS_NEXT, True, Loss.RESEND),
        (STATUS_NEXT, False, Loss.RESEND_MAYBE_EVENT),
    ],
)
@pytest.mark.parametrize("announced", [False, True])
def test_a_written_response_is_sent_again_but_only_once(
    expected: Expected, waiting: bool, loss: Loss, announced: bool
) -> None:
    assert classify(expected, waiting=waiting, announced=announced) is loss
    assert classify(expected, waiting=waiting, announced=announced, resent=True) is Loss.SENT_TWICE


@pytest.mark.parametrize("left", [1, 50, SIZE - 1])
@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_a_response_written_in_part_is_cut(left: int, resent: bool, streams: bool) -> None:
    assert classify(STATUS, left=left, waiting=True, resent=resent, streams=streams) is Loss.CUT


def test_an_open_stream_is_cut_between_two_pieces_too() -> None:
    assert classify(STATUS, streams=True) is Loss.CUT


# -- the second copy of a response


def second_copy() -> Resend:
    resend = Resend()
    resend.take_break(0)
    return resend


@pytest.mark.parametrize("left", [1, SIZE])
def test_a_copy_is_the_second_once_all_of_one_was_written(left: int) -> None:
    resend = Resend()

    sent = list[bool]()
    for unwritten in (left, 0, left):
        resend.take_break(unwritten)
        sent.append(resend.sent)

    assert sent == [False, True, True]


@pytest.mark.parametrize("status", [202, 400, 403])
def test_only_a_403_to_a_second_copy_is_noted(status: int) -> None:
    first, second = Resend(), second_copy()
    for each in (first, second):
        each.take_status(status)

    assert (first.sent, first.refused) == (False, False)
    assert (second.sent, second.refused) == (False, status == 403)


def test_after_a_clear_the_next_copy_is_the_first() -> None:
    resend = second_copy()
    resend.clear()
    resend.take_status(403)

    assert not resend.refused
