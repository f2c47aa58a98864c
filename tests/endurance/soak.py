"""A long run of the whole process: what is lost, what is left over, how much memory grows.

    python -m tests.endurance.soak [--count 1000000] [--others 200000] [--seed 1] [HANDLER ...]

Serves many invocations with a real process in its default configuration: `make soak`. One in a
hundred raises, one in a thousand waits beyond its deadline. The platform is the benchmarks' server
(`okibi/bench/select_loop.py`) in this process, and checks each response. At intervals, between two
invocations, memory, descriptors and threads are read from the kernel, and an event asks the process
to count its tasks and objects.
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

from okibi.bench.select_loop import serve_runtime
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.hooks import RuntimeApiHooks
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import EntryKind, Journal
from okibi.local.platform.outcomes import InvocationOutcome
from okibi.local.server.connection import Connection
from tests.support.sandbox import COMMAND, FUNCTIONS, without_lambda

# Maximum ratio of memory to the first sample.
BAR = 1.02
# Time-outs in seconds of events that end in time, and of those that do not. The default margin is
# 100 ms: the handler is ended 100 ms after its event.
AMPLE, SHORT = 60.0, 0.2
# Additional objects allowed at the last sample: filling caches, and the count itself.
MORE = 100
# Seconds after which trio's idle threads have ended.
REST = 11.0
# Seconds from SIGTERM to the end of the process, on a busy machine.
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


class Action(Enum):
    """The action that an event asks of the handler (`functions/soaked.py`)."""

    ECHO = "echo"
    RAISE = "raise"
    WAIT = "wait"
    LOOK = "look"
    COLLECT = "collect"


@attrs.frozen
class Plan:
    """One soak.

    Args:
        count: invocations in total, without counting events.
        first: the number of invocations before the first sample, with which others are compared.
        every: the number of invocations between later samples.
        errors, timeouts: the shares of invocations that raise and that time out.
        seed: selects them.
        rest: seconds of quiet before the first and the last sample.
        short: the time-out in seconds of events that time out. Half of it is the margin, which is
            the default margin if `short` is the default.
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
        """Whether a sample is due after this many invocations."""
        return served in (self.first, self.count) or (
            served > self.first and served % self.every == 0
        )


@attrs.frozen
class Sample:
    """The runtime's process between two invocations.

    Args:
        served: invocations so far.
        rss, pss, private: memory in KiB: resident; with shared pages divided; private.
        descriptors: open descriptors.
        threads: the threads by the kernel's count.
        tasks, objects: trio's tasks, and the objects known to the collector, by the process's
            count.
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
    """Return the kernel's figures of a process."""
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


def fault_of(kind: Action, number: int, invocation: Invocation, outcome: InvocationOutcome) -> str:
    """Return what is wrong with a response, or ""."""
    told: Any = json.loads(outcome.payload)
    if outcome.error_type is None:
        right = told == {"do": kind.value, "n": number} if kind is Action.ECHO else _is_look(kind)
    else:
        error = (told["requestId"], told["errorType"])
        ours = invocation.request_id
        raised = (ours, "ValueError") == error and told["errorMessage"] == f"event {number}"
        right = raised if kind is Action.RAISE else kind is Action.WAIT and error == (ours, LATE)
    return "" if right else f"event {number} ({kind.value}) was answered with {outcome}"


def _is_look(kind: Action) -> bool:
    return kind in (Action.LOOK, Action.COLLECT)


