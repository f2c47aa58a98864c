"""Perform one run in this process: `python -m okibi.bench.process`.

Reads a `RunSpec` as JSON from stdin, starts the runtime in the same environment and folder, serves
events to it, and prints the `RunResult`. With two cores or more, this process uses one and leaves
the others to the runtime, so that neither delays the other. The process exits when the reader of
its stdout has gone.
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

from ..local.sandbox.environment import process_mark
from ..local.sandbox.orphan_killer import kill_marked
from ..local.sandbox.processes import (
    core_wait_seconds,
    cpu_seconds,
    descendants,
    peak_memory,
    tree_memory,
)
from ..project.start_errors import find_last_line, summarize_stacks
from .event_feed import EventFeed
from .results import DISK_FULL, TIMED_OUT, RunResult, RunSpec
from .select_loop import serve_runtime
from .split_cores import Shares, split_cores, start_on_share

Amount = TypeVar("Amount", int, float)

# An ended process counts if its peak exceeds the largest living process's by this factor.
NOTABLY_LARGER = 1.25
# Seconds between SIGTERM and SIGKILL.
GRACE = 1.0
# Linux, `prctl(2)`: orphaned descendants become children of this process.
PR_SET_CHILD_SUBREAPER = 36
# Written to test for a full disk. Large, because a failed print leaves some bytes free.
PROBE = bytes(1 << 16)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def measure_run(spec: RunSpec) -> RunResult:
    """Start a runtime, measure one run, and stop the runtime.

    Raises:
        RuntimeError: the runtime exited, or does not answer; contains its last log line.
    """
    feed = EventFeed(
        spec.event, spec.timeout, spec.warm_events, spec.warm_seconds, spec.seconds,
        spec.slots,
    )  # fmt: skip
    patience = spec.silence + spec.timeout
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as listener,
        tempfile.TemporaryFile() as log,
    ):
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        started = time.perf_counter()
        with _run_runtime(spec, address, log) as runtime:
            figures = _ProcessFigures(runtime)
            deadlines = _Deadlines(feed, runtime, figures)
            feed.on_warm, feed.on_end = figures.begin, figures.end
            # All present objects live as long as this process; the collector can skip them.
            gc.freeze()
            try:
                with serve_runtime(listener, feed, runtime, patience, deadlines):
                    result = figures.make_result(feed, started)
            except RuntimeError as error:
                raise RuntimeError(f"{error}{_describe_failure(feed, log)}") from error
            if result.errors and not _has_disk_space(log):
                # The handler may have failed to print, which cannot happen on Lambda.
                raise RuntimeError(DISK_FULL)
    return figures.add_ended_processes(result)


@attrs.define(eq=False)
class _Runtime:
    """The runtime's process; replaced by a new process after each time-out."""

    spec: RunSpec
    address: str
    log: IO[bytes]
    process: "subprocess.Popen[bytes]" = attrs.field(init=False)
    shares: Shares | None = attrs.field(factory=split_cores, init=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.poll()

    def start(self) -> None:
        self.process = start_on_share(
            self.shares,
            self.spec.command,
            env={**os.environ, "AWS_LAMBDA_RUNTIME_API": self.address},
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def _run_runtime(spec: RunSpec, address: str, log: IO[bytes]) -> Generator[_Runtime]:
    runtime = _Runtime(spec, address, log)
    with ExitStack() as stack:
        with _defer_signals():
            runtime.start()
            stack.callback(lambda: _end_runtime(runtime.process))
        yield runtime


@contextmanager
def _defer_signals() -> Generator[None]:
    """Defer signals while a process starts, so that the handler knows the process to stop."""
    received: list[int] = []
    before = [signal.signal(number, lambda it, _: received.append(it)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
    for first in received[:1]:
        signal.raise_signal(first)


def _end_runtime(process: "subprocess.Popen[bytes]") -> None:
    """End the runtime as Lambda ends a sandbox: SIGTERM, then SIGKILL to the process group."""
    # Only now: while events are served, init reaps orphans immediately.
    _adopt_orphans()
    try:
        # A second signal must not interrupt this function and leave a process behind.
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
    """Become the parent of orphaned descendants (Linux), to end those in other sessions too."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_orphans() -> None:
    # Processes orphaned while events were served are children of init; find them by their mark.
    if mark := process_mark(os.environ):
        kill_marked([mark], GRACE)
    # A killed process leaves its children to this one. Processes of other users cannot be killed.
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
class _ProcessFigures:
    """Processor time and memory of the runtime's processes, at begin and end of the measurement."""

    runtime: _Runtime
    _cpu: tuple[float | None, float | None] = (None, None)
    _own: tuple[float, float] = (0.0, 0.0)
    _waited: tuple[float | None, float | None] = (None, None)
    _cpu_of_killed: float = 0.0
    _peak_of_killed: int = 0
    # The peak memory of the largest process in bytes.
    _largest: int = 0

    def begin(self) -> None:
        self._cpu = (self._spent(), None)
        self._waited = (_waited(), None)
        self._own = (time.process_time(), 0.0)

    def end(self) -> None:
        self._own = (self._own[0], time.process_time())
        self._waited = (self._waited[0], _waited())
        self._cpu = (self._cpu[0], self._spent())

    def save_before_kill(self) -> None:
        """Read the figures of processes that are about to be killed."""
        self._cpu_of_killed = self._spent() or 0.0
        self._peak_of_killed = self._peak() or 0

    def _spent(self) -> float | None:
        spent = _sum_over_tree(cpu_seconds, self.runtime.pid)
        return None if spent is None else self._cpu_of_killed + spent

    def _peak(self) -> int | None:
        def largest(pid: int) -> int:
            self._largest = max(self._largest, size := peak_memory(pid))
            return size

        peak = _sum_over_tree(largest, self.runtime.pid)
        return None if peak is None else max(self._peak_of_killed, peak)

    def _share_waited(self) -> float | None:
        before, after = self._waited
        # On a shared core, this process waits for the runtime.
        if before is None or after is None or self.runtime.shares is None:
            return None
        ran, waited = self._own[1] - self._own[0], after - before
        return waited / (ran + waited) if ran + waited else 0.0

    def make_result(self, feed: EventFeed, started: float) -> RunResult:
        seconds = feed.ended - feed.began
        before, after = self._cpu
        spent = None
        if before is not None and after is not None:
            # Can be negative: the time of an ended child that was not waited for is lost.
            spent = max(0.0, after - before) / feed.count * 1e6
        return RunResult(
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
            api_share=(self._own[1] - self._own[0]) / seconds,
            api_waited=self._share_waited(),
            memory=_memory(self.runtime.pid),
            peak=self._peak(),
            processes=len(_processes(self.runtime.pid)) if _has_proc() else None,
        )

    def add_ended_processes(self, result: RunResult) -> RunResult:
        """Add the peak of a process that had ended before the figures were read.

        The system provides the largest peak of all ended children, after the runtime's exit.
        """
        if result.peak is None:
            return result
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        # The peak of a child starts with the memory of this process.
        if largest < NOTABLY_LARGER * max(self._largest, peak_memory(os.getpid())):
            return result
        return attrs.evolve(result, peak=result.peak + largest)


@attrs.frozen
class _Deadlines:
    """Times out events; in the classic mode the process is killed and replaced, as on Lambda."""

    feed: EventFeed
    runtime: _Runtime
    figures: _ProcessFigures

    @property
    def due(self) -> float:
        return self.feed.due

    def passed(self, disconnect: Callable[[], None]) -> None:
        # First, so that the time of the kill does not count for the event.
        self.feed.expire()
        if self.feed.slots is not None or self.feed.done:
            return
        self.figures.save_before_kill()
        self.runtime.kill()
        disconnect()
        with _defer_signals():
            self.runtime.start()


def _processes(pid: int) -> list[int]:
    return [pid, *descendants(pid)] if _has_proc() else [pid]


def _has_proc() -> bool:
    """Whether /proc exists, which tells the parents of processes."""
    return Path("/proc/self/stat").exists()


def _waited() -> float | None:
    try:
        return core_wait_seconds()
    except OSError:
        return None


def _memory(pid: int) -> int | None:
    try:
        return tree_memory(pid)
    except (OSError, ValueError):
        return None


def _sum_over_tree(of: Callable[[int], Amount], pid: int) -> Amount | None:
    """Sum a figure over all processes of the runtime; None if the system does not provide it."""
    try:
        total = of(pid)
    except (OSError, ValueError):
        return None
    for child in _processes(pid)[1:]:
        # A child may end meanwhile.
        with suppress(OSError, ValueError):
            total += of(child)
    return total


def _has_disk_space(log: IO[bytes]) -> bool:
    """Whether the log can grow; the log is unchanged afterwards."""
    size = os.fstat(log.fileno()).st_size
    try:
        return os.pwrite(log.fileno(), PROBE, size) == len(PROBE)
    except OSError:
        return False
    finally:
        os.ftruncate(log.fileno(), size)


def _describe_failure(feed: EventFeed, log: IO[bytes]) -> str:
    """Describe the progress, the last log line, and the cure for a short time-out or full disk."""
    if not _has_disk_space(log):
        # The log lacks its last lines.
        return f"{_describe_progress(feed)}; {DISK_FULL}"
    # 1 MiB holds the stacks of a hundred threads with at most a hundred frames each.
    log.seek(max(0, log.seek(0, os.SEEK_END) - (1 << 20)))
    lines = log.read().decode("utf-8", "replace").split("\n")
    stacks = summarize_stacks(lines)
    last_line = stacks or find_last_line(lines)
    last = f"; last log line: {last_line}" if last_line else ""
    if not stacks and not feed.errors[TIMED_OUT]:
        return _describe_progress(feed) + last
    less = "" if feed.slots is None else " or less --concurrency"
    return f"{_describe_progress(feed)}{last}; give a longer --timeout{less}"


def _describe_progress(feed: EventFeed) -> str:
    if feed.lanes < feed.expected_lanes:
        if feed.slots is None:
            return ""
        return f"; only {feed.lanes} of {feed.expected_lanes} lanes connected"
    if not feed.served:
        return ""
    late = feed.errors[TIMED_OUT]
    time_outs = f", {late:,} of them timed out after {feed.timeout:g} s" if late else ""
    return f", after {feed.served:,} events{time_outs}"


def _exit_on_signal(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _exit_with_reader() -> None:
    """Send SIGTERM to this process when the reader of stdout has gone: a killed reader cannot.

    Runs in a thread that only waits, and takes no time of the measurement. Rejected:
    `prctl(PR_SET_PDEATHSIG)`, which fires when the parent's starting thread exits.
    """
    stdout = select.poll()
    # An event mask of 0 reports only that the reader has closed the pipe.
    stdout.register(sys.stdout.fileno(), 0)
    stdout.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Read the spec, perform the run, print the result, and return the exit code."""
    for number in SIGNALS:
        signal.signal(number, _exit_on_signal)
    threading.Thread(target=_exit_with_reader, daemon=True).start()
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=RunSpec)
    try:
        result = measure_run(spec)
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        _end_orphans()
    sys.stdout.buffer.write(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
