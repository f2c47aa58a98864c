"""Feed mutated responses of the Runtime API to the runtime's parser: `python -m
tests.endurance.fuzz`.

Each case is a possible conversation (events with a length, chunked, or without a length; statuses;
interim responses) with flipped bytes, doubled lines, replaced numbers, and pieces that are removed,
repeated or taken from another response, in random fragments. It goes to a parser, and through a
poller's code into a lane, whose responses are then staged.

The parser may return a value or raise a WireError. The poller must go on. Whatever a mutated event
contains, the local server must read what the lane writes as exactly one response, with at most one
GET after it.
"""

import faulthandler
import logging
import os
import random
import re
import sys
import time
from collections import Counter

import attrs
import trio

from okibi.local.server.http_requests import RequestReader
from okibi.runtime.handlers.context import Context
from okibi.runtime.in_flight.broken_connection import Expected
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponseParser, WireError
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.busy_poll import BusyPoll
from okibi.runtime.serving.poller import Poller
from tests.endurance.verdict import verdict
from tests.support.doubles import SETTINGS, ledger_of
from tests.support.lanes import SilentConnection, write

# Seconds per hundred cases, which take microseconds each: beyond this the run hangs.
HANGS = 60
# Pieces per case (the last is the rest), and connections that a lane may lose in a case.
PIECES, CONNECTIONS = 30, 4

HEADERS = (
    b"Content-Type: application/json\r\n"
    b"Date: Tue, 24 Nov 2026 19:22:13 GMT\r\n"
    b"Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n"
    b"Lambda-Runtime-Cognito-Identity: \r\n"
    b"Lambda-Runtime-Deadline-Ms: 1542409706888\r\n"
    b"Lambda-Runtime-Invocation-Id: 0-attempt\r\n"
    b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f\r\n"
    b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1\r\n"
)
REFUSAL = b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}\n'
EVENTS = (
    b"HTTP/1.1 200 OK\r\n" + HEADERS + b'Content-Length: 8\r\n\r\n{"n": 1}',
    b"HTTP/1.1 200 OK\r\n" + HEADERS + b"Transfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"n":\r\n3\r\n 1}\r\n0\r\nLambda-Runtime-Aws-Request-Id: trailer\r\n\r\n',
    b"HTTP/1.0 200 OK\r\n" + HEADERS + b'\r\n{"n": 1}',
    b"HTTP/1.1 200 OK\r\n" + HEADERS + b"Connection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL),
)
STATUSES = (
    b'HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL),
    b"HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)
# The responses that a lane expects for what it wrote.
EXPECTED = {
    (b"GET",): Expected.NEXT,
    (b"POST",): Expected.STATUS,
    (b"POST", b"GET"): Expected.STATUS_NEXT,
}
NUMBERS = (b"-1", b"0", b"00", b"1e9", b"0x10", b"9" * 25, b"9" * 400, b"9" * 5000, b"1_0", b"")
WORDS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\r\n\r\n", b": ", b" ", b"\t", b"\xff", b"%0d%0a", b"..#?",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Connection: keep-alive\r\n",
)  # fmt: skip


def case_of(number: int) -> list[bytes]:
    """Return the pieces of a conversation. The same number gives the same case."""
    choose = random.Random(number)
    told = b"".join(
        choose.choice(each)
        for each in ((EVENTS,), (EVENTS, STATUSES), (EVENTS, STATUSES, EVENTS), (STATUSES,))[
            choose.choice((0, 1, 1, 2, 2, 3))
        ]
    )
    for _ in range(choose.choice((1, 1, 1, 2, 3, 8))):
        told = mutate(told, choose)
    pieces, longest = list[bytes](), choose.choice((1, 7, 100, 10_000))
    while told:
        size = choose.randint(1, longest) if len(pieces) < PIECES else len(told)
        pieces.append(told[:size])
        told = told[size:]
    return pieces