@attrs.define(eq=False)
class SoakFeed:
    """Feeds the runtime with events, checks each response, and takes the samples.

    Args:
        plan: the soak.
        on_sample: called with all samples after each new one.
        pid: the runtime's process.

    Attributes:
        done: whether all events have been served.
        samples: the samples so far; others are compared with the first.
        left: the objects left by a full collection, at the first and the last sample.
        served: events by kind.
        wrong: a sentence per fault.
    """

    plan: Plan
    on_sample: Callable[[list[Sample]], None] = lambda _: None
    pid: int = 0
    done: bool = attrs.field(default=False, init=False)
    samples: list[Sample] = attrs.field(factory=list[Sample], init=False)
    left: list[dict[str, Any]] = attrs.field(factory=list[dict[str, Any]], init=False)
    served: Counter[Action] = attrs.field(factory=Counter[Action], init=False)
    wrong: list[str] = attrs.field(factory=list[str], init=False)
    _random: random.Random = attrs.field(init=False)
    _platform: ClassicPlatform = attrs.field(init=False)
    _journal: Journal = attrs.field(factory=Journal, init=False)
    _number: int = attrs.field(default=0, init=False)
    _kind: Action = attrs.field(default=Action.ECHO, init=False)
    _offered: Invocation | None = attrs.field(default=None, init=False)
    _answers: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.plan.seed)
        self._platform = ClassicPlatform(
            time.perf_counter,
            time.time,
            self._journal,
            on_answer=self._judge,
            hooks=RuntimeApiHooks(on_end=self._next),
        )
        self._offer(self._choose())

    def connection(self, send: Any) -> Connection:
        """Accept a connection of the runtime."""
        return Connection(self._platform, "arn:aws:lambda:xx-test-1:0:function:soaked", send)

    def _choose(self) -> Action:
        drawn = self._random.random()
        if drawn < self.plan.timeouts:
            return Action.WAIT
        return Action.RAISE if drawn < self.plan.timeouts + self.plan.errors else Action.ECHO

    def _offer(self, kind: Action) -> None:
        self._number += not _is_look(kind)
        self._kind, self._answers = kind, 0
        event = json.dumps({"do": kind.value, "n": self._number}).encode()
        allowed = self.plan.short if kind is Action.WAIT else AMPLE
        self._offered = Invocation(event, allowed)
        self._platform.offer(self._offered)

    def _judge(self, invocation: Invocation) -> None:
        outcome = invocation.outcome
        assert outcome is not None  # set before on_answer
        self._answers += 1
        fault = fault_of(self._kind, self._number, invocation, outcome)
        if fault:
            self.wrong.append(fault)
        elif _is_look(self._kind):
            self._take_look(json.loads(outcome.payload))

    def _take_look(self, look: dict[str, Any]) -> None:
        seen = {"tasks": look["tasks"], "objects": look["objects"]}
        self.samples[-1] = attrs.evolve(self.samples[-1], **seen)
        self.on_sample(self.samples)
        if self._kind is Action.COLLECT:
            self.left.append(look)

    def _next(self, invocation: Invocation) -> None:
        """Check the event that has ended, and offer the next one."""
        if invocation is not self._offered or self._answers != 1:
            self.wrong.append(f"event {self._number} was answered {self._answers} times")
        odd = [entry for entry in self._journal if entry.kind not in EXPECTED]
        self.wrong += [f"at event {self._number}: {entry}" for entry in odd]
        self._journal.entries.clear()
        self.served[self._kind] += 1
        if _is_look(self._kind) and self._number == self.plan.count:
            self.done = True
        elif not _is_look(self._kind) and self.plan.is_sample(self._number):
            ends = self._number in (self.plan.first, self.plan.count)
            time.sleep(self.plan.rest if ends else 0)
            # Before the look, which takes memory itself.
            self.samples.append(sample(self.pid, self._number))
            self._offer(Action.COLLECT if ends else Action.LOOK)
        else:
            self._offer(self._choose())


def _more(first: dict[str, Any], last: dict[str, Any]) -> dict[str, int]:
    """Return of which types the last look saw more objects than the first."""
    return dict(Counter(dict(last["types"])) - Counter(dict(first["types"])))


class Log:
    """Reads and counts what the process writes, so that the process never waits for a reader."""

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
        """Wait until everything has been read, after the process has ended."""
        self._thread.join(STOP_LIMIT)


