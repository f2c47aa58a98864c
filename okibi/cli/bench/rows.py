# Each row is one figure of every round, taken for okibi and, where there is one, for the
# peer; the ratio is okibi's to the peer's in the same round.
#
# What the runtime takes of a cycle is not measured inside it, which would be a cost of its own. It
# is the cycle of the same function with a handler that returns the same answer and does nothing
# (`functions/okibi_stand_in.py`), measured in turn with it. The rest of the function's cycle is the
# handler's. Both are differences of two medians of the same round. The server's part of a cycle is
# in both; its processor time tells how much that is.
"""From what was measured to the rows of a report."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .figures import Figure, figure, percentile, ratio, remainder
from .plan import OKIBI
from .record import CrashTimes, Results, Run

__all__ = ["MEMORY", "THROUGHPUT", "Row", "rows"]

MB = 2**20
THROUGHPUT, MEMORY = "throughput", "memory"
"""Keys of what is drawn against the number of events at once."""

Value = float | None


@attrs.frozen
class Row:
    """One row of a report.

    Args:
        section: what it belongs to.
        name: what it tells.
        unit: of it.
        okibi, peer: what it came to; None where nobody can tell.
        ratio: okibi's to the peer's.
        slots: events at once.
        key: of what is drawn; "" for the others.
    """

    section: str
    name: str
    unit: str
    okibi: Figure | None
    peer: Figure | None = None
    ratio: Figure | None = None
    slots: int = 1
    key: str = ""


@attrs.frozen
class _Told:
    """What a row tells of one round; `has_ratio` is for what is more than nothing, `of_all` makes
    the figure of all rounds.
    """

    name: str
    unit: str
    of: Callable[[Any], Value]
    key: str = ""
    has_ratio: bool = True
    of_all: Callable[[Sequence[Value]], Figure | None] = figure


def rows(results: Results, peer: str | None, crash_limit: float) -> tuple[Row, ...]:
    """All rows.

    Args:
        results: what was measured.
        peer: the peer's name, or None.
        crash_limit: seconds that an event had whose time ran out.
    """
    names = (OKIBI,) if peer is None else (OKIBI, peer)
    runs = [results.functions[name] for name in names]
    pairs = [list(zip(results.functions[name], results.stand_ins[name], strict=True))
             for name in names]  # fmt: skip
    crashes = [results.crashes[name] for name in names]
    warm = "warm, one event at a time"
    found = [
        *_section(warm, CYCLE, runs),
        *_section(warm, SHARES, pairs),
        *_section(warm, (*EVENT, *_errors(runs)), runs),
        *_section("cold start, bytecode compiled", START, runs),
        *_section("crashes (a handler of okibi's own)", _crashes(crash_limit), crashes),
        *_section("memory of all processes", (REST, _at_most("at most", runs)), runs),
    ]
    for slots, by_name in results.many.items():
        many = [by_name[name] for name in names]
        found += _section(f"{slots} events at once", (*_many(many), *_errors(many)), many, slots)
    return tuple(found)


def _section(
    title: str, told: Sequence[_Told], rounds: Sequence[Sequence[Any]], slots: int = 1
) -> list[Row]:
    """Rows of the rounds of okibi and, where there is one, of the peer."""
    found: list[Row] = []
    for each in told:
        own, *others = [[each.of(one) for one in of_one] for of_one in rounds]
        row = Row(title, each.name, each.unit, each.of_all(own), slots=slots, key=each.key)
        for other in others:
            compared = ratio(own, other) if each.has_ratio else None
            row = attrs.evolve(row, peer=each.of_all(other), ratio=compared)
        found.append(row)
    return found


# -- what is told of a run


def _percentile_of(name: str, share: float) -> Callable[[Run], Value]:
    return lambda run: percentile(sorted(getattr(run, name)), share)


def _percentiles(title: str, name: str) -> list[_Told]:
    shares = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
    return [_Told(f"{title}, {words}", "us", _percentile_of(name, share))
            for share, words in shares]  # fmt: skip


def _mb(size: int | None) -> Value:
    return None if size is None else size / MB


def _errors(rounds: Sequence[Sequence[Run]]) -> list[_Told]:
    if not any(run.errors for runs in rounds for run in runs):
        return []
    return [_Told("answers that are errors", "%",
                  lambda run: sum(run.errors.values()) / run.served * 100)]  # fmt: skip


_cycle = _percentile_of("cycles_us", 0.5)


def _handler_s(pair: tuple[Run, Run]) -> Value:
    whole, others = _cycle(pair[0]), _cycle(pair[1])
    return None if whole is None or others is None else whole - others


EVENTS = _Told("events", "a second", lambda run: run.count / run.seconds, THROUGHPUT)
RUNTIME_S = _Told("processor time of the runtime", "us", lambda run: run.cpu_us)
BUSY = _Told("the server's share of a core", "%", lambda run: run.server_share * 100)
CYCLE = (EVENTS, *_percentiles("a cycle", "cycles_us"))
SHARES = (
    _Told("of p50 the runtime's and the server's", "us", lambda pair: _cycle(pair[1])),
    # Of two differences that are almost nothing a ratio says nothing.
    _Told("of p50 the handler's", "us", _handler_s, has_ratio=False, of_all=remainder),
)
EVENT = (
    _Told("processor time of the server", "us",
          lambda run: run.server_share * run.seconds / run.count * 1e6),
    RUNTIME_S,
    *_percentiles("event to answer", "answers_us"),
)  # fmt: skip
START = (
    _Told("to the first GET /next", "ms", lambda run: run.first_next_ms),
    _Told("to the first answer", "ms", lambda run: run.first_answer_ms),
)
REST = _Told("at the end", "MB", lambda run: _mb(run.memory), MEMORY)


def _at_most(name: str, rounds: Sequence[Sequence[Run]]) -> _Told:
    # What several processes share each of them counts: a ratio of that says nothing.
    single = all(run.processes == 1 for runs in rounds for run in runs)
    return _Told(name, "MB", lambda run: _mb(run.peak), has_ratio=single)


def _many(rounds: Sequence[Sequence[Run]]) -> tuple[_Told, ...]:
    return (
        EVENTS,
        RUNTIME_S,
        _Told("event to answer, p50", "us", _percentile_of("answers_us", 0.5)),
        _Told("event to answer, p99", "us", _percentile_of("answers_us", 0.99)),
        _Told("memory at the end", "MB", lambda run: _mb(run.memory), MEMORY),
        _at_most("memory at most", rounds),
        _Told("processes", "", lambda run: run.processes),
        BUSY,
    )


def _crashes(limit: float) -> tuple[_Told, ...]:
    def past(times: CrashTimes) -> float:
        return times.timeout - limit * 1000

    return (
        _Told("two good events, to compare", "ms", lambda times: times.good),
        _Told("exception to next good answer", "ms", lambda times: times.exception),
        _Told("warm restart of a Handler to next", "ms", lambda times: times.restart),
        _Told("sys.exit to next good answer", "ms", lambda times: times.exit),
        _Told("death of the process to next", "ms", lambda times: times.death),
        # Before the time is up it is less than nothing.
        _Told(f"time-out, from {limit:g} s to next", "ms", past, has_ratio=False),
    )
