"""A long run of the whole process: what is lost, what is left over, how its memory grows.

    python -m tests.endurance.soak [--count 1000000] [--others 200000] [--seed 1] [HANDLER ...]

serves so many invocations, of which one in a hundred raises and one in a thousand waits beyond
its deadline, by a real process in its default configuration: `make soak`. The platform's side is
the benchmarks' server (`okibi/local/select_loop.py`), in this process; each answer is checked
when it comes. Each so many invocations, with the runtime waiting for the next, its memory,
descriptors and threads are read from the kernel, and an event asks it to count its tasks and
objects.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO, Any

import attrs

from okibi.local.classic_mode import ClassicPlatform
from okibi.local.connection import Connection
from okibi.local.invocation import Invocation
from okibi.local.journal import EntryKind, Journal
from okibi.local.outcomes import InvocationOutcome
from okibi.local.select_loop import serve_runtime
from tests.support.sandbox import COMMAND, FUNCTIONS, without_lambda

# Of memory, against what it was at the first sample.
BAR = 1.02
# Seconds that an event has which is not to run out of time, and one that is. The margin of the
# default configuration is 100 ms: the handler is ended 100 ms after its event has come.
AMPLE, SHORT = 60.0, 0.2
# Objects that may be more at the last sample: of caches that fill, and of the look itself.
MORE = 100
# Seconds after which no thread waits any more that trio keeps for the next one's work.
REST = 11.0
# Seconds that the process may take from SIGTERM to its end, on a busy machine.
STOP_LIMIT = 5.0
HANDLERS = (
    "soaked.Soaked",
    "soaked.coroutine",
    "soaked.plain",
    "soaked.threaded",
    "soaked.asynchronous",
)
EXPECTED = {EntryKind.DELIVERED, EntryKind.ANSWERED}
LATE = "Runtime.DeadlineExceeded"


class Deed(Enum):
    """What an event has the handler do; see `functions/soaked.py`."""

    ECHO = "echo"
    RAISE = "raise"
    WAIT = "wait"
    LOOK = "look"
    COLLECT = "collect"


@attrs.frozen
class Plan:
    """One soak.

    Args:
        count: invocations in all, besides the looks.
        first: after how many the first sample is taken, which the others are compared with.
        every: after how many each other one.
        errors, timeouts: the shares that raise and that run out of time.
        seed: of which do.
        rest: seconds of quiet before the first sample and the last.
        short: seconds of an event that runs out of time; half of them is the margin, which
            with the default is the default one.
    """

    count: int
    first: int = 10_000
    every: int = 50_000
    errors: float = 0.01
    timeouts: float = 0.001
    seed: int = 1
    rest: float = 0.0
    short: float = SHORT

    def is_sample(self, served: int) -> bool:
        """Whether one is taken after so many."""
        return served in (self.first, self.count) or (
            served > self.first and served % self.every == 0
        )


@attrs.frozen
class Sample:
    """The runtime's process at one moment, between two invocations.

    Args:
        served: how many invocations it has had.
        rss, pss, private: its memory in KiB: resident; its share of what it shares; its own.
        descriptors: open ones.
        threads: as the kernel counts them.
        tasks, objects: as it counts them itself: trio's, and those the collector knows.
    """

    served: int
    rss: int
    pss: int
    private: int
    descriptors: int
    threads: int
    tasks: int = 0
    objects: int = 0


def sample(pid: int, served: int) -> Sample:
    """What the kernel knows of a process."""
    of = Path(f"/proc/{pid}")
    lines = (line.split() for line in (of / "smaps_rollup").read_text().splitlines()[1:])
    memory = {words[0]: int(words[1]) for words in lines}
    return Sample(
        served,
        memory["Rss:"],
        memory["Pss:"],
        memory["Anonymous:"],
        len(list((of / "fd").iterdir())),
        len(list((of / "task").iterdir())),
    )


def fault_of(deed: Deed, number: int, invocation: Invocation, outcome: InvocationOutcome) -> str:
    """What is wrong with an answer; empty if it is the one that its event asks for."""
    told: Any = json.loads(outcome.payload)
    if outcome.error_type is None:
        right = told == {"do": deed.value, "n": number} if deed is Deed.ECHO else _is_look(deed)
    else:
        error = (told["requestId"], told["errorType"])
        ours = invocation.request_id
        raised = (ours, "ValueError") == error and told["errorMessage"] == f"event {number}"
        right = raised if deed is Deed.RAISE else deed is Deed.WAIT and error == (ours, LATE)
    return "" if right else f"event {number} ({deed.value}) was answered with {outcome}"


def _is_look(deed: Deed) -> bool:
    return deed in (Deed.LOOK, Deed.COLLECT)


@attrs.define(eq=False)
class Feed:
    """Gives the runtime one event after the other, checks each answer, takes the samples.

    Args:
        plan: what is to be served.
        on_sample: told of the samples when there is another.
        pid: of the runtime's process.

    Attributes:
        done: whether all have been served.
        samples: those taken, the first the one to compare with.
        left: the objects that a full collection left, at the first sample and at the last.
        served: how many events had which deed.
        wrong: a sentence for each thing that was.
    """

    plan: Plan
    on_sample: Callable[[list[Sample]], None] = lambda _: None
    pid: int = 0
    done: bool = attrs.field(default=False, init=False)
    samples: list[Sample] = attrs.field(factory=list[Sample], init=False)
    left: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]], init=False)
    served: Counter[Deed] = attrs.field(factory=Counter[Deed], init=False)
    wrong: list[str] = attrs.field(factory=list[str], init=False)
    _random: random.Random = attrs.field(init=False)
    _platform: ClassicPlatform = attrs.field(init=False)
    _journal: Journal = attrs.field(factory=Journal, init=False)
    _number: int = attrs.field(default=0, init=False)
    _deed: Deed = attrs.field(default=Deed.ECHO, init=False)
    _offered: Invocation | None = attrs.field(default=None, init=False)
    _answers: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.plan.seed)
        self._platform = ClassicPlatform(
            time.perf_counter, time.time, self._journal, on_answer=self._judge, on_end=self._next
        )
        self._offer(self._choose())

    def connection(self, send: Any) -> Connection:
        """A connection of the runtime."""
        return Connection(self._platform, "arn:aws:lambda:xx-test-1:0:function:soaked", send)

    def _choose(self) -> Deed:
        drawn = self._random.random()
        if drawn < self.plan.timeouts:
            return Deed.WAIT
        return Deed.RAISE if drawn < self.plan.timeouts + self.plan.errors else Deed.ECHO

    def _offer(self, deed: Deed) -> None:
        self._number += not _is_look(deed)
        self._deed, self._answers = deed, 0
        event = json.dumps({"do": deed.value, "n": self._number}).encode()
        allowed = self.plan.short if deed is Deed.WAIT else AMPLE
        self._offered = Invocation(event, allowed)
        self._platform.offer(self._offered)

    def _judge(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        assert outcome is not None  # the platform tells of one that is there
        self._answers += 1
        fault = fault_of(self._deed, self._number, invocation, outcome)
        if fault:
            self.wrong.append(fault)
        elif _is_look(self._deed):
            self._take_look(json.loads(outcome.payload))

    def _take_look(self, look: dict[str, Any]) -> None:
        seen = {"tasks": look["tasks"], "objects": look["objects"]}
        self.samples[-1] = attrs.evolve(self.samples[-1], **seen)
        self.on_sample(self.samples)
        if self._deed is Deed.COLLECT:
            self.left.append(look)

    def _next(self, invocation: Invocation) -> None:
        """The runtime has come back: see that all is well with the one it had, offer the next."""
        if invocation is not self._offered or self._answers != 1:
            self.wrong.append(f"event {self._number} was answered {self._answers} times")
        odd = [entry for entry in self._journal if entry.kind not in EXPECTED]
        self.wrong += [f"at event {self._number}: {entry}" for entry in odd]
        self._journal.entries.clear()
        self.served[self._deed] += 1
        if _is_look(self._deed) and self._number == self.plan.count:
            self.done = True
        elif not _is_look(self._deed) and self.plan.is_sample(self._number):
            ends = self._number in (self.plan.first, self.plan.count)
            time.sleep(self.plan.rest if ends else 0)
            # Before the look, which itself takes memory.
            self.samples.append(sample(self.pid, self._number))
            self._offer(Deed.COLLECT if ends else Deed.LOOK)
        else:
            self._offer(self._choose())


def _more(first: dict[str, Any], last: dict[str, Any]) -> dict[str, int]:
    """Of which types the last look saw more objects than the first."""
    return dict(Counter(dict(last["types"])) - Counter(dict(first["types"])))


class Log:
    """Reads what the process writes, so that it never waits for a reader, and counts it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.errors: Counter[str] = Counter()
        self.other: list[str] = []
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            if line.startswith(b"[ERROR] "):
                self.errors[line.split()[1].rstrip(b":").decode()] += 1
            elif not line.startswith((b"Traceback", b"\xc2\xa0")):
                self.other.append(line.decode("utf-8", "replace").rstrip())

    def end(self) -> None:
        """Wait until all has been read, when the process has ended."""
        self._thread.join(STOP_LIMIT)


