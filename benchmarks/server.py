"""The server of a run, as a process: `python -m benchmarks.server`.

It reads its settings from stdin, because an event may have 6 MB. Each further line of stdin starts
a lap and gives its number of events; before and after, the runtime waits for its next event, so
that other contenders can have their laps. The figures of each lap are printed as a line of JSON.

The server is as cheap as Python allows, so that a cycle is the runtime's: one blocking socket, with
all responses made before timing. It sends a status when it has read the whole response, and the
next event when it has read its GET. These are two writes even if the runtime has sent both requests
in one, as on AWS's emulator. It starts one runtime, feeds it events as fast as it answers, and
checks the responses. With two cores, server and runtime are pinned to different ones.
"""

import gc
import json
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from okibi.bench.split_cores import start_on_share

from .events import REGISTERED, STATUS, EventBytes, event, tail
from .requests import ConnectionClosed, Requests

# Seconds of silence after which a runtime is given up.
PATIENCE = 30
# A larger body is sent without copying it; a smaller one in one piece with its head.
APART_ABOVE = 1 << 16
# Smaller responses are all compared. Of larger ones only those of the warm-up are: comparing takes
# part of the cycle of a runtime that asks for its next event together with the response.
COMPARED = 4096
EXTENSION = b"POST /2020-01-01/extension"


class WrongAnswer(Exception):
    """The response is not the event."""


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process and its threads, to the nanosecond.

    `okibi.local.sandbox.processes` has this too, but imports trio: 0.1 s per run.

    For a process on another core, Linux counts at that core's ticks, mostly every 4 ms. For a
    process that does not sleep during a lap, this error is up to a third. Changing its affinity
    makes Linux count up to now; for a microsecond, the main thread may run on this core too.
    """
    its = os.sched_getaffinity(pid)
    os.sched_setaffinity(pid, its | os.sched_getaffinity(0))
    os.sched_setaffinity(pid, its)
    return time.clock_gettime((~pid << 3) | 2)


@attrs.define(eq=False)
class RuntimeListener:
    """Accepts the connections of a runtime.

    Args:
        listener: the listening socket.
        process: the runtime.
        began: the start of the runtime, in seconds of `time.perf_counter`.
    """

    listener: socket.socket
    process: "subprocess.Popen[bytes]"
    began: float = 0.0
    _waiting: list[socket.socket] = attrs.field(factory=list[socket.socket])

    def runtime(self) -> socket.socket:
        """Return the connection that asks for events; a thread serves an extension's connection.

        Raises:
            ConnectionClosed: the runtime has ended, or is silent.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            ready, _, _ = select.select([self.listener, *self._waiting], [], [], 0.5)
            if not ready and self.process.poll() is not None:
                raise ConnectionClosed
            for each in ready:
                if each is self.listener:
                    self._waiting.append(self.listener.accept()[0])
                    continue
                self._waiting.remove(each)
                said = each.recv(len(EXTENSION), socket.MSG_PEEK)
                if said == EXTENSION:
                    threading.Thread(target=extension, args=(each,), daemon=True).start()
                elif said:
                    return _ready(each)
        raise ConnectionClosed


@contextmanager
def start_runtime(
    command: Sequence[str], environment: Mapping[str, str], **options: Any
) -> Generator[RuntimeListener]:
    """Start a runtime on the first core, and move this process to the last, until the block ends.

    Args:
        command: the command that starts the runtime.
        environment: the runtime's variables, except the address of the Runtime API.
        options: the other arguments of `subprocess.Popen`.
    """
    cores = sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        variables = {**environment, "AWS_LAMBDA_RUNTIME_API": address}
        began = time.perf_counter()
        process = start_on_share(({cores[0]}, {cores[-1]}), command, env=variables, **options)
        try:
            yield RuntimeListener(listener, process, began)
        finally:
            process.kill()
            process.wait()
            os.sched_setaffinity(0, cores)


def _ready(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Python's own time-out would double the system calls.
    patience = struct.pack("ll", PATIENCE, 0)
    for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, limit, patience)
    return connection


def extension(connection: socket.socket) -> None:
    """Register an extension, and let it wait for an event that never comes."""
    with connection:
        requests = Requests(0)
        requests.attach(connection)
        try:
            if requests.answers():
                connection.sendall(REGISTERED)
            while connection.recv(4096):
                pass
        except (ConnectionClosed, OSError):
            return