@attrs.define(eq=False)
class SoakResult:
    """The result of one soak."""

    handler: str
    feed: SoakFeed
    log: Log
    code: int | None = None
    seconds: float = 0.0

    def faults(self) -> list[str]:
        """Return everything lost, doubled, wrong or left over, except memory."""
        feed, wrong = self.feed, list(self.feed.wrong)
        asked, told = feed.served, self.log.errors
        if asked[Action.ECHO] + asked[Action.RAISE] + asked[Action.WAIT] != feed.plan.count:
            wrong.append(f"{feed.plan.count} events were to be served: {asked}")
        if told != Counter({"ValueError": asked[Action.RAISE], LATE: asked[Action.WAIT]}):
            wrong.append(f"of {asked} the log tells {told}")
        wrong += [f"the log says: {line}" for line in self.log.other]
        if self.code != 0:
            wrong.append(f"after SIGTERM, the exit code was {self.code}")
        for what in ("descriptors", "threads", "tasks"):
            before, after = (getattr(feed.samples[at], what) for at in (0, -1))
            if after > before:
                wrong.append(f"{what}: {before} after {feed.plan.first}, {after} at the end")
        if len(feed.left) == 2 and feed.left[1]["objects"] > feed.left[0]["objects"] + MORE:
            wrong.append(f"objects are left over: {_more(*feed.left)}")
        return wrong

    def growth(self) -> float:
        """Return the largest memory of a later sample, as a ratio to the first."""
        first, *later = self.feed.samples
        return max(max(s.rss / first.rss, s.private / first.private) for s in later)


def soak(
    handler: str, plan: Plan, on_sample: Callable[[list[Sample]], None] = lambda _: None
) -> SoakResult:
    """Run one soak, to the end.

    Args:
        handler: a handler in `functions/`.
        plan: the length of the soak, and the kinds of events.
        on_sample: called with all samples after each new one.

    Raises:
        RuntimeError: the runtime does not answer any more.
    """
    feed = SoakFeed(plan, on_sample)
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
            soaked = SoakResult(handler, feed, Log(process.stdout))
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
    """Format a sample as a line of the table, with memory in KiB and as a ratio to the first
    sample.
    """
    return (
        f"{s.served:9}  {s.rss:7}  {s.rss / first.rss:.3f}  {s.private:7}  "
        f"{s.private / first.private:.3f}  {s.pss:7}  {s.descriptors:3}  {s.threads:7}  "
        f"{s.tasks:5}  {s.objects:7}"
    )


def print_row(samples: list[Sample]) -> None:
    """Print the last sample."""
    print(row(samples[-1], samples[0]), flush=True)


def report(soaked: SoakResult) -> bool:
    """Print a result; return whether all bars are met."""
    feed, faults, growth = soaked.feed, soaked.faults(), soaked.growth()
    served = feed.served
    left = " and ".join(str(look["objects"]) for look in feed.left)
    print(f"objects after a full collection, first and last sample: {left}; {_more(*feed.left)}")
    print(
        f"{served[Action.ECHO]} echoes, {served[Action.RAISE]} errors, {served[Action.WAIT]}"
        f" time-outs in {soaked.seconds:.0f} s"
        f" ({soaked.seconds / feed.plan.count * 1e6:.0f} us each);"
        f" {len(faults)} lost, doubled, wrong or left over"
    )
    print("\n".join(faults[:20]), end="\n" * bool(faults))
    verdict = "met" if growth <= BAR else "MISSED"
    print(f"largest memory / first sample: {growth:.3f}; bar {BAR}: {verdict}")
    return not faults and growth <= BAR


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("handlers", nargs="*", default=HANDLERS, metavar="HANDLER")
    parser.add_argument("--count", type=int, default=1_000_000, help="for the first handler")
    parser.add_argument("--others", type=int, default=200_000, help="for each other handler")
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
