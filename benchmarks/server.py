"""The server's side of a run, in a process of its own: `python -m benchmarks.server`, which reads
its settings from stdin, since an event may be of 6 MB.

A run has laps, each a line of stdin that says how many events: before it and after it the runtime
waits for its next event, so that others can have theirs. What each lap measured is a line of JSON.

It is as lean as Python allows, so that a cycle is the runtime's and not the server's: one blocking
socket, and all that it says made before the clock runs. The status of an answer goes out as soon as
the answer has been read whole, the next event when its GET is read: two writes also for a runtime
that has sent both in one, as AWS's emulator does. It starts one runtime, feeds it events as fast as
it answers, and checks what it answers. It and the runtime are pinned to different cores where there
are two, so neither takes time from the other.
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
from collections.abc import Iterable
from typing import Any

import attrs

from .events import REGISTERED, STATUS, Event, event, tail
from .requests import Closed, Requests

# Seconds until a runtime that says nothing is given up.
PATIENCE = 30
# A body above this is sent from where it lies. One below is one piece with its head.
APART_ABOVE = 1 << 16
# Each answer of so few bytes is compared; of larger ones those that are not measured, since it is a
# part of a cycle for whoever asks for the next event with the answer, and not for others.
COMPARED = 4096
EXTENSION = b"POST /2020-01-01/extension"


class WrongAnswer(Exception):
    """The runtime has answered otherwise than with its event."""


def cpu_seconds(pid: int) -> float:
    """The processor time of a process and its threads, to the nanosecond.

    `okibi.local.processes` has it too, and would bring trio along: 0.1 s of each run.

    Linux counts what runs on another core at that one's ticks, mostly 4 ms apart: of one that never
    sleeps in a lap that is a third of it. Whose cores are changed while he runs is counted up to
    then, so for a microsecond his main thread may run on this one, too.
    """
    its = os.sched_getaffinity(pid)
    os.sched_setaffinity(pid, its | os.sched_getaffinity(0))
    os.sched_setaffinity(pid, its)
    return time.clock_gettime((~pid << 3) | 2)


@attrs.define(eq=False)
class Portal:
    """Where a runtime connects.

    Args:
        listener: the server's socket.
        process: the runtime.
    """

    listener: socket.socket
    process: "subprocess.Popen[bytes]"
    _waiting: list[socket.socket] = attrs.field(factory=list[socket.socket])

    def runtime(self) -> socket.socket:
        """The connection that asks for events. An extension's has a thread that waits with it.

        Raises:
            Closed: the runtime has ended, or says nothing.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            ready, _, _ = select.select([self.listener, *self._waiting], [], [], 0.5)
            if not ready and self.process.poll() is not None:
                raise Closed
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
        raise Closed


def _ready(connection: socket.socket) -> socket.socket:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Python's own time-out would be a second call into the kernel for each.
    patience = struct.pack("ll", PATIENCE, 0)
    for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connection.setsockopt(socket.SOL_SOCKET, limit, patience)
    return connection


def extension(connection: socket.socket) -> None:
    """Register whoever asks, and let it wait for an event that never comes."""
    with connection:
        requests = Requests(0)
        requests.attach(connection)
        try:
            if requests.answers():
                connection.sendall(REGISTERED)
            while connection.recv(4096):
                pass
        except (Closed, OSError):
            return


@attrs.define(eq=False)
class Feed:
    """Gives a runtime one event after the other, and takes the time of those after the warm-up.

    Args:
        payload: of each.
        pid: the runtime's process, once it is there.
    """

    payload: bytes
    pid: int = 0
    given: int = attrs.field(default=0, init=False)
    _from: int = attrs.field(default=0, init=False)
    _until: int = attrs.field(default=0, init=False)
    _events: list[Event] = attrs.field(factory=list[Event], init=False)
    _tail: bytes = attrs.field(init=False)
    _requests: Requests = attrs.field(init=False)
    # Which has asked for an event at the end of a lap.
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
        """Make what is said in the next lap.

        Args:
            warmup, count: how many events are not measured, and how many are.
        """
        first, total = self.given, warmup + count
        self._from, self._until = first + warmup, first + total
        made = [event(number, len(self.payload)) for number in range(first, first + total)]
        if not self._tail:
            body = tail(self.payload)
            made = [Event(each.head + body, each.answer) for each in made]
        self._events += made
        for taken in (self._begun, self._answered, self._first_bytes, self._marks):
            taken.clear()

    def serve(self, connection: socket.socket) -> bool:
        """Serve a connection: whether all that was to be measured in this lap is.

        Raises:
            WrongAnswer: so it is.
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
                    # Its checks are the server's time, and no answer's.
                    connection.sendall(STATUS)
                    self._check(self.given - 1)
                    self._answered.append(answered)
                    self._first_bytes.append(requests.begun)
                elif self._give(connection):
                    return True
        except (Closed, ConnectionError):
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
            if json.loads(self._first) != json.loads(self.payload):
                raise WrongAnswer(f"the echo came back as {self._first[:200]!r}")
        elif not self._right(number):
            raise WrongAnswer(f"event {number} came back as {requests.body()[:200]!r}")

    def _right(self, number: int) -> bool:
        if number < self._from or len(self.payload) <= COMPARED:
            return self._requests.has(self._first)
        return self._requests.size == len(self._first)

    @property
    def measured(self) -> dict[str, float]:
        """Microseconds an event of this lap: see `contenders.Run`."""
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
    """The median time, in microseconds."""
    return statistics.median(b - a for a, b in zip(begins, ends, strict=True)) * 1e6


def main(settings: dict[str, Any], laps: Iterable[str]) -> None:
    """One run of one contender.

    Args:
        settings: command, environment and payload.
        laps: of each, how many events are not measured, and how many are.

    Raises:
        SystemExit: it did not get to its end; the message says why.
    """
    feed = Feed(settings["payload"].encode())
    # What is there lives as long as this process.
    gc.disable()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {**os.environ, **settings["environment"], "AWS_LAMBDA_RUNTIME_API": address}
        cores = sorted(os.sched_getaffinity(0))
        # What it starts inherits this; so no code need run between fork and exec.
        os.sched_setaffinity(0, {cores[0]})
        process = subprocess.Popen(settings["command"], env=environment, stdout=2)
        try:
            os.sched_setaffinity(0, {cores[-1]})
            feed.pid = process.pid
            door = Portal(listener, process)
            runtime: socket.socket | None = None
            for lap in laps:
                warmup, count = map(int, lap.split())
                feed.begin(warmup, count)
                runtime = runtime or door.runtime()
                # One that closes its connection behind each answer comes again.
                while not feed.serve(runtime):
                    runtime = door.runtime()
                print(json.dumps(feed.measured), flush=True)
        except (Closed, BlockingIOError):
            code = process.poll()
            why = "says nothing" if code is None else f"has ended with exit code {code}"
            raise SystemExit(f"after {feed.given} events the runtime {why}") from None
        except (WrongAnswer, ValueError) as error:
            raise SystemExit(str(error)) from None
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main(json.loads(sys.stdin.readline()), sys.stdin)
