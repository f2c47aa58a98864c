# Each row is one figure of all rounds, for okibi and, if present, for the peer. A ratio compares
# okibi with the peer in the same round.
#
# The runtime's share of a cycle is not measured inside the cycle, because measuring costs time. It
# is the cycle of the same function with a stand-in handler (`functions/okibi_stand_in.py`),
# measured in the same round. The handler's share is the difference of the two medians. Both include
# the time of the local Runtime API, "API" for short; a row of its processor time shows how much.
"""Make the rows of a report from the measured runs."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .figures import Figure, difference_figure, figure, percentile, ratio
from .plan import OKIBI
from .results import BenchResults, CrashTimes, RunResult

MB = 2**20
# Keys of the rows that are plotted by the number of events at once.
THROUGHPUT, MEMORY = "throughput", "memory"

Value = float | None


@attrs.frozen
class ReportRow:
    """One row of a report.

    Args:
        section: the title of the row's section.
        name: the name of the figure.
        unit: the unit of the figure.
        okibi, peer: the figures; None if not measured.
        ratio: okibi's figure divided by the peer's.
        slots: events at once.
        key: the key of a plotted row; otherwise empty.
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
class _RowSpec:
    """Defines a row.

    Args:
        name, unit, key: see `ReportRow`.
        value: extracts the value of one round.
        has_ratio: whether a ratio of two values makes sense.
        combine: computes the figure of all rounds.
    """

    name: str
    unit: str
    value: Callable[[Any], Value]
    key: str = ""
    has_ratio: bool = True
    combine: Callable[[Sequence[Value]], Figure | None] = figure


def make_rows(results: BenchResults, peer: str | None, crash_limit: float) -> tuple[ReportRow, ...]:
    """Make all rows of a report.

    Args:
        results: the measurements.
        peer: the peer's name, or None.
        crash_limit: time-out in seconds of the events that crash.
    """
    names = (OKIBI,) if peer is None else (OKIBI, peer)
    runs = [results.function_runs[name] for name in names]
    pairs = [list(zip(results.function_runs[name], results.stand_in_runs[name], strict=True))
             for name in names]  # fmt: skip
    crashes = [results.crashes[name] for name in names]
    warm = "warm, one event at a time"
    found = [
        *_section(warm, CYCLE, runs),
        *_section(warm, SHARES, pairs),
        *_section(warm, (*EVENT, *_errors(runs)), runs),
        *_section("cold start, bytecode compiled", START, runs),
        *_section("crashes (okibi's test handler)", _crashes(crash_limit), crashes),
        *_section("memory of all processes", (REST, _peak_row("peak", runs)), runs),
    ]
    for slots, by_name in results.many.items():
        many = [by_name[name] for name in names]
        found += _section(f"{slots} events at once", (*_many(many), *_errors(many)), many, slots)
    return tuple(found)


def _section(
    title: str, specs: Sequence[_RowSpec], rounds: Sequence[Sequence[Any]], slots: int = 1
) -> list[ReportRow]:
    """Make the rows of a section from the rounds of okibi and, if present, of the peer."""
    found: list[ReportRow] = []
    for each in specs:
        own, *others = [[each.value(one) for one in runtime] for runtime in rounds]
        row = ReportRow(title, each.name, each.unit, each.combine(own), slots=slots, key=each.key)
        for other in others:
            compared = ratio(own, other) if each.has_ratio else None
            row = attrs.evolve(row, peer=each.combine(other), ratio=compared)
        found.append(row)
    return found


# -- definitions of the rows


def _percentile_of(name: str, share: float) -> Callable[[RunResult], Value]:
    return lambda run: percentile(sorted(getattr(run, name)), share)


def _percentiles(title: str, name: str) -> list[_RowSpec]:
    shares = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"))
    return [_RowSpec(f"{title}, {label}", "us", _percentile_of(name, share))
            for share, label in shares]  # fmt: skip


def _mb(size: int | None) -> Value:
    return None if size is None else size / MB


def _errors(rounds: Sequence[Sequence[RunResult]]) -> list[_RowSpec]:
    if not any(run.errors for runs in rounds for run in runs):
        return []
    return [_RowSpec("answers that are errors", "%",
                  lambda run: sum(run.errors.values()) / run.served * 100)]  # fmt: skip


_cycle = _percentile_of("cycles_us", 0.5)


def _handler_time(pair: tuple[RunResult, RunResult]) -> Value:
    whole, others = _cycle(pair[0]), _cycle(pair[1])
    return None if whole is None or others is None else whole - others


EVENTS = _RowSpec("events", "a second", lambda run: run.count / run.seconds, THROUGHPUT)
RUNTIME_CPU = _RowSpec("processor time of the runtime", "us", lambda run: run.cpu_us)
BUSY = _RowSpec("the Runtime API's share of a core", "%", lambda run: run.api_share * 100)
CYCLE = (EVENTS, *_percentiles("a cycle", "cycles_us"))
SHARES = (
    _RowSpec("share of p50: runtime and API", "us", lambda pair: _cycle(pair[1])),
    # Without a ratio: both differences may be almost 0.
    _RowSpec(
        "share of p50: handler", "us", _handler_time, has_ratio=False, combine=difference_figure
    ),
)
EVENT = (
    _RowSpec("processor time of the Runtime API", "us",
          lambda run: run.api_share * run.seconds / run.count * 1e6),
    RUNTIME_CPU,
    *_percentiles("event to answer", "answers_us"),
)  # fmt: skip
START = (
    _RowSpec("to the first GET /next", "ms", lambda run: run.first_next_ms),
    _RowSpec("to the first answer", "ms", lambda run: run.first_answer_ms),
)
REST = _RowSpec("at the end", "MB", lambda run: _mb(run.memory), MEMORY)


def _peak_row(name: str, rounds: Sequence[Sequence[RunResult]]) -> _RowSpec:
    # Peaks of several processes count shared pages several times; a ratio would mislead.
    single = all(run.processes == 1 for runs in rounds for run in runs)
    return _RowSpec(name, "MB", lambda run: _mb(run.peak), has_ratio=single)


def _many(rounds: Sequence[Sequence[RunResult]]) -> tuple[_RowSpec, ...]:
    return (
        EVENTS,
        RUNTIME_CPU,
        _RowSpec("event to answer, p50", "us", _percentile_of("answers_us", 0.5)),
        _RowSpec("event to answer, p99", "us", _percentile_of("answers_us", 0.99)),
        _RowSpec("memory at the end", "MB", lambda run: _mb(run.memory), MEMORY),
        _peak_row("peak memory", rounds),
        _RowSpec("processes", "", lambda run: run.processes),
        BUSY,
    )


def _crashes(limit: float) -> tuple[_RowSpec, ...]:
    def past(times: CrashTimes) -> float:
        return times.timeout - limit * 1000

    return (
        _RowSpec("two good events, to compare", "ms", lambda times: times.good),
        _RowSpec("exception to next good answer", "ms", lambda times: times.exception),
        _RowSpec("warm restart of a Handler to next", "ms", lambda times: times.restart),
        _RowSpec("sys.exit to next good answer", "ms", lambda times: times.exit),
        _RowSpec("os._exit to next good answer", "ms", lambda times: times.death),
        # Without a ratio: okibi answers before the time-out, which gives a negative value.
        _RowSpec(f"time-out, from {limit:g} s to next", "ms", past, has_ratio=False),
    )
