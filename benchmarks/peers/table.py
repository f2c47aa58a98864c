"""The table of `make bench` that compares okibi's actors and supervisors with their peers.

`python -m benchmarks.peers.table` prints it alone. Contenders take turns (A B A B ...), each in a
new process. A figure is the median of its rounds, with the smallest and the largest. A contender
that is missing or fails gets a line with the reason, and is not tried again.

The contenders written in Python share one interpreter: the newest of this checkout, because triotp
needs Python 3.13. Each runs twice per round, on all cores and pinned to one, and the better of the
two counts in each column.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks.contenders import Absent
from benchmarks.reporting.rows import RatioRow, at_least_one, compare
from okibi.bench.machine import this_machine

HERE = Path(__file__).parent
NEWEST = HERE.parent.parent / ".venv-newest" / "bin" / "python"
PYTHON = str(NEWEST) if NEWEST.exists() else sys.executable
COLUMNS = ("call", "cast", "start")
# Seconds after which a contender is given up.
PATIENCE = 60.0


@attrs.frozen
class PeerProgram:
    """A contender: how to run it, and how to install it."""

    name: str
    command: tuple[str, ...]
    cure: str = ""

    @property
    def in_python(self) -> bool:
        """Whether the contender is one Python interpreter, in which threads take turns."""
        return self.command[0] == PYTHON


def _module(name: str, module: str, cure: str = "") -> PeerProgram:
    return PeerProgram(name, (PYTHON, "-m", f"benchmarks.peers.{module}"), cure)


def _erlang(behaviour: str) -> PeerProgram:
    command = ("escript", str(HERE / "gen_server.escript"), behaviour)
    return PeerProgram(behaviour, command, "apt-get install erlang-base (Debian, Ubuntu)")


OKIBI = _module("okibi", "okibi_server")
PEERS = (
    OKIBI,
    _module("bare trio", "bare_trio"),
    _module("triotp", "triotp_server", "make bench installs it where there is Python 3.13"),
    _module("Pykka", "pykka_actor", "make bench installs it"),
    _module("Thespian", "thespian_actor", "make bench-full installs it"),
    _module("xoscar", "xoscar_actor", "make bench-full installs it"),
    _erlang("gen_server"),
    _erlang("supervisor"),
)

PINS = hasattr(os, "sched_setaffinity")
"""Whether processes can be pinned to cores here."""


@attrs.frozen
class PeerRun:
    """The figures of one contender in one round.

    Args:
        figures: microseconds by column.
        versions: the measured versions.
        pinned: the columns that were better on one core.
    """

    figures: dict[str, float]
    versions: str
    pinned: tuple[str, ...] = ()


def run(peer: PeerProgram, counts: tuple[int, ...], *, pinned: bool = False) -> PeerRun:
    """Run one contender.

    Args:
        peer: the contender.
        counts: the number of each operation.
        pinned: whether the contender has one core.

    Raises:
        Absent: the contender is not installed, failed, or did not end.
    """
    if shutil.which(peer.command[0]) is None:
        raise Absent(f"no {peer.command[0]} here: {peer.cure}")
    command = [*peer.command, *map(str, counts)]
    try:
        with _cores(pinned=pinned):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
    except subprocess.TimeoutExpired:
        raise Absent(f"did not end within {PATIENCE:g} s") from None
    if done.returncode != 0:
        # The last line with a word: a group of errors ends in a frame.
        words = [line.strip(" |+-") for line in done.stderr.splitlines()]
        said = ([*filter(None, words)] or [f"ended with exit code {done.returncode}"])[-1][:120]
        raise Absent(f"{said}: {peer.cure}" if "ModuleNotFoundError" in said else said)
    told = json.loads(done.stdout)
    figures = {column: told[column] for column in COLUMNS if column in told}
    return PeerRun(figures, told["versions"])


@contextmanager
def _cores(*, pinned: bool) -> Generator[None]:
    if not PINS:
        yield
        return
    there = os.sched_getaffinity(0)
    # Inherited by the contender.
    os.sched_setaffinity(0, {max(there)} if pinned else there)
    try:
        yield
    finally:
        os.sched_setaffinity(0, there)


def better(free: list[PeerRun], pinned: list[PeerRun]) -> list[PeerRun]:
    """Return the runs with the smaller median, column by column."""
    quicker = {
        column: min(free, pinned, key=lambda runs: statistics.median(_column(runs, column)))
        for column in free[0].figures
    }
    on_one = tuple(column for column, runs in quicker.items() if runs is pinned)
    return [
        PeerRun({column: runs[n].figures[column] for column, runs in quicker.items()},
                each.versions, on_one)
        for n, each in enumerate(free)
    ]  # fmt: skip


def _column(runs: list[PeerRun], column: str) -> list[float]:
    return [one.figures[column] for one in runs]


Rounds = tuple[dict[PeerProgram, list[PeerRun]], dict[PeerProgram, str]]


def rounds(count: int, counts: tuple[int, ...]) -> Rounds:
    """Let all contenders take turns; return the figures, and the reasons of those without."""
    free: dict[PeerProgram, list[PeerRun]] = {peer: [] for peer in PEERS}
    pinned: dict[PeerProgram, list[PeerRun]] = {
        peer: [] for peer in PEERS if peer.in_python and PINS
    }
    absent: dict[PeerProgram, str] = {}
    for _ in range(count):
        for peer in PEERS:
            if peer in absent:
                continue
            try:
                free[peer].append(run(peer, counts))
                if peer in pinned:
                    pinned[peer].append(run(peer, counts, pinned=True))
            except Absent as why:
                if peer is OKIBI:
                    raise SystemExit(f"okibi did not run: {why}") from None
                absent[peer] = str(why)
    found = {
        peer: better(runs, pinned[peer]) if peer in pinned else runs
        for peer, runs in free.items()
        if peer not in absent
    }
    return found, absent


def _figure(values: list[float]) -> str:
    median = statistics.median(values)
    return f"{median:8.2f} ({min(values):.2f} to {max(values):.2f})"


def report(found: dict[PeerProgram, list[PeerRun]], absent: dict[PeerProgram, str]) -> None:
    """Print the table, and what was measured."""
    head = ("call, reply", "cast, handled", "start and stop of a child")
    print("  {:12}{:28}{:28}{}".format("us each", *head))
    for peer in PEERS:
        if peer in absent:
            print(f"  {peer.name:12}{absent[peer]}")
            continue
        runs = found[peer]
        columns = runs[0].figures
        figures = [
            _figure(_column(runs, column)) if column in columns else "" for column in COLUMNS
        ]
        print("  {:12}{:28}{:28}{:28}".format(peer.name, *figures).rstrip())
    for peer, runs in found.items():
        on_one = f"; faster on one core: {', '.join(runs[0].pinned)}" if runs[0].pinned else ""
        print(f"  {peer.name} is {runs[0].versions}{on_one}")


def rows_of(found: dict[PeerProgram, list[PeerRun]]) -> list[RatioRow]:
    """Build the rows: okibi's ratios to the others."""
    rows: list[RatioRow] = []
    for peer, runs in found.items():
        if peer is OKIBI:
            continue
        for column in filter(runs[0].figures.__contains__, COLUMNS):
            pair = [_column(each, column) for each in (found[OKIBI], runs)]
            rows.append(compare("peers", f"{column}, okibi / {peer.name}", pair, "us", digits=2))
    return rows


def measure_peers(count: int, counts: tuple[int, ...] = (500, 5000, 5000, 1000)) -> list[RatioRow]:
    """Measure and print; return the rows to keep."""
    warmup, calls, casts, starts = counts
    print(f"\nactors and supervisors beside their peers, on {this_machine().describe()};")
    print(f"  {count} rounds of {calls} calls, {casts} casts, {starts} starts after {warmup} each;")
    print("  children of okibi and of supervisor belong to a DynamicSupervisor or its equivalent;")
    print("  gen_server's are started and stopped by their caller, without a supervisor;")
    if PINS:
        print("  a Python program has the better figure of all cores and of one core")
    found, absent = rounds(count, counts)
    report(found, absent)
    rows = rows_of(found)
    print(*rows, sep="\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.peers.table", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=7)
    measure_peers(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
