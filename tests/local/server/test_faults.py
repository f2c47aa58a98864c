"""Faults on demand, without I/O: which bytes pass before a connection is dropped."""

import attrs
import pytest

from okibi.local.platform.journal import EntryKind
from okibi.local.platform.states import RuntimeState
from okibi.local.server.connection import Connection
from okibi.local.server.faults import Direction, Fault, Faults, FaultyConnection
from tests.support.platform_without_io import NEXT, PING, ClassicHarness, post

ANSWER = post("invocation/id-1/response", b'{"x":1}')


@attrs.define(eq=False)
class Broken:
    """A connection with faults, and what was sent and dropped."""

    harness: ClassicHarness
    faults: Faults
    sent: bytes = b""
    dropped: list[Fault] = attrs.field(factory=list[Fault])
    line: FaultyConnection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.line = FaultyConnection(self.faults, self._send, self._drop)
        self.line.wrap(Connection(self.harness.platform, "arn:function", self.line.send))

    def _send(self, pieces: list[bytes]) -> None:
        self.sent += b"".join(pieces)

    def _drop(self, fault: Fault) -> None:
        self.dropped.append(fault)
        connection = self.line._connection
        assert connection is not None
        connection.peer_gone()

    def feed(self, data: bytes, piece: int = 1 << 20) -> bytes:
        before = len(self.sent)
        for start in range(0, len(data), piece):
            if not self.dropped:
                self.line.receive(data[start : start + piece])
        return self.sent[before:]


def broken(*plan: Fault) -> Broken:
    return Broken(ClassicHarness(), Faults(plan))


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize("byte", [0, 1, len(NEXT) - 1])
def test_a_cut_request_is_never_handled(byte: int, piece: int) -> None:
    line = broken(Fault(Direction.FROM_RUNTIME, 1, byte))
    line.harness.offer()

    line.feed(PING + NEXT + PING, piece)

    assert line.sent.count(b"HTTP/1.1 ") == 1
    assert len(line.dropped) == 1
    assert line.harness.platform.state is RuntimeState.STARTED


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_complete_request_is_handled_before_the_drop(piece: int) -> None:
    line = broken(Fault(Direction.FROM_RUNTIME, 0, len(NEXT)))

    line.feed(NEXT + PING, piece)

    assert line.harness.platform.state is RuntimeState.READY
    assert [entry.kind for entry in line.harness.journal] == [EntryKind.ABANDONED]


def test_a_response_cut_after_its_headers_keeps_the_state() -> None:
    for cut in range(len(ANSWER)):
        line = broken(Fault(Direction.FROM_RUNTIME, 1, cut))
        line.harness.offer()
        line.feed(NEXT)

        line.feed(ANSWER + NEXT)

        begun = cut >= ANSWER.index(b"\r\n\r\n") + 4
        assert line.harness.platform.state is (
            RuntimeState.INVOCATION_RESPONSE if begun else RuntimeState.RUNNING
        ), cut
        assert line.faults.triggered == line.dropped == [Fault(Direction.FROM_RUNTIME, 1, cut)]


@pytest.mark.parametrize("byte", [0, 1, 40, 10_000])
def test_a_response_to_the_runtime_passes_up_to_the_cut(byte: int) -> None:
    whole, line = broken(), broken(Fault(Direction.TO_RUNTIME, 1, byte))
    for it in (whole, line):
        it.harness.offer()
        it.feed(PING)

    answer = whole.feed(NEXT)

    assert line.feed(NEXT) == answer[:byte]
    assert len(line.dropped) == 1
