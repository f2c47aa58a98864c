"""`make bench`: okibi's ratios, measured in one run on this machine; `make bench-full`, with more
rounds, and the peers that want more to be installed.

Contenders take turns (A B C A B C ...), so a machine that slows down slows all of them; a row is
the median of its rounds' ratios, with the smallest and the largest beside it. One whose middle
half lies further apart than a tenth is marked as wide: it claims no more than that.
"""

import argparse
from collections.abc import Callable

from runtime.cli.bench.machine import this_machine

from . import overhead
from .actors import measure_actors
from .crashes import crashes
from .peers.table import measure_peers
from .rows import Row, write
from .starts import starts


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--full", action="store_true", help="what takes longer, too")
    parser.add_argument("--only", help="one group")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/DATE.json")
    options = parser.parse_args()
    rounds, count = options.rounds, options.count
    groups: dict[str, Callable[[], list[Row]]] = {
        "overhead": lambda: overhead.small(rounds, count),
        "large": lambda: overhead.large(rounds, count),
        "starts": lambda: starts(rounds),
        "crashes": lambda: crashes(3),
        "actors": lambda: measure_actors(rounds),
    }
    if options.full:
        groups["peers"] = lambda: overhead.peers(rounds, count)
    about = this_machine()
    print(about.in_words())
    print(f"{rounds} rounds, of {count} small events each after {count // 6}, interleaved")
    rows: list[Row] = []
    for name, measure in groups.items():
        if options.only in (None, name):
            found = measure()
            rows += found
            print("\n".join(map(str, found)))
    if options.only in (None, "table"):
        measure_peers(rounds)
    missed = [row for row in rows if not row.met]
    print(f"\n{len(rows)} ratios, {len(missed)} over their bar")
    if options.keep:
        print(f"kept in {write(rows, about)}")


if __name__ == "__main__":
    main()
