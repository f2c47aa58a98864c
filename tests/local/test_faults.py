"""Faults on demand without I/O: how much of which message passes before the connection is gone."""

import attrs
import pytest

from okibi.local.connection import Connection
from okibi.local.faults import Direction, Fault, Faults, FaultyConnection
from okibi.local.journal import EntryKind
from okibi.local.states import RuntimeState
from tests.support.platform_without_io import NEXT, PING, Desk, post

ANSWER = post("invocation/id-1/response", b'{"x":1}')


@attrs.define(eq=False)
class Broken:
    """A connection with faults, and what came of it."""

    desk: Desk
    faults: Faults
    sent: bytes = b""
    dropped: list[Fault] = attrs.field(factory=list[Fault])
    line: FaultyConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.line = FaultyConnection(self.faults, self._send, self._drop)
        self.line.wrap(Connection(self.desk.platform, "arn:function", self.line.send))

    def _send(self, pieces: list[bytes]) -> None:
        self.sent += b"".join(pieces)

    def _drop(self, fault: Fault) -> None:
        self.dropped.append(fault)
        connection = self.line._connection
        assert connection is not None
        connection.peer_gone()

    def tell(self, data: bytes, piece: int = 1 << 20) -> bytes:
        before = len(self.sent)
        for start in range(0, len(data), piece):
            if not self.dropped:
                self.line.receive(data[start : start + piece])
        return self.sent[before:]


def broken(*plan: Fault) -> Broken:
    return Broken(Desk(), Faults(plan))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("byte", [0, 1, len(NEXT) - 1])
def test_a_request_passes_up_to_the_byte_and_is_never_acted_on(byte: int, piece: int) -> None:
    line = broken(Fault(Direction.FROM_RUNTIME, 1, byte))
    line.desk.offer()

    line.tell(PING + NEXT + PING, piece)

    assert line.sent.count(b"HTTP/1.1 ") == 1
    assert len(line.dropped) == 1
    assert line.desk.platform.state is RuntimeState.STARTED


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_request_that_passes_whole_is_acted_on(piece: int) -> None:
    line = broken(Fault(Direction.FROM_RUNTIME, 0, len(NEXT)))

    line.tell(NEXT + PING, piece)

    assert line.desk.platform.state is RuntimeState.READY
    assert [entry.kind for entry in line.desk.journal] == [EntryKind.ABANDONED]


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_a_response_cut_behind_its_headers_leaves_the_state_there(cut: int) -> None:
    line = broken(Fault(Direction.FROM_RUNTIME, 1, cut))
    line.desk.offer()
    line.tell(NEXT)

    line.tell(ANSWER + NEXT)

    begun = cut >= ANSWER.index(b"\r\n\r\n") + 4
    assert line.desk.platform.state is (
        RuntimeState.INVOCATION_RESPONSE if begun else RuntimeState.RUNNING
    )
    assert line.faults.triggered == line.dropped == [Fault(Direction.FROM_RUNTIME, 1, cut)]


@pytest.mark.parametrize("byte", [0, 1, 40, 10_000])
def test_an_answer_passes_up_to_the_byte(byte: int) -> None:
    whole, line = broken(), broken(Fault(Direction.TO_RUNTIME, 1, byte))
    for it in (whole, line):
        it.desk.offer()
        it.tell(PING)

    answer = whole.tell(NEXT)

    assert line.tell(NEXT) == answer[:byte]
    assert len(line.dropped) == 1
