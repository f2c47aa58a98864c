"""`make bench`: okibi's ratios, measured in one run on this machine; `make bench-full`, with more
rounds, and the peers that want more to be installed.

Contenders take turns (A B C A B C ...), so a machine that slows down slows all of them, and where
they can wait for each other they do so in laps of a fraction of a second, of which a round's ratio
is the median. A row is the median of its rounds' ratios, with the smallest and the largest beside
it. One whose middle half lies further apart than a tenth is marked as wide: it claims no more than
that.
"""

import argparse
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from okibi.cli.bench.machine import this_machine
from okibi.cli.output import discard_output
from okibi.cli.until_signal import BY_SIGNAL, SIGPIPE
from okibi.runtime.codec.json import COMPILED

from . import overhead
from .actors import measure_actors
from .calls import measure_calls
from .contenders import Absent
from .crashes import crashes
from .emulated import emulated
from .growth import growth
from .many import many
from .peers.table import PINS, measure_peers
from .reporting.readme_table import show
from .reporting.results import write
from .reporting.rows import LAPS, Row, at_least_one
from .starts import starts

Groups = dict[str, Callable[[], list[Row]]]
ENCODED = {
    True: "okibi's compiled encoder writes its results",
    False: "no compiled encoder of okibi's is here: the standard library's writes its results",
}


def groups(rounds: int, count: int, *, full: bool) -> Groups:
    """What is measured, in turn, by name."""
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
    }
    return {**usual, **more} if full else usual


def measured(wanted: Groups) -> tuple[list[Row], list[str]]:
    """Measure and print; a group that cannot be had has a line that says why, and is named."""
    rows, absent = list[Row](), list[str]()
    for name, measure in wanted.items():
        try:
            if name not in ("actors", "calls") and not PINS:
                raise Absent(f"{name}: gives each process a core of its own, and so wants Linux")
            found = measure()
        except Absent as why:
            print(f"\n{why}")
            absent.append(name)
            continue
        rows += found
        print_rows(found)
    return rows, absent


def print_rows(rows: list[Row]) -> None:
    """Each group under its name."""
    for group, of_it in groupby(rows, lambda row: row.group):
        print("\n".join([group, *map(str, of_it)]), flush=True)


def verdict(rows: list[Row]) -> str:
    """How many there are, and how many are not as good as their bar, on whichever side that is."""
    compared = sum(bool(row.ratios) for row in rows)
    missed = sum(not row.met for row in rows)
    return f"{compared} ratios, of which {missed} miss their bar"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    usual = [*groups(1, 1, full=False), "table"]
    more = [name for name in groups(1, 1, full=True) if name not in usual]
    parser.add_argument("--rounds", type=at_least_one, default=7, help="%(default)s without it")
    parser.add_argument("--count", type=at_least_one, default=1000,
                        help="of small events in a round; %(default)s without it")  # fmt: skip
    parser.add_argument("--full", action="store_true", help="what takes longer, too")
    parser.add_argument("--only", metavar="GROUP",
                        help=f"{', '.join(usual)}; with --full: {', '.join(more)}")  # fmt: skip
    parser.add_argument("--keep", action="store_true",
                        help="in benchmarks/results, and in the README")  # fmt: skip
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # what `repeat` reads
    options = parser.parse_args()
    wanted = groups(options.rounds, options.count, full=options.full)
    if options.only not in (None, "table", *wanted):
        parser.error(f"--only one of {', '.join([*wanted, 'table'])}")
    if options.keep and (options.only or not options.full):
        parser.error("--keep keeps all groups, of one run: with --full and without --only")
    about = this_machine()
    print(about.describe())
    print(ENCODED[COMPILED])
    print(
        f"{options.rounds} rounds of {LAPS} laps, in all of {options.count} small events in each"
        f" round after {options.count // 6}, interleaved"
    )
    chosen = {name: one for name, one in wanted.items() if options.only in (None, name)}
    rows, absent = measured(chosen)
    # A process each, most of whose time is its start.
    few = options.rounds if options.full else min(3, options.rounds)
    beside = measure_peers(few) if options.only in (None, "table") else []
    if rows:
        print(f"\n{verdict(rows)}")
    if options.into:
        write([*rows, *beside], about, options.into)
    if options.keep and absent:
        sys.exit(f"not kept: without {' and '.join(absent)} it would be less than what is kept")
    if options.keep:
        path = write([*rows, *beside], about)
        print(f"kept in {path}")
        show(path)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError) as ended:
        # Whoever was printed for has seen enough; what was measured so far is not kept.
        with suppress(BrokenPipeError):
            sys.stdout.flush()
        discard_output(sys.stdout)
        by = signal.SIGINT if isinstance(ended, KeyboardInterrupt) else SIGPIPE
        sys.exit(BY_SIGNAL + by)
