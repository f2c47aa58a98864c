"""The platforms without I/O, for tests, with connections that record what they send."""

from typing import Any

import attrs

from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.hooks import RuntimeApiHooks
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import Journal
from okibi.local.platform.multi_concurrency import MultiConcurrencyPlatform
from okibi.local.server.connection import Connection

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
PING = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER_OK = b'{"status":"OK"}\n'


def post(path: str, body: bytes, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"POST /2018-06-01/runtime/{path} HTTP/{version}", "Host: x", *headers]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


@attrs.define(eq=False)
class ClassicHarness:
    """A classic platform at time 100, with recording connections."""

    kind: type[ClassicPlatform] = ClassicPlatform
    journal: Journal = attrs.field(factory=Journal)
    platform: ClassicPlatform = attrs.field(init=False)
    idle: int = 0
    """How many times `on_idle` was called."""
    ended: list[Invocation] = attrs.field(factory=list[Invocation])

    def __attrs_post_init__(self) -> None:
        self.platform = self.kind(
            clock=lambda: 100.0,
            wall_clock=lambda: 1_700_000_000.0,
            journal=self.journal,
            hooks=RuntimeApiHooks(on_end=self.ended.append, on_idle=self._count_idle),
        )

    def _count_idle(self) -> None:
        self.idle += 1

    def connect(self, *, keep_alive: bool = True) -> "Peer":
        sent: list[bytes] = []

        def send(pieces: list[bytes]) -> None:
            sent.append(b"".join(pieces))

        return Peer(Connection(self.platform, "arn:function", send, keep_alive=keep_alive), sent)

    def offer(self, payload: bytes = b'{"a":1}', **fields: Any) -> Invocation:
        invocation = Invocation(
            payload, timeout=3.0, request_id="id-1", trace_id="Root=1-2-3", **fields
        )
        self.platform.offer(invocation)
        return invocation

    def running(self) -> "Peer":
        """Return a connection that has received the event id-1."""
        peer = self.connect()
        self.offer()
        peer.feed(NEXT)
        return peer


@attrs.define(eq=False)
class Peer:
    connection: Connection
    sent: list[bytes]

    def feed(self, data: bytes) -> list[bytes]:
        """Feed bytes; return the responses that they caused."""
        before = len(self.sent)
        self.connection.receive(data)
        return self.sent[before:]

    def request(self, data: bytes) -> tuple[int, bytes]:
        """Feed one request; return status and body of the only response."""
        (answer,) = self.feed(data)
        return read(answer)


@attrs.define(eq=False)
class MultiConcurrencyHarness:
    """A multi-concurrency platform at time 100, with recording connections."""

    journal: Journal = attrs.field(factory=Journal)
    platform: MultiConcurrencyPlatform = attrs.field(init=False)
    ended: list[Invocation] = attrs.field(factory=list[Invocation])

    def __attrs_post_init__(self) -> None:
        self.platform = MultiConcurrencyPlatform(
            clock=lambda: 100.0,
            wall_clock=lambda: 1_700_000_000.0,
            journal=self.journal,
            hooks=RuntimeApiHooks(on_end=self.ended.append),
        )

    def connect(self) -> "Peer":
        sent: list[bytes] = []

        def send(pieces: list[bytes]) -> None:
            sent.append(b"".join(pieces))

        return Peer(Connection(self.platform, "arn:function", send), sent)

    def waiting(self) -> "Peer":
        """Return a connection with a pending /next."""
        peer = self.connect()
        peer.feed(NEXT)
        return peer

    def offer(self, request_id: str, payload: bytes = b"1", **fields: Any) -> Invocation:
        invocation = Invocation(payload, timeout=3.0, request_id=request_id, **fields)
        self.platform.offer(invocation)
        return invocation


def read(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def state_refusal(names: str) -> bytes:
    return (
        f'{{"errorMessage":"State transition from {names} failed for runtime. Error: State'
        ' transition is not allowed","errorType":"InvalidStateTransition"}\n'
    ).encode()


def error(message: str, error_type: str) -> bytes:
    return f'{{"errorMessage":"{message}","errorType":"{error_type}"}}\n'.encode()


def without_date(answer: bytes) -> bytes:
    lines = answer.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.startswith(b"Date: "))
