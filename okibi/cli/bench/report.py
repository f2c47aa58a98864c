"""A report: the rows, what they cost, and what has to be said beside them. A value, and JSON."""

import importlib.metadata
import time
from collections.abc import Mapping, Sequence

import attrs

from .cost import estimate
from .figures import distribution
from .loads import load_of, memory_of
from .machine import Machine
from .notes import notes
from .order import PEER, BenchOrder, peer_version
from .plan import OKIBI
from .record import Results
from .rows import Row, rows

__all__ = ["Cost", "Report", "make_report"]


@attrs.frozen
class Cost:
    """A month's cost.

    Args:
        where: see `Estimate`.
        okibi, peer: US dollars; None where it cannot be done, or without a peer.
        how, peer_how: what they were reckoned from.
    """

    where: str
    okibi: float | None
    how: str
    peer: float | None = None
    peer_how: str = ""


@attrs.frozen
class Report:
    """All that is told.

    Args:
        taken: when, local time.
        okibi, peer: versions; None without a peer.
        machine: where.
        handler, peer_handler: what was served.
        event_bytes, answer_bytes: sizes.
        rounds, seconds: how much was measured.
        rows: the figures.
        monthly: requests a month of the costs.
        memory_mb: of the function there.
        prices: when and where they held.
        costs: in each way there is a price for.
        distribution: by runtime, shares of the cycles and the us that they kept within.
        notes: sentences.
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
    rows: Sequence[Row]
    monthly: float
    memory_mb: int
    prices: str
    costs: Sequence[Cost]
    distribution: Mapping[str, Sequence[tuple[float, float]]]
    notes: Sequence[str]


def make_report(order: BenchOrder, results: Results, machine: Machine) -> Report:
    """The report of what was measured."""
    peer = None if order.peer is None else PEER
    return Report(
        taken=time.strftime("%Y-%m-%d %H:%M"),
        okibi=importlib.metadata.version("okibi"),
        peer=None if peer is None else f"{peer} {peer_version()}",
        machine=machine,
        handler=order.settings.handler,
        peer_handler=order.peer,
        event_bytes=len(order.event),
        answer_bytes=len(results.answer),
        rounds=order.size.rounds,
        seconds=order.size.seconds,
        rows=rows(results, peer, order.size.crash_limit),
        monthly=order.rate,
        memory_mb=memory_of(order, results.functions[OKIBI]),
        prices=f"{order.prices.region}, {order.prices.taken}",
        costs=_costs(order, results, peer),
        distribution={
            name: distribution([run.cycles_us for run in runs])
            for name, runs in results.functions.items()
        },
        notes=notes(order, results, machine),
    )


def _costs(order: BenchOrder, results: Results, peer: str | None) -> tuple[Cost, ...]:
    ours = estimate(load_of(order, results, OKIBI), order.prices)
    if peer is None:
        return tuple(Cost(own.where, own.monthly, own.how) for own in ours)
    theirs = estimate(load_of(order, results, peer), order.prices)
    return tuple(
        Cost(own.where, own.monthly, own.how, other.monthly, other.how)
        for own, other in zip(ours, theirs, strict=True)
    )
