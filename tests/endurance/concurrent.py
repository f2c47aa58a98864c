"""Many events at once: one okibi process, compared with the official client's process per slot.

    python -m tests.endurance.concurrent [--server local] [--count N] [--rounds N]

This is `make concurrent`. All contenders serve a handler that waits 20 ms, in turn (A B A B), each
with its own server and processes. Fewer clients than slots ask without pause, and repeat refused
invokes. It prints throughput, latency, refusals and memory. It fails if a bar is missed, or if any
invocation gets a wrong response or none.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import attrs

from okibi.local.sandbox.processes import cpu_seconds
from tests.conformance.runtime_api.peer import Peer, request
from tests.conformance.runtime_api.session import many_refused
from tests.endurance.managed import ManagedContender, RunningContender, on_emulator, on_local_server
from tests.support.emulator import NoEmulatorError, emulator

OKIBI = ManagedContender("okibi, async def", ("-P", "-m", "okibi.runtime"), "waits_on_loop.handler")
PLAIN = ManagedContender(
    "okibi, plain def", ("-P", "-m", "okibi.runtime"), "waits_in_thread.handler"
)
OFFICIAL = ManagedContender("awslambdaric", ("-m", "awslambdaric"), "waits_in_thread.handler")
CONTENDERS = (OKIBI, OFFICIAL, PLAIN)

BODY = b'{"message": "hello"}'
REQUEST = request("POST", "/2015-03-31/functions/function/invocations", BODY)
# The server's response without an idle slot; the runtime has not been asked.
REFUSED = (400, b'{"errorType":"Runtime.Unavailable"}')
# A slot is idle again a moment after its response.
AGAIN_AFTER = 0.001
START_LIMIT = 60.0

MEMORY_BAR, THROUGHPUT_BAR = 0.5, 0.95
Server = Callable[[ManagedContender, int, Path], AbstractContextManager[RunningContender]]


@attrs.define(eq=False)
class Figures:
    """The figures of one run: seconds, bytes, counts.

    Args:
        asked: the number of invocations.
        wrong: the wrong responses.
        cpu, server_cpu, client_cpu: seconds per invocation of all processes of the runtime, of the
            server, and of the clients.
        memory, memory_alone: the runtime's memory as PSS and as if alone; 0 if not measured.
    """

    asked: int = 0
    seconds: float = 0.0
    latencies: list[float] = attrs.field(factory=list[float])
    refused: int = 0
    wrong: list[bytes] = attrs.field(factory=list[bytes])
    cpu: float = 0.0
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    memory: int = 0
    memory_alone: int = 0
    processes: int = 0

    @property
    def throughput(self) -> float:
        """Responses per second."""
        return len(self.latencies) / self.seconds

    @property
    def fault(self) -> str:
        """A description of the wrong and missing responses, or ""."""
        answered, wrong = len(self.latencies), len(self.wrong)
        if answered == self.asked and not wrong:
            return ""
        first = f", the first with {self.wrong[0][:200]!r}" if wrong else ""
        return (
            f"of {self.asked} invocations {answered - wrong} were answered correctly,"
            f" {wrong} wrongly{first}, and {self.asked - answered} not at all"
        )

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds that this share of the responses met."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))] * 1000


@attrs.define(eq=False)
class Load:
    """Clients that ask until a number of events has been answered."""

    address: tuple[str, int]
    left: int
    figures: Figures = attrs.field(factory=Figures)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def run(self, clients: int) -> Figures:
        """Let the clients ask."""
        self.figures.asked = self.left
        threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.figures.seconds = time.perf_counter() - began
        return self.figures

    def _ask(self) -> None:
        peer = Peer(self.address)
        while self._take():
            began = time.perf_counter()
            answer = peer.ask(REQUEST)
            while (answer.status, answer.body) == REFUSED:
                self.figures.refused += 1
                time.sleep(AGAIN_AFTER)
                began = time.perf_counter()
                answer = peer.ask(REQUEST)
            self.figures.latencies.append(time.perf_counter() - began)
            if answer.status != 200 or answer.body != BODY:
                self.figures.wrong.append(answer.body)
        peer.close()

    def _take(self) -> bool:
        with self._lock:
            self.left -= 1
            return self.left >= 0


def measure(server: Server, contender: ManagedContender, count: int, clients: int, slots: int,
            folder: Path) -> Figures:  # fmt: skip
    """Run once with new processes; measure after each slot has served."""
    with server(contender, slots, folder) as managed:
        serve_some(managed, clients, slots)
        figures = lap(managed, count, clients)
        figures.memory, figures.memory_alone = managed.memory(), managed.memory_alone()
        figures.processes = len(managed.processes())
    return figures


def serve_some(managed: RunningContender, clients: int, slots: int) -> None:
    """Let each slot serve some events after the start."""
    _until_served(managed.address)
    Load(managed.address, 10 * slots).run(clients)


def lap(managed: RunningContender, count: int, clients: int) -> Figures:
    """Serve events and return the figures, without memory."""
    before = (managed.cpu(), cpu_seconds(managed.pid), time.process_time())
    figures = Load(managed.address, count).run(clients)
    after = (managed.cpu(), cpu_seconds(managed.pid), time.process_time())
    each = ((b - a) / count for a, b in zip(before, after, strict=True))
    figures.cpu, figures.server_cpu, figures.client_cpu = each
    return figures


def _until_served(address: tuple[str, int]) -> None:
    until = time.monotonic() + START_LIMIT
    peer = Peer(address)
    while (answer := peer.ask(REQUEST)).body != BODY:
        if time.monotonic() > until:
            raise TimeoutError(f"the runtime does not serve: {answer.body[:500]!r}")
        time.sleep(0.05)
        peer.close()
        peer = Peer(address)
    peer.close()


def report(runs: dict[ManagedContender, list[Figures]]) -> bool:
    """Print the medians; return whether the bars are met and every response is correct."""
    faults = [f"{c.name}: {f.fault}" for c, figures in runs.items() for f in figures if f.fault]
    if faults:
        # First, because there may be no figures.
        print("\n".join(["WRONG", *faults]))
        return False
    print(f"{'':22}  a second   p50 ms   p99 ms  CPU us  refused  processes  PSS MiB")
    for contender, figures in runs.items():
        of = [
            statistics.median(f.throughput for f in figures),
            statistics.median(f.percentile(0.5) for f in figures),
            statistics.median(f.percentile(0.99) for f in figures),
            statistics.median(f.cpu for f in figures) * 1e6,
            sum(f.refused for f in figures),
            figures[-1].processes,
            statistics.median(f.memory for f in figures) / 2**20,
        ]
        row = "  {:20} {:9.1f} {:8.1f} {:8.1f} {:7.0f} {:8} {:10} {:8.1f}"
        print(row.format(contender.name, *of))
    kept = True
    for contender in (OKIBI, PLAIN):
        pairs = list(zip(runs[contender], runs[OFFICIAL], strict=True))
        memory = statistics.median(own.memory / other.memory for own, other in pairs)
        speed = statistics.median(own.throughput / other.throughput for own, other in pairs)
        cpu = statistics.median(own.cpu / other.cpu for own, other in pairs)
        kept = kept and memory <= MEMORY_BAR and speed >= THROUGHPUT_BAR
        print(
            f"{contender.name} against awslambdaric: memory {memory:.2f} (bar {MEMORY_BAR}),"
            f" throughput {speed:.3f} (bar {THROUGHPUT_BAR}), processor time {cpu:.2f}"
        )
    return kept


def server_of(wanted: str) -> tuple[str, Server]:
    """Return a server by name, and its description. "any" prefers the emulator."""
    if wanted != "local":
        why = many_refused()
        try:
            executable = emulator()
        except NoEmulatorError as missing:
            why = str(missing)
        else:
            if not why:
                return "AWS's emulator", partial(on_emulator, executable)
        if wanted == "emulator":
            raise SystemExit(why)
        print(f"AWS's emulator cannot run ({why}): using the local server")
    return "the local server", on_local_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.endurance.concurrent", description=__doc__)
    parser.add_argument("--server", choices=("emulator", "local", "any"), default="any")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--clients", type=int, default=14)
    options = parser.parse_args()
    name, server = server_of(options.server)
    print(
        f"{options.count} invocations of a handler that waits 20 ms, {options.slots} slots,"
        f" {options.clients} clients, on {name}, {options.rounds} rounds in turn"
    )
    runs: dict[ManagedContender, list[Figures]] = {each: [] for each in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="okibi-concurrent-") as temporary:
        folder = Path(temporary)
        for contender in CONTENDERS:
            # Compiles the imports.
            measure(server, contender, 100, options.clients, options.slots, folder)
        for _ in range(options.rounds):
            for contender, figures in runs.items():
                sizes = (options.count, options.clients, options.slots)
                figures.append(measure(server, contender, *sizes, folder))
    kept = report(runs)
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    # Beside other load, one process gets less of the cores than seventeen.
    print(f"load {load:.1f} on {cores} cores")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