@attrs.define(eq=False)
class Soaked:
    """What came of one soak."""

    handler: str
    feed: Feed
    log: Log
    code: int | None = None
    seconds: float = 0.0

    def faults(self) -> list[str]:
        """Everything that was lost, doubled, wrong or left over; memory aside."""
        feed, wrong = self.feed, list(self.feed.wrong)
        asked, told = feed.served, self.log.errors
        if asked[Deed.ECHO] + asked[Deed.RAISE] + asked[Deed.WAIT] != feed.plan.count:
            wrong.append(f"{feed.plan.count} events were to be served: {asked}")
        if told != Counter({"ValueError": asked[Deed.RAISE], LATE: asked[Deed.WAIT]}):
            wrong.append(f"of {asked} the log tells {told}")
        wrong += [f"the log says: {line}" for line in self.log.other]
        if self.code != 0:
            wrong.append(f"told to end, its exit code was {self.code}")
        for what in ("descriptors", "threads", "tasks"):
            before, after = (getattr(feed.samples[at], what) for at in (0, -1))
            if after > before:
                wrong.append(f"{what}: {before} after {feed.plan.first}, {after} at the end")
        if len(feed.left) == 2 and feed.left[1]["objects"] > feed.left[0]["objects"] + MORE:
            wrong.append(f"objects are left over: {_more(*feed.left)}")
        return wrong

    def growth(self) -> float:
        """The largest memory of any later sample, against that of the first."""
        first, *later = self.feed.samples
        return max(max(s.rss / first.rss, s.private / first.private) for s in later)


