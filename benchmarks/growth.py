"""A runtime's memory after 100,000 invocations, compared with 1,000.

Memory is measured as if the process were alone on the machine. Plain PSS divides shared pages among
all processes, and so changes when others start or end. `make soak` runs a million invocations, some
of which fail or time out.
"""

from okibi.bench.turns import measure_in_turn

from .contenders import ASYNC, OFFICIAL, Contender, running
from .overhead import SMALL
from .reporting.rows import NO_BARS, Bars, RatioRow, compare

FIRST, LAST = 1_000, 100_000
BAR, GOAL = 1.02, 1.00
MIB = 2**20
Pair = tuple[float, float]
"""MiB after the last invocation, and after the first thousand."""


def growth(rounds: int) -> list[RatioRow]:
    """Measure okibi and the official client in turn, in a new process each round.

    Raises:
        Absent: a contender does not serve.
    """
    found = measure_in_turn((ASYNC, OFFICIAL), rounds, lambda each: grown(each, FIRST, LAST))
    print(f"\nmemory after {LAST:,} invocations, against after {FIRST:,}")
    return [row_of("async def", found[ASYNC], (BAR, GOAL)), row_of(OFFICIAL.name, found[OFFICIAL])]


def grown(contender: Contender, first: int, last: int, payload: str = SMALL[0].payload) -> Pair:
    """Measure one process.

    Raises:
        Absent: the contender does not serve.
    """
    with running(contender, payload) as one:
        one.lap(first, 0)
        before = one.memory()
        one.lap(last - first, 0)
        return one.memory() / MIB, before / MIB


def row_of(name: str, pairs: list[Pair], bars: Bars = NO_BARS) -> RatioRow:
    """Build the row of one contender."""
    what = f"{name}, after {LAST:,} / after {FIRST:,}"
    return compare("memory", what, [*zip(*pairs, strict=True)], "MiB", bars)
