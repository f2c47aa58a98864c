"""The outbox of a lane, without a lane: which bytes are joined, and which are not copied."""

from itertools import pairwise

import pytest

from okibi.runtime.in_flight.broken_connection import Expected
from okibi.runtime.in_flight.outbox import JOIN_LIMIT, Outbox
from okibi.runtime.protocol.runtime_api import next_request

HOST = b"api:80"
NEXT = next_request(HOST)


class Wire:
    """A connection that takes a number of bytes at a time, and keeps what it got."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.taken: list[bytes | memoryview] = []

    def send(self, data: bytes | memoryview) -> int:
        if not self.room:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.taken.append(data if len(taken) == len(data) else bytes(taken))
        return len(taken)


def write(outbox: Outbox, room: int) -> bytes:
    wire = Wire(room)
    with pytest.raises(BlockingIOError):
        outbox.write(wire.send)
    return b"".join(wire.taken)


def streaming(*pieces: bytes) -> Outbox:
    """Return an outbox with a stream whose pieces wait."""
    outbox = Outbox(HOST, pipelined=True)
    outbox.begin_stream([b"head"])
    for piece in pieces:
        outbox.add([piece])
    return outbox


@pytest.mark.parametrize(
    ("pipelined", "closing", "asks"),
    [(True, False, True), (False, False, False), (True, True, False), (False, True, False)],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_next_get_leaves_with_a_response_unless_it_must_wait(
    pipelined: bool, closing: bool, asks: bool, streamed: bool
) -> None:
    outbox, wire = Outbox(HOST, pipelined), Wire()
    if closing:
        outbox.close()
    if streamed:
        outbox.begin_stream([b"head"])
        outbox.end_stream(b"body")
    else:
        outbox.put_response(b"head", b"body")

    outbox.write(wire.send)

    assert b"".join(wire.taken) == b"headbody" + NEXT * asks
    assert outbox.expected is (Expected.STATUS_NEXT if asks else Expected.STATUS)
    outbox.take_status()
    assert outbox.expected is (Expected.NEXT if asks else Expected.NOTHING)


def test_the_bytes_of_a_get_are_not_those_of_the_response() -> None:
    outbox = Outbox(HOST, pipelined=True)
    outbox.put_response(b"head", b"body")

    for left in (5, 1, 0, 0):
        write(outbox, max(1, outbox.unwritten - left))
        assert (outbox.response_size, outbox.unwritten) == (8, left)


def test_a_piece_of_6_mb_is_not_copied() -> None:
    piece, wire = b"x" * 6_000_000, Wire()

    streaming(piece).write(wire.send)

    assert any(each is piece for each in wire.taken)


def test_small_pieces_are_joined_up_to_the_limit() -> None:
    half, large, wire = JOIN_LIMIT // 2, b"x" * (JOIN_LIMIT * 2), Wire()
    small = (b"1", b"x" * half, b"2", b"x" * half, b"3")
    outbox = streaming(*small, large, b"4", b"5")
    before = b"".join(outbox.pieces)

    outbox.write(wire.send)

    assert b"".join(wire.taken) == before
    behind = wire.taken[1:]
    assert sum(piece is large for piece in behind) == 1
    assert all(len(piece) <= JOIN_LIMIT for piece in behind if piece is not large)
    assert all(len(one) + len(two) > JOIN_LIMIT for one, two in pairwise(behind))


def test_joined_pieces_are_not_copied_again() -> None:
    outbox = streaming(b"two", b"three")
    write(outbox, len(outbox.pieces[0]))
    once = outbox.pieces[0]
    assert once == b"twothree"

    for _ in range(3):
        write(outbox, 1)
        outbox.add([b"four"])
        first = outbox.pieces[0]
        assert isinstance(first, memoryview)
        assert first.obj is once