def soak(
    handler: str, plan: Plan, on_sample: Callable[[list[Sample]], None] = lambda _: None
) -> Soaked:
    """Run one, to its end.

    Args:
        handler: of `functions/`.
        plan: how long, and with what.
        on_sample: told of the samples when there is another.

    Raises:
        RuntimeError: the runtime does not answer any more.
    """
    feed = Feed(plan, on_sample)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        margin = f"{plan.short / 2 * 1000:.0f}"
        told = {
            "AWS_LAMBDA_RUNTIME_API": address,
            "_HANDLER": handler,
            "OKIBI_DEADLINE_MARGIN_MS": margin,
        }
        with subprocess.Popen(
            COMMAND,
            cwd=FUNCTIONS,
            env={**without_lambda(), **told},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            soaked = Soaked(handler, feed, Log(process.stdout))
            began, feed.pid = time.perf_counter(), process.pid
            try:
                with serve_runtime(listener, feed, process):
                    soaked.seconds = time.perf_counter() - began - 2 * plan.rest
                    process.send_signal(signal.SIGTERM)
                    soaked.code = process.wait(STOP_LIMIT)
            except RuntimeError as error:
                process.kill()
                soaked.log.end()
                raise RuntimeError(f"{handler}: {error}; it said {soaked.log.other}") from None
            finally:
                process.kill()
                soaked.log.end()
    return soaked


HEAD = "   served      RSS  ratio  private  ratio      PSS  fds  threads  tasks  objects"


def row(s: Sample, first: Sample) -> str:
    """A sample as a line of the table, memory in KiB and against the first sample's."""
    return (
        f"{s.served:9}  {s.rss:7}  {s.rss / first.rss:.3f}  {s.private:7}  "
        f"{s.private / first.private:.3f}  {s.pss:7}  {s.descriptors:3}  {s.threads:7}  "
        f"{s.tasks:5}  {s.objects:7}"
    )


def print_row(samples: list[Sample]) -> None:
    """Print the last sample."""
    print(row(samples[-1], samples[0]), flush=True)


def report(soaked: Soaked) -> bool:
    """Print what came of one. Whether all bars are met."""
    feed, faults, growth = soaked.feed, soaked.faults(), soaked.growth()
    served = feed.served
    left = " and ".join(str(look["objects"]) for look in feed.left)
    print(f"objects after a full collection, first and last sample: {left}; {_more(*feed.left)}")
    print(
        f"{served[Deed.ECHO]} echoes, {served[Deed.RAISE]} errors, {served[Deed.WAIT]} time-outs "
        f"in {soaked.seconds:.0f} s ({soaked.seconds / feed.plan.count * 1e6:.0f} us each); "
        f"{len(faults)} lost, doubled, wrong or left over"
    )
    print("\n".join(faults[:20]), end="\n" * bool(faults))
    verdict = "met" if growth <= BAR else "MISSED"
    print(f"memory against the first sample, at most: {growth:.3f}; bar {BAR}: {verdict}")
    return not faults and growth <= BAR


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("handlers", nargs="*", default=HANDLERS, metavar="HANDLER")
    parser.add_argument("--count", type=int, default=1_000_000, help="of the first handler")
    parser.add_argument("--others", type=int, default=200_000, help="of each other one")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}; load {os.getloadavg()[0]:.1f}")
    met = True
    for number, handler in enumerate(options.handlers):
        count = options.others if number else options.count
        plan = Plan(count, first=min(10_000, count // 5), seed=options.seed, rest=REST)
        print(f"\n{handler}: {plan}\n{HEAD}")
        met = report(soak(handler, plan, print_row)) and met
        sys.stdout.flush()
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
