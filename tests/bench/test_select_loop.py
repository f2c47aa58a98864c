"""The Runtime API on a `select` loop."""

import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from okibi.bench.select_loop import serve_runtime
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.journal import EntryKind, Journal
from okibi.local.server.connection import Connection

# Asks for an event and exits.
LEAVES = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
client.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
"""

# Asks for an event and waits until the connection is closed.
STAYS = LEAVES + "client.recv(1)"


@attrs.define(eq=False)
class Feed:
    platform: ClassicPlatform
    done: bool = False

    def connection(self, send: Any) -> Connection:
        return Connection(self.platform, "arn", send)


def test_a_runtime_that_exits_abandons_its_next_and_raises() -> None:
    journal = Journal()
    feed = Feed(ClassicPlatform(time.monotonic, time.time, journal))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with (
            subprocess.Popen([sys.executable, "-c", LEAVES, port]) as process,
            pytest.raises(RuntimeError, match=r"the runtime has ended \(exit code 0\)"),
            serve_runtime(listener, feed, process),
        ):
            pass

    assert [entry.kind for entry in journal.entries] == [EntryKind.ABANDONED]


@attrs.define(eq=False)
class Once(Feed):
    """A feed whose deadline follows the connection; records when it passed."""

    due: float = math.inf
    was_due: float = math.inf
    passed_at: float = math.nan

    def connection(self, send: Any) -> Connection:
        self.due = self.was_due = time.perf_counter() + 0.1
        return super().connection(send)

    def passed(self, disconnect: Callable[[], None]) -> None:
        self.passed_at, self.due = time.perf_counter(), math.inf
        disconnect()
        self.done = True


def test_a_passed_deadline_is_reported_and_can_disconnect_the_runtime() -> None:
    feed = Once(ClassicPlatform(time.monotonic, time.time, Journal()))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with subprocess.Popen([sys.executable, "-c", STAYS, port]) as process:
            try:
                with serve_runtime(listener, feed, process, deadlines=feed):
                    assert process.wait(10) == 0
            finally:
                process.kill()

    # The loop polls silence once a second.
    assert 0 <= feed.passed_at - feed.was_due < 0.8
