# Rule 1: each row is one figure of every round, taken for okibi and, where there is one, for the
# peer; the ratio is okibi's to the peer's in the same round.
#
# What the runtime takes of a cycle is not measured inside it, which would be a cost of its own. It
# is the cycle of the same function with a handler that returns the same answer and does nothing
# (`functions/okibi_stand_in.py`), measured in turn with it. The rest of the function's cycle is the
# handler's. Both are differences of two medians of the same round.
"""From what was measured to the rows of a report."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

from runtime.cli.bench.figures import Figure, figure, percentile, ratio
from runtime.cli.bench.plan import OKIBI
from runtime.cli.bench.record import CrashTimes, Results, Run

__all__ = ["Row", "crash_rows", "many_rows", "rows"]

SHARES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
MB = 2**20

One = TypeVar("One")
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
    """

    section: str
    name: str
    unit: str
    okibi: Figure | None
    peer: Figure | None = None
    ratio: Figure | None = None


def rows(results: Results, peer: str | None, crash_limit: float) -> tuple[Row, ...]:
    """All rows.

    Args:
        results: what was measured.
        peer: the peer's name, or None.
        crash_limit: seconds that an event had whose time ran out.
    """
    return (
        *_warm_rows(results, peer),
        *_start_rows(results, peer),
        *crash_rows(results, peer, crash_limit),
        *_memory_rows(results, peer),
        *many_rows(results, peer),
    )


def _row(
    section: str,
    name: str,
    unit: str,
    ours: Sequence[One],
    theirs: Sequence[One] | None,
    of: Callable[[One], Value],
) -> Row:
    own = [of(each) for each in ours]
    if theirs is None:
        return Row(section, name, unit, figure(own))
    other = [of(each) for each in theirs]
    return Row(section, name, unit, figure(own), figure(other), ratio(own, other))


def _warm_rows(results: Results, peer: str | None) -> list[Row]:
    ours = results.functions[OKIBI]
    theirs = None if peer is None else results.functions[peer]

    def row(name: str, unit: str, of: Callable[[Run], Value]) -> Row:
        return _row("warm, one event at a time", name, unit, ours, theirs, of)

    found = [row("events", "a second", lambda run: run.count / run.seconds)]
    found += [row(f"a cycle, {name}", "us", _percentile_of("cycles_us", share))
              for share, name in SHARES]  # fmt: skip
    found += _shares_of_a_cycle(results, peer)
    found += [row(f"event to answer, {name}", "us", _percentile_of("answers_us", share))
              for share, name in SHARES]  # fmt: skip
    found.append(row("processor time of an event", "us", lambda run: run.cpu_us))
    found.append(row("the server's share of a core", "%", lambda run: run.server_share * 100))
    if any(run.errors for run in (*ours, *(theirs or ()))):
        found.append(row("answers that are errors", "%", _error_rate))
    return found


def _percentile_of(name: str, share: float) -> Callable[[Run], Value]:
    def of(run: Run) -> Value:
        samples: Sequence[float] = getattr(run, name)
        return percentile(sorted(samples), share)

    return of


_cycle = _percentile_of("cycles_us", 0.5)


def _shares_of_a_cycle(results: Results, peer: str | None) -> list[Row]:
    ours = list(zip(results.functions[OKIBI], results.stand_ins[OKIBI], strict=True))
    theirs = None
    if peer is not None:
        theirs = list(zip(results.functions[peer], results.stand_ins[peer], strict=True))

    def handlers(pair: tuple[Run, Run]) -> Value:
        whole, runtimes = _cycle(pair[0]), _cycle(pair[1])
        return None if whole is None or runtimes is None else whole - runtimes

    section = "warm, one event at a time"
    own = _row(section, "of it the handler's", "us", ours, theirs, handlers)
    return [
        _row(section, "of it the runtime's", "us", ours, theirs, lambda pair: _cycle(pair[1])),
        # Of two differences that are almost nothing a ratio says nothing.
        attrs.evolve(own, ratio=None),
    ]


def _error_rate(run: Run) -> float:
    return sum(run.errors.values()) / run.served * 100


def _start_rows(results: Results, peer: str | None) -> list[Row]:
    ours = results.functions[OKIBI]
    theirs = None if peer is None else results.functions[peer]
    section = "cold start, bytecode compiled"
    return [
        _row(section, "to the first GET /next", "ms", ours, theirs, lambda run: run.first_next_ms),
        _row(section, "to the first answer", "ms", ours, theirs, lambda run: run.first_answer_ms),
    ]


def crash_rows(results: Results, peer: str | None, limit: float) -> list[Row]:
    """What crashes cost."""
    ours = results.crashes[OKIBI]
    theirs = None if peer is None else results.crashes[peer]

    def row(name: str, of: Callable[[CrashTimes], Value]) -> Row:
        section = "crashes (a handler of okibi's own)"
        return _row(section, name, "ms", ours, theirs, of)

    return [
        row("exception to next good answer", lambda times: times.exception),
        row("sys.exit to next good answer", lambda times: times.exit),
        row(f"time-out, {limit:g} s, to next", lambda times: times.timeout),
    ]


def _memory_rows(results: Results, peer: str | None) -> list[Row]:
    ours = results.functions[OKIBI]
    theirs = None if peer is None else results.functions[peer]
    section = "memory of all processes (PSS)"
    return [
        _row(section, "after the warm-up", "MB", ours, theirs, lambda run: _mb(run.warm_pss)),
        _row(section, "at the end", "MB", ours, theirs, lambda run: _mb(run.end_pss)),
    ]


def _mb(size: int | None) -> Value:
    return None if size is None else size / MB


def many_rows(results: Results, peer: str | None) -> list[Row]:
    """The same with many events at once."""
    found: list[Row] = []
    for slots, runs in results.many.items():
        ours = runs[OKIBI]
        theirs = None if peer is None else runs[peer]
        found += _rows_of(f"{slots} events at once", ours, theirs)
    return found


def _rows_of(section: str, ours: Sequence[Run], theirs: Sequence[Run] | None) -> list[Row]:
    def row(name: str, unit: str, of: Callable[[Run], Value]) -> Row:
        return _row(section, name, unit, ours, theirs, of)

    found = [
        row("events", "a second", lambda run: run.count / run.seconds),
        row("event to answer, p50", "us", _percentile_of("answers_us", 0.5)),
        row("event to answer, p99", "us", _percentile_of("answers_us", 0.99)),
        row("memory (PSS)", "MB", lambda run: _mb(run.end_pss)),
        row("processes", "", lambda run: run.processes),
        row("the server's share of a core", "%", lambda run: run.server_share * 100),
    ]
    if any(run.errors for run in (*ours, *(theirs or ()))):
        found.append(row("answers that are errors", "%", _error_rate))
    return found
