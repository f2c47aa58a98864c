"""One run, in a process of its own: `python -m okibi.cli.bench.process`.

It reads a `RunOrder` as JSON from stdin, starts the runtime, which inherits its environment and its
folder, feeds it events, and prints the `Run`. It keeps one core for itself where there are two, and
leaves the others to the runtime: neither takes time of the other. Once nobody is left to read the
`Run`, it ends.
"""

import ctypes
import gc
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

import attrs
import msgspec

from ...local.environment import mark_of
from ...local.processes import (
    below,
    cpu_seconds,
    end_marked,
    peak_memory,
    tree_memory,
    waited_seconds,
)
from ...local.select_loop import served
from ..start_errors import last_said, stacks_last_said
from .feed import Feed
from .record import NO_ROOM, TIMED_OUT, Run, RunOrder

__all__ = ["main", "run"]

Amount = TypeVar("Amount", int, float)

ALIKE = 1.25
"""Times the memory of the largest process that lives, from which on another one has had more."""
GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""
PR_SET_CHILD_SUBREAPER = 36
"""Linux, `prctl(2)`: whose parent has ended is this process's child."""
ROOM = bytes(1 << 16)
"""What can be written where a disk is not full; the last print may have left less than it took."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def cores() -> tuple[set[int], set[int]] | None:
    """The runtime's cores and the server's; None where there is one, or no way to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    *others, own = sorted(os.sched_getaffinity(0))
    return (set(others), {own}) if others else None


def run(order: RunOrder) -> Run:
    """Measure one life of a runtime.

    Raises:
        RuntimeError: it ended, or does not answer; the last it has said is in it.
    """
    feed = Feed(
        order.event, order.timeout, order.warm_events, order.warm_seconds, order.seconds,
        order.slots,
    )  # fmt: skip
    patience = order.silence + order.timeout
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
        tempfile.TemporaryFile() as log,
    ):
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        started = time.perf_counter()
        with _started(order, address, log) as runtime:
            figures = _Figures(runtime)
            deadlines = _Deadlines(feed, runtime, figures)
            feed.on_warm, feed.on_end = figures.begin, figures.end
            # What is there lives as long as this process.
            gc.freeze()
            try:
                with served(listener, feed, runtime, patience, deadlines):
                    found = figures.of(feed, started)
            except RuntimeError as error:
                raise RuntimeError(f"{error}{_how_it_went(feed, log)}") from error
            if found.errors and not _has_room(log):
                # Of a handler that cannot print: on Lambda it could.
                raise RuntimeError(NO_ROOM)
    return figures.with_ended(found)


