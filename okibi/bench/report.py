"""The report as a value: rows, costs and notes. It can be encoded as JSON."""

import importlib.metadata
import time
from collections.abc import Mapping, Sequence

import attrs

from .cost import estimate
from .figures import distribution
from .machine import Machine
from .measured_load import function_memory_mb, make_load
from .notes import make_notes
from .options import PEER, BenchOptions, peer_version
from .plan import OKIBI
from .results import BenchResults
from .rows import ReportRow, make_rows


@attrs.frozen
class Cost:
    """The cost of a month for both runtimes.

    Args:
        where: Lambda and the architecture, or the type of the machines.
        okibi, peer: US dollars; None if impossible, or without a peer.
        how, peer_how: the numbers behind the estimates.
    """

    where: str
    okibi: float | None
    how: str
    peer: float | None = None
    peer_how: str = ""


@attrs.frozen
class BenchReport:
    """The result of a benchmark.

    Args:
        taken: the local time of the report.
        okibi, peer: versions; `peer` is None without a peer.
        machine: the machine.
        handler, peer_handler: the handlers.
        event_bytes, answer_bytes: the sizes of event and answer.
        rounds, seconds: the number of rounds, and the measured time of each.
        rows: the figures.
        monthly: requests per month in the cost estimate.
        memory_mb: memory of the function in the cost estimate.
        prices: region and month of the prices.
        costs: the cost on Lambda and on each server.
        distribution: shares of the cycles and their percentiles in us, by runtime.
        notes: sentences about the measurement.
    """

    taken: str
    okibi: str
    peer: str | None
    machine: Machine
    handler: str
    peer_handler: str | None
    event_bytes: int
    answer_bytes: int
    rounds: int
    seconds: float
    rows: Sequence[ReportRow]
    monthly: float
    memory_mb: int
    prices: str
    costs: Sequence[Cost]
    distribution: Mapping[str, Sequence[tuple[float, float]]]
    notes: Sequence[str]


def make_report(options: BenchOptions, results: BenchResults, machine: Machine) -> BenchReport:
    """Make the report of a benchmark."""
    peer = None if options.peer is None else PEER
    return BenchReport(
        taken=time.strftime("%Y-%m-%d %H:%M"),
        okibi=importlib.metadata.version("okibi"),
        peer=None if peer is None else f"{peer} {peer_version()}",
        machine=machine,
        handler=options.settings.handler,
        peer_handler=options.peer,
        event_bytes=len(options.event),
        answer_bytes=len(results.answer),
        rounds=options.effort.rounds,
        seconds=options.effort.seconds,
        rows=make_rows(results, peer, options.effort.crash_limit),
        monthly=options.rate,
        memory_mb=function_memory_mb(options, results.function_runs[OKIBI]),
        prices=f"{options.prices.region}, {options.prices.taken}",
        costs=_make_costs(options, results, peer),
        distribution={
            runtime: distribution([run.cycles_us for run in runs])
            for runtime, runs in results.function_runs.items()
        },
        notes=make_notes(options, results, machine),
    )


def _make_costs(options: BenchOptions, results: BenchResults, peer: str | None) -> tuple[Cost, ...]:
    ours = estimate(make_load(options, results, OKIBI), options.prices)
    if peer is None:
        return tuple(Cost(own.where, own.monthly, own.how) for own in ours)
    theirs = estimate(make_load(options, results, peer), options.prices)
    return tuple(
        Cost(own.where, own.monthly, own.how, other.monthly, other.how)
        for own, other in zip(ours, theirs, strict=True)
    )
