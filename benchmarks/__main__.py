"""Measure okibi's speed as ratios to other runtimes, in one run on this machine.

Contenders take turns (A B C A B C ...), so that a machine that slows down slows all of them. Where
contenders can wait for each other, a round consists of laps of a fraction of a second, and the
ratio of the round is the median of its laps. A row shows the median of its rounds, the smallest and
the largest. A row is wide, and claims no more than its spread, if the middle half of its rounds is
more than a tenth apart.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from okibi.bench.machine import this_machine
from okibi.cli.output import discard_output
from okibi.cli.until_signal import BY_SIGNAL, SIGPIPE
from okibi.runtime.codec.json import COMPILED

from . import overhead
from .actors import measure_actors
from .batches import batches
from .calls import measure_calls
from .contenders import Absent
from .crashes import crashes
from .emulated import emulated
from .growth import growth
from .many import many
from .peers.table import PINS, measure_peers
from .reporting.performance_table import show
from .reporting.results import write
from .reporting.rows import LAPS, RatioRow, at_least_one
from .starts import starts
from .web import web, web_growth

Groups = dict[str, Callable[[], list[RatioRow]]]
ENCODED = {
    True: "okibi encodes results with its compiled module",
    False: "okibi's compiled module is not installed: the standard library encodes results",
}


def groups(rounds: int, count: int, *, full: bool) -> Groups:
    """Return the groups to measure, by name, in order."""
    usual: Groups = {
        "overhead": lambda: overhead.small(rounds, count),
        "large": lambda: overhead.large(rounds, count),
        "starts": lambda: starts(rounds),
        "crashes": lambda: crashes(5),
        "actors": lambda: measure_actors(rounds),
        "calls": lambda: measure_calls(rounds),
    }
    more: Groups = {
        "busy wait": lambda: overhead.awake(rounds, count),
        "1 MB": lambda: overhead.large(rounds, count, (overhead.BETWEEN,)),
        "handlers": lambda: overhead.handlers(rounds, count),
        "memory": lambda: growth(min(3, rounds)),
        "peers": lambda: overhead.peers(rounds, count),
        "emulator": lambda: emulated(rounds, max(1, count // 3)),
        "many": lambda: many(max(3, rounds // 2), count),
        "web": lambda: [*web(rounds, count), *web_growth()],
        "batches": lambda: batches(rounds, count),
    }
    return {**usual, **more} if full else usual


def measure_all(wanted: Groups) -> tuple[list[RatioRow], list[str]]:
    """Measure and print each group; print why a group is absent, and return its name."""
    rows, absent = list[RatioRow](), list[str]()
    for name, measure in wanted.items():
        try:
            if name not in ("actors", "calls") and not PINS:
                raise Absent(f"{name}: gives each process its own core, which needs Linux")
            found = measure()
        except Absent as why:
            print(f"\n{why}")
            absent.append(name)
            continue
        rows += found
        print_rows(found)
    return rows, absent


def print_rows(rows: list[RatioRow]) -> None:
    """Print rows below the name of their group."""
    for group, of_it in groupby(rows, lambda row: row.group):
        print("\n".join([group, *map(str, of_it)]), flush=True)


def verdict(rows: list[RatioRow]) -> str:
    """Return how many ratios there are, and how many miss their bar."""
    compared = sum(bool(row.ratios) for row in rows)
    missed = sum(not row.met for row in rows)
    return f"{compared} ratios, {missed} of them miss their bar"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    usual = [*groups(1, 1, full=False), "table"]
    more = [name for name in groups(1, 1, full=True) if name not in usual]
    parser.add_argument("--rounds", type=at_least_one, default=7, help="default: %(default)s")
    parser.add_argument("--count", type=at_least_one, default=1000,
                        help="small events per round; default: %(default)s")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="measure the slow groups too")
    parser.add_argument("--only", metavar="GROUP",
                        help=f"{', '.join(usual)}; with --full: {', '.join(more)}")  # fmt: skip
    parser.add_argument("--keep", action="store_true",
                        help="keep the results in benchmarks/results and docs")  # fmt: skip
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # for `repeat`
    options = parser.parse_args()
    wanted = groups(options.rounds, options.count, full=options.full)
    if options.only not in (None, "table", *wanted):
        parser.error(f"--only must be one of {', '.join([*wanted, 'table'])}")
    if options.keep and (options.only or not options.full):
        parser.error("--keep needs --full, and not --only")
    about = this_machine()
    print(about.describe())
    print(ENCODED[COMPILED])
    print(
        f"{options.rounds} rounds of {LAPS} laps, interleaved; {options.count} small events a round"
        f" after a warm-up of {options.count // 6}"
    )
    chosen = {name: one for name, one in wanted.items() if options.only in (None, name)}
    rows, absent = measure_all(chosen)
    # Each of these is a process, and most of its time is its start.
    few = options.rounds if options.full else min(3, options.rounds)
    beside = measure_peers(few) if options.only in (None, "table") else []
    if rows:
        print(f"\n{verdict(rows)}")
    if options.into:
        write([*rows, *beside], about, options.into)
    if options.keep and absent:
        sys.exit(f"not kept: {' and '.join(absent)} could not be measured")
    if options.keep:
        path = write([*rows, *beside], about)
        print(f"kept in {path}")
        show(path)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError) as ended:
        # The reader has left, or Ctrl-C: nothing is kept.
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        discard_output(sys.stdout)
        by = signal.SIGINT if isinstance(ended, KeyboardInterrupt) else SIGPIPE
        sys.exit(BY_SIGNAL + by)