@attrs.define(eq=False)
class _Runtime:
    """The runtime's process, and another one after each whose time was up."""

    order: RunOrder
    address: str
    log: IO[bytes]
    process: "subprocess.Popen[bytes]" = attrs.field(init=False)
    shares: tuple[set[int], set[int]] | None = attrs.field(factory=cores, init=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()

    def start(self) -> None:
        if self.shares is not None:
            # What it starts inherits this; so no code need run between fork and exec.
            os.sched_setaffinity(0, self.shares[0])
        self.process = subprocess.Popen(
            self.order.command,
            env={**os.environ, "AWS_LAMBDA_RUNTIME_API": self.address},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        if self.shares is not None:
            os.sched_setaffinity(0, self.shares[1])

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def _started(order: RunOrder, address: str, log: IO[bytes]) -> Generator[_Runtime]:
    runtime = _Runtime(order, address, log)
    with ExitStack() as stack:
        with _signals_after():
            runtime.start()
            stack.callback(lambda: _end(runtime.process))
        yield runtime


@contextmanager
def _signals_after() -> Generator[None]:
    """A signal waits until a process that is being started is known: else nobody would ask it to
    end, and it would be killed.
    """
    came: list[int] = []
    before = [signal.signal(number, lambda it, _: came.append(it)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    for first in came[:1]:
        signal.raise_signal(first)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """As Lambda ends a sandbox, and with it whatever it has started."""
    # Not before: who ends while events are served is init's to bury, at once.
    _adopt_orphans()
    try:
        # Another signal would leave by way of here, and a process that takes none of them behind.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _adopt_orphans() -> None:
    """What the function has started in a session of its own is to end with it, too (Linux)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_orphans() -> None:
    # Who was orphaned while events were served is init's.
    if mark := mark_of(os.environ):
        end_marked([mark], GRACE)
    # Whoever is killed leaves us its children. One of another user's cannot be.
    until = time.monotonic() + GRACE
    while (left := _processes(os.getpid())[1:]) and time.monotonic() < until:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.005)


@attrs.define(eq=False)
class _Figures:
    """What the system tells of the runtime's processes, before and after."""

    runtime: _Runtime
    _cpu: tuple[float | None, float | None] = (None, None)
    _own: tuple[float, float] = (0.0, 0.0)
    _waited: tuple[float | None, float | None] = (None, None)
    _cpu_of_killed: float = 0.0
    _peak_of_killed: int = 0
    _largest: int = 0
    """Bytes that one process has had at most."""

    def begin(self) -> None:
        self._cpu = (self._spent(), None)
        self._waited = (_waited(), None)
        self._own = (time.process_time(), 0.0)

    def end(self) -> None:
        self._own = (self._own[0], time.process_time())
        self._waited = (self._waited[0], _waited())
        self._cpu = (self._cpu[0], self._spent())

    def before_it_is_killed(self) -> None:
        """What its processes have had, which nobody can be asked for afterwards."""
        self._cpu_of_killed = self._spent() or 0.0
        self._peak_of_killed = self._peak() or 0

    def _spent(self) -> float | None:
        spent = _sum(cpu_seconds, self.runtime.pid)
        return None if spent is None else self._cpu_of_killed + spent

    def _peak(self) -> int | None:
        def largest(pid: int) -> int:
            self._largest = max(self._largest, size := peak_memory(pid))
            return size

        peak = _sum(largest, self.runtime.pid)
        return None if peak is None else max(self._peak_of_killed, peak)

    def _share_waited(self) -> float | None:
        before, after = self._waited
        # On the one core there is, it is the runtime that it waits for.
        if before is None or after is None or self.runtime.shares is None:
            return None
        ran, waited = self._own[1] - self._own[0], after - before
        return waited / (ran + waited) if ran + waited else 0.0

    def of(self, feed: Feed, started: float) -> Run:
        seconds = feed.ended - feed.began
        before, after = self._cpu
        spent = None
        if before is not None and after is not None:
            # A child that nobody has waited for takes its time with it.
            spent = max(0.0, after - before) / feed.count * 1e6
        return Run(
            first_next_ms=(feed.first_next - started) * 1000,
            first_answer_ms=(feed.first_answer - started) * 1000,
            served=feed.served,
            errors=feed.errors,
            count=feed.count,
            seconds=seconds,
            cycles_us=[each * 1e6 for each in feed.cycles],
            answers_us=[each * 1e6 for each in feed.answers],
            busy_ms=[each * 1e3 for each in feed.busy],
            cpu_us=spent,
            server_share=(self._own[1] - self._own[0]) / seconds,
            server_waited=self._share_waited(),
            memory=_memory(self.runtime.pid),
            peak=self._peak(),
            processes=len(_processes(self.runtime.pid)) if _tells() else None,
        )

    def with_ended(self, found: Run) -> Run:
        """A run with the memory of processes that had ended before its figures were taken.

        The system tells of the largest, once the runtime is dead, and of no other.
        """
        if found.peak is None:
            return found
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        # What is started here begins with the memory of this process, and ends with some more.
        if largest < ALIKE * max(self._largest, peak_memory(os.getpid())):
            return found
        return attrs.evolve(found, peak=found.peak + largest)


@attrs.frozen
class _Deadlines:
    """Ends the events whose time is up, and with one at a time the process, as Lambda does."""

    feed: Feed
    runtime: _Runtime
    figures: _Figures

    @property
    def due(self) -> float:
        return self.feed.due

    def passed(self, disconnect: Callable[[], None]) -> None:
        # First, for it takes no time: what an event took is its time-out, and no more.
        self.feed.expire()
        if self.feed.slots is not None or self.feed.done:
            return
        self.figures.before_it_is_killed()
        self.runtime.kill()
        disconnect()
        with _signals_after():
            self.runtime.start()


def _processes(pid: int) -> list[int]:
    return [pid, *below(pid)] if _tells() else [pid]


def _tells() -> bool:
    """Whether the system tells who has started whom."""
    return Path("/proc/self/stat").exists()


def _waited() -> float | None:
    try:
        return waited_seconds()
    except OSError:
        return None


def _memory(pid: int) -> int | None:
    try:
        return tree_memory(pid)
    except (OSError, ValueError):
        return None


def _sum(of: Callable[[int], Amount], pid: int) -> Amount | None:
    """Of all the runtime's processes; None where the system does not tell."""
    try:
        total = of(pid)
    except (OSError, ValueError):
        return None
    for child in _processes(pid)[1:]:
        # A child of the handler's may have ended meanwhile.
        with suppress(OSError, ValueError):
            total += of(child)
    return total


def _has_room(log: IO[bytes]) -> bool:
    """Whether more could be printed; it is as it was afterwards."""
    size = os.fstat(log.fileno()).st_size
    try:
        return os.pwrite(log.fileno(), ROOM, size) == len(ROOM)
    except OSError:
        return False
    finally:
        os.ftruncate(log.fileno(), size)


def _how_it_went(feed: Feed, log: IO[bytes]) -> str:
    """How far it came, what it said last, and what to do where time or room was too short."""
    if not _has_room(log):
        # Its last words had none either.
        return f"{_how_far(feed)}; {NO_ROOM}"
    # Of a hundred threads the stacks have a hundred frames each at most.
    log.seek(max(0, log.seek(0, os.SEEK_END) - (1 << 20)))
    lines = log.read().decode("utf-8", "replace").split("\n")
    stacks = stacks_last_said(lines)
    said = stacks or last_said(lines)
    last = f"; the last it said: {said}" if said else ""
    if not stacks and not feed.errors[TIMED_OUT]:
        return _how_far(feed) + last
    less = "" if feed.slots is None else " or less --concurrency"
    return f"{_how_far(feed)}{last}; give a longer --timeout{less}"


def _how_far(feed: Feed) -> str:
    if feed.lanes < feed.wanted:
        return "" if feed.slots is None else f"; only {feed.lanes} of {feed.wanted} lanes came"
    if not feed.served:
        return ""
    late = feed.errors[TIMED_OUT]
    passed = f", of which {late:,} passed their time-out of {feed.timeout:g} s" if late else ""
    return f", after {feed.served:,} events{passed}"


def _leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _end_with_the_reader() -> None:
    """End as by SIGTERM once nobody can read what is to be printed: who is killed asks nobody to.

    By a thread that waits for nothing else, so it takes none of what is measured. (By the kernel,
    `prctl(PR_SET_PDEATHSIG)`, it would end with the thread that has started it.)
    """
    printed = select.poll()
    # Unasked it tells only of a pipe that has lost its other end.
    printed.register(sys.stdout.fileno(), 0)
    printed.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Read, run, print; the exit code."""
    for number in SIGNALS:
        signal.signal(number, _leave)
    threading.Thread(target=_end_with_the_reader, daemon=True).start()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=RunOrder)
    try:
        done = run(order)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        _end_orphans()
    sys.stdout.buffer.write(msgspec.json.encode(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
