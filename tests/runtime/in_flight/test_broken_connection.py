"""Every row of the table of classify connections."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss, classify_loss

NEXT, STATUS = Expected.NEXT, Expected.STATUS
SIZE = 100


def classify(
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
def test_nothing_is_lost_if_nothing_is_expected(waiting: bool, streams: bool) -> None:
    assert classify(left=SIZE if waiting else 0, waiting=waiting, streams=streams) is Loss.NOTHING


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
@pytest.mark.parametrize("expected", [(STATUS,), (STATUS, NEXT)])
@pytest.mark.parametrize("streams", [False, True])
def test_an_unwritten_response_is_sent_again(
    expected: tuple[Expected, ...], resent: bool, streams: bool
) -> None:
    loss = classify(*expected, left=SIZE, waiting=True, resent=resent, streams=streams)

    assert loss is Loss.RESEND


@pytest.mark.parametrize(
    ("expected", "waiting", "loss"),
    [
        ((STATUS,), False, Loss.RESEND),
        # The GET after the response was not written in full, and is no request.
        ((STATUS, NEXT), True, Loss.RESEND),
        ((STATUS, NEXT), False, Loss.RESEND_MAYBE_EVENT),
    ],
)
@pytest.mark.parametrize("announced", [False, True])
def test_a_written_response_is_sent_again_but_only_once(
    expected: tuple[Expected, ...], waiting: bool, loss: Loss, announced: bool
) -> None:
    assert classify(*expected, waiting=waiting, announced=announced) is loss
    assert classify(*expected, waiting=waiting, announced=announced, resent=True) is Loss.SENT_TWICE


@pytest.mark.parametrize("left", [1, 50, SIZE - 1])
@pytest.mark.parametrize("resent", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_a_response_written_in_part_is_cut(left: int, resent: bool, streams: bool) -> None:
    assert classify(STATUS, left=left, waiting=True, resent=resent, streams=streams) is Loss.CUT


def test_an_open_stream_is_cut_between_two_pieces_too() -> None:
    assert classify(STATUS, streams=True) is Loss.CUT