def mutate(data: bytes, choose: random.Random) -> bytes:
    """Return the bytes with one change."""
    at = choose.randrange(len(data) + 1)
    to = min(len(data), at + choose.choice((1, 2, 10, 100)))
    match choose.randrange(8):
        case 0:
            return data[:at] + bytes([choose.randrange(256)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[to:]
        case 2:
            return data[:at] + data[at:to] * choose.choice((2, 3, 50)) + data[to:]
        case 3:
            return data[:at] + choose.choice(WORDS) + data[at:]
        case 4:
            other = choose.choice((*EVENTS, *STATUSES))
            start = choose.randrange(len(other))
            return data[:at] + other[start : start + choose.choice((5, 50, 500))] + data[to:]
        case 5:
            found = list(re.finditer(rb"[0-9]+", data))
            if not found:
                return data
            number = choose.choice(found)
            return data[: number.start()] + choose.choice(NUMBERS) + data[number.end() :]
        case 6:
            lines = data.split(b"\r\n")
            choose.shuffle(lines) if choose.random() < 0.2 else lines.insert(
                choose.randrange(len(lines)), choose.choice(lines)
            )
            return b"\r\n".join(lines)
        case _:
            return data[:at]


def parse(pieces: list[bytes]) -> str:
    """Feed a parser; return a description of the result."""
    parser, answers = ApiResponseParser(), 0
    try:
        for piece in pieces:
            answers += len(parser.feed(piece))
        answers += len(parser.end())
    except WireError as error:
        answers += len(error.responses)
        return "refused as not HTTP"
    return f"{min(answers, 3)} answers" if answers != 1 else "1 answer"


@attrs.define(eq=False)
class LaneResult:
    """The deliveries and failures of a lane in one case."""

    deliveries: int = 0
    failures: list[str] = attrs.field(factory=list[str])


@attrs.define(eq=False)
class FedConnection(SilentConnection):
    """A connection that brings one piece, once. An empty piece is the end of the connection."""

    fed: bytes | None = None

    def receive(self, limit: int) -> bytes:
        if self.fed is None:
            raise BlockingIOError
        taken, rest = self.fed[:limit], self.fed[limit:]
        self.fed = rest or None
        return taken


def read(pieces: list[bytes]) -> LaneResult:
    """Feed a lane through its poller, answering each event at once."""
    told, connections = LaneResult(), 0
    ledger = ledger_of(1, told.failures)
    lane = ledger.lanes[0]
    poller = Poller(ledger, lane, connect_never, BusyPoll(0.0))
    wire = FedConnection()
    _connect(lane, wire)
    for piece in [*pieces, b""]:
        wire.fed = piece
        connection = lane.connection
        assert connection is not None
        poller._read(connection)
        delivery = lane.delivery
        if delivery is not None and delivery.unsettled:
            told.deliveries += 1
            assert delivery.due - delivery.limit >= 0 or delivery.due == delivery.limit
            context = Context(delivery, SETTINGS)
            assert context.aws_request_id
            assert isinstance(context.invoked_function_arn, str)
            assert delivery.settle(Outcome(b"{}"))
        if lane.connection is not None:
            _say(lane)
        elif (connections := connections + 1) < CONNECTIONS:
            _connect(lane, wire)
        else:
            break
    return told


def _connect(lane: Lane, wire: Transport) -> None:
    lane.attach(wire)
    _say(lane)


def _say(lane: Lane) -> None:
    """Write what is staged, and parse it as a server does."""
    lane.stage()
    said = write(lane)
    if not said:
        return
    reader = RequestReader(1 << 20)
    reader.feed(said)
    methods = [request.method for request in reader.requests]
    assert tuple(methods) in EXPECTED, said
    assert all(request.complete for request in reader.requests), said
    assert lane.outbox.expected is EXPECTED[tuple(methods)], said


async def connect_never() -> Transport:
    """Raise: the cases connect by themselves."""
    raise OSError


async def fuzz(count: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Run cases; return counts of results, and a line per unexpected exception."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for number in range(first, first + count):
        if number % 100 == 0:
            faulthandler.dump_traceback_later(HANGS, exit=True)
            await trio.lowlevel.checkpoint()
        pieces = case_of(number)
        try:
            counts[parse(pieces)] += 1
            told = read(pieces)
        except Exception as error:
            failures.append(f"case {number}: {error!r} from {b''.join(pieces)!r}")
            continue
        counts["events taken by a lane"] += told.deliveries
        counts["ended the process"] += bool(told.failures)
    faulthandler.cancel_dump_traceback_later()
    return counts, failures


def main() -> int:
    count, first = int(os.environ.get("OKIBI_FUZZ", "100000")), int(os.environ.get("SEED", "0"))
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    counts, failures = trio.run(fuzz, count, first)
    seconds = time.perf_counter() - began
    print(f"{count} cases from number {first} on; {len(failures)} wrong; {seconds:.0f} s")
    return verdict(counts, failures)


if __name__ == "__main__":
    sys.exit(main())
