"""The X-Ray daemon, as the SDK sees it: a UDP socket that takes subsegments."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from tests.support.span_receiver import ReceivedSpan


@attrs.define(eq=False)
class XRayDaemon:
    """Collects subsegments; those that came within others too."""

    url: str
    socket: socket.socket
    received: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def spans(self) -> list[ReceivedSpan]:
        """The same as spans. A function annotates the request id, as `event` and `resource`."""
        return [
            ReceivedSpan(
                each["name"],
                each["trace_id"],
                each["id"],
                each["parent_id"],
                0,
                each["end_time"] - each["start_time"],
                bool(each.get("fault") or each.get("error")),
                "",
                {
                    "faas.invocation_id": each.get("annotations", {}).get("event"),
                    "resource": each.get("annotations", {}).get("resource"),
                },
                {},
                [],
                [],
            )
            for each in self.subsegments
        ]

    @property
    def subsegments(self) -> list[dict[str, Any]]:
        """Everything that has come so far."""
        while True:
            try:
                datagram = self.socket.recv(65536)
            except BlockingIOError:
                return self.received
            document = json.loads(datagram.split(b"\n", 1)[1])
            self.received += _flatten(document, document["trace_id"], document["parent_id"])

    def named(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.subsegments if each["name"] == name]


def _flatten(entity: dict[str, Any], trace_id: str, parent_id: str) -> Iterator[dict[str, Any]]:
    entity |= {"trace_id": trace_id, "parent_id": parent_id}
    yield entity
    for child in entity.get("subsegments", ()):
        yield from _flatten(child, trace_id, entity["id"])


@contextmanager
def receiving() -> Iterator[XRayDaemon]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**22)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        yield XRayDaemon("{}:{}".format(*receiver.getsockname()), receiver)