@attrs.define(eq=False)
class EventFeed:
    """Feeds a runtime with events, and times those after the warm-up.

    Args:
        payload: the payload of each event.
        pid: the runtime's process, once started.
    """

    payload: bytes
    pid: int = 0
    given: int = attrs.field(default=0, init=False)
    _from: int = attrs.field(default=0, init=False)
    _until: int = attrs.field(default=0, init=False)
    _events: list[EventBytes] = attrs.field(factory=list[EventBytes], init=False)
    _tail: bytes = attrs.field(init=False)
    _requests: Requests = attrs.field(init=False)
    # The connection that waits for the next lap.
    _waits: socket.socket | None = attrs.field(default=None, init=False)
    _first: bytes = attrs.field(default=b"", init=False)
    _begun: list[float] = attrs.field(factory=list[float], init=False)
    _answered: list[float] = attrs.field(factory=list[float], init=False)
    _first_bytes: list[float] = attrs.field(factory=list[float], init=False)
    _marks: list[tuple[float, float, float]] = attrs.field(factory=list[Any], init=False)

    def __attrs_post_init__(self) -> None:
        small = len(self.payload) <= APART_ABOVE
        self._tail = b"" if small else tail(self.payload)
        self._requests = Requests(2 * len(self.payload))

    def begin(self, warmup: int, count: int) -> None:
        """Prepare the events of the next lap.

        Args:
            warmup, count: the number of unmeasured and of measured events.
        """
        first, total = self.given, warmup + count
        self._from, self._until = first + warmup, first + total
        made = [event(number, len(self.payload)) for number in range(first, first + total)]
        if not self._tail:
            body = tail(self.payload)
            made = [EventBytes(each.head + body, each.answer) for each in made]
        self._events += made
        for taken in (self._begun, self._answered, self._first_bytes, self._marks):
            taken.clear()

    def serve(self, connection: socket.socket) -> bool:
        """Serve a connection; return whether the lap is complete.

        Raises:
            WrongAnswer: a response is not the event.
        """
        requests = self._requests
        try:
            if self._waits is connection:
                self._give(connection)
            else:
                requests.attach(connection)
            while True:
                if requests.answers():
                    answered = time.perf_counter()
                    # Check after the status is sent: checks are not part of the answer's time.
                    connection.sendall(STATUS)
                    self._check(self.given - 1)
                    self._answered.append(answered)
                    self._first_bytes.append(requests.begun)
                elif self._give(connection):
                    return True
        except (ConnectionClosed, ConnectionError):
            return False

    def _give(self, connection: socket.socket) -> bool:
        number = self.given
        if number == self._from or number == self._until:
            self._marks.append((time.perf_counter(), cpu_seconds(self.pid), time.process_time()))
        if number == self._until:
            self._waits = connection
            return True
        self.given = number + 1
        self._begun.append(time.perf_counter())
        head = self._events[number].head
        if not self._tail:
            connection.sendall(head)
            return False
        sent = connection.sendmsg((head, self._tail)) - len(head)
        if sent < len(self._tail):
            connection.sendall(memoryview(self._tail)[sent:])
        return False

    def _check(self, number: int) -> None:
        requests = self._requests
        if number < 0 or not requests.begins(self._events[number].answer):
            told = requests.body()[:300].decode("utf-8", "replace")
            raise WrongAnswer(f"not the answer to event {number}: {requests.line()}: {told}")
        if not number:
            self._first = requests.body()
            answer: Any = json.loads(self._first)
            # A web application does not send the event back, and a batch neither.
            served = type(answer) is dict and (
                ("statusCode", 200) in answer.items() or answer == {"batchItemFailures": []}
            )
            if not served and answer != json.loads(self.payload):
                raise WrongAnswer(f"the echo came back as {self._first[:200]!r}")
        elif not self._is_expected(number):
            raise WrongAnswer(f"event {number} came back as {requests.body()[:200]!r}")

    def _is_expected(self, number: int) -> bool:
        if number < self._from or len(self.payload) <= COMPARED:
            return self._requests.has(self._first)
        return self._requests.size == len(self._first)

    @property
    def measured(self) -> dict[str, float]:
        """Microseconds per event of this lap; see `contenders.Run`."""
        began, ended = self._marks
        wall, cpu, own = (b - a for a, b in zip(began, ended, strict=True))
        count = self._until - self._from
        each, begun = 1e6 / count, self._begun[-count:]
        return {
            "cycle_us": _middle([*begun[1:], ended[0]], begun),
            "answer_us": _middle(self._answered[-count:], begun),
            "first_us": max(0.0, _middle(self._first_bytes[-count:], begun)),
            "mean_us": wall * each,
            "cpu_us": cpu * each,
            "server_us": own * each,
        }


def _middle(ends: list[float], begins: list[float]) -> float:
    """Return the median duration in microseconds."""
    return statistics.median(b - a for a, b in zip(begins, ends, strict=True)) * 1e6


def main(settings: dict[str, Any], laps: Iterable[str]) -> None:
    """Run one contender.

    Args:
        settings: command, environment and payload.
        laps: lines with the number of unmeasured and of measured events.

    Raises:
        SystemExit: the run failed; the message says why.
    """
    feed = EventFeed(settings["payload"].encode())
    # All objects live as long as this process.
    gc.disable()
    environment = {**os.environ, **settings["environment"]}
    with start_runtime(settings["command"], environment, stdout=2) as connections:
        try:
            feed.pid = connections.process.pid
            runtime: socket.socket | None = None
            for lap in laps:
                warmup, count = map(int, lap.split())
                feed.begin(warmup, count)
                runtime = runtime or connections.runtime()
                # A runtime that closes its connection after each response connects again.
                while not feed.serve(runtime):
                    runtime = connections.runtime()
                print(json.dumps(feed.measured), flush=True)
        except (ConnectionClosed, BlockingIOError):
            code = connections.process.poll()
            why = "is silent" if code is None else f"has ended with exit code {code}"
            raise SystemExit(f"after {feed.given} events the runtime {why}") from None
        except (WrongAnswer, ValueError) as error:
            raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(json.loads(sys.stdin.readline()), sys.stdin)
