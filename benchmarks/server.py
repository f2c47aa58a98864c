"""The server's side of a run, in a process of its own: `python -m benchmarks.server`, which reads
its settings from stdin, since an event may be of 6 MB.

It is okibi's local Runtime API (its state machine and its connections, which know no I/O) behind
the bare `select` loop, so that the server takes as small a share of a cycle as Python allows. It
starts one runtime, feeds it events as fast as it answers, checks each answer, and prints what it
measured as one line of JSON. It and the runtime are pinned to different cores where there are two,
so neither takes time from the other.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import attrs

from runtime.local.connection import Connection
from runtime.local.exchange import Exchange
from runtime.local.invocation import Invocation
from runtime.local.journal import Journal
from runtime.local.select_loop import PATIENCE, served


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has had so far."""
    with open(f"/proc/{pid}/schedstat") as stat:
        return int(stat.read().split()[0]) / 1e9


def pin(core: int) -> None:
    """Keep this process to one core, if the machine has it."""
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


@attrs.define(eq=False)
class Feed:
    """Gives a runtime one event after the other, and takes the time of those after the warm-up."""

    payload: bytes
    warmup: int
    count: int
    pid: int = 0
    done: bool = False
    measured: dict[str, float] = attrs.field(factory=dict[str, float])
    _exchange: Exchange = attrs.field(init=False)
    _events: Iterator[Invocation] = attrs.field(init=False)
    _ended: int = 0
    _answering: float = 0.0
    _marks: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __attrs_post_init__(self) -> None:
        # Made before the clock runs: an id is a call into the kernel's random numbers.
        total = self.warmup + self.count + 1
        made = [Invocation(self.payload, PATIENCE) for _ in range(total)]
        self._events = iter(made)
        self._exchange = Exchange(
            time.perf_counter, time.time, Journal(), on_answer=self._check, on_end=self._next
        )
        self._exchange.offer(next(self._events))

    def connection(self, send: Any) -> Connection:
        """A connection of the runtime."""
        return Connection(self._exchange, "arn:aws:lambda:xx-test-1:0:function:echo", send)

    def _check(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        if outcome is None or outcome.error_type is not None:
            raise RuntimeError(f"the runtime answered with an error: {outcome}")
        if self._ended < 2 and json.loads(outcome.payload) != json.loads(self.payload):
            raise RuntimeError(f"the echo came back as {outcome.payload[:200]!r}")

    def _next(self, invocation: Invocation) -> None:
        self._exchange.journal.entries.clear()
        self._ended += 1
        if self._ended > self.warmup:
            self._answering += invocation.answered - invocation.begun
        if self._ended == self.warmup:
            self._marks = self._now()
        if self._ended == self.warmup + self.count:
            self._finish()
        elif not self.done:
            self._exchange.offer(next(self._events))

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), cpu_seconds(self.pid), time.process_time()

    def _finish(self) -> None:
        wall, cpu, own = (b - a for a, b in zip(self._marks, self._now(), strict=True))
        each = 1e6 / self.count
        self.done = True
        self.measured = {
            "cycle_us": wall * each,
            "answer_us": self._answering * each,
            "cpu_us": cpu * each,
            "server_us": own * each,
        }


def main(settings: dict[str, Any]) -> dict[str, float]:
    """One run of one contender."""
    feed = Feed(settings["payload"].encode(), settings["warmup"], settings["count"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {**os.environ, **settings["environment"], "AWS_LAMBDA_RUNTIME_API": address}
        command = settings["command"]
        process = subprocess.Popen(command, env=environment, preexec_fn=lambda: pin(0), stdout=2)
        try:
            pin(1)
            feed.pid = process.pid
            with served(listener, feed, process):
                pass
        finally:
            process.kill()
            process.wait()
    return feed.measured


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
