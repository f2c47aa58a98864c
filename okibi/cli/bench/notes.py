"""How a report's figures were taken, and the findings that change what a figure means."""

import os
import statistics

from ...local.sandbox import INIT_LIMIT
from .figures import counted
from .loads import load_of, measured_mb, memory_of
from .machine import Machine
from .order import BenchOrder
from .record import Results

__all__ = ["notes"]

BUSY_SERVER = 0.9
"""A share of a core. A server that takes more may be what is measured."""
QUIET = 0.1
"""A share of the time that the server needs its core. Waiting for less is usual on any machine."""
SEVERAL_CORES = 1.5
"""Processor time an event, as a multiple of its duration. A handler with more uses several cores.
What the runtime does between two events counts as processor time, too."""

ROUNDS = (
    "Each figure is the median of {}, of crashes {}, with the smallest and the largest{}. README,"
    ' "Benchmark your function", says how each is measured and what the costs leave out.'
)
RATIOS = "; a ratio is okibi's to the peer's in the same round"
BUSY_WAIT = (
    "Each event follows upon the last answer at once. okibi looks for it for OKIBI_BUSY_WAIT_US"
    " ({}) before it sleeps, which counts as its processor time."
)
COSTS = "Costs are estimates, from list prices of {}, {}, that you must check{}."

ERRORS = "On {} some answers are errors: {}. What they cost counts as the handler's."
INIT_CUT = (
    "On {} the start took {:.1f} s to the first GET /next. Lambda stops it after {:g} s and starts"
    " again in the first event's own time, so a cold start takes longer there; let its import and"
    " its init take less."
)
TOO_LITTLE_MEMORY = (
    "On {} {:.0f} MB were measured, more than --memory-size {}: it would not run in that; give it"
    " more."
)
COMPUTES_AT_ONCE = (
    "On {} an event computes for {:.1f} times as long as it lasts, on several cores at once. With"
    " {:,} MB a function has {:.2g} of a core, so Lambda takes longer and costs more than is"
    " reckoned."
)
NOT_TOLD = (
    "The system does not tell of all memory and processor time. Where it does not, the costs are"
    " reckoned from {} MB (--memory-size says another), and from events that compute for as long as"
    " they last."
)
ONE_CORE = "There is one core: the server takes time of the runtime."
BUSY = (
    "With many at once the server was busy most of the time: what is measured there is its limit,"
    " not the runtime's."
)
OTHERS = (
    "Others wanted the cores: of the time that the server needed its own it waited {:.0%} for them."
    " Measure anew on a quiet machine."
)


def notes(order: BenchOrder, results: Results, machine: Machine) -> tuple[str, ...]:
    """Sentences to be read beside the figures."""
    return (
        *_how_it_was_taken(order),
        *(
            note
            for name in results.functions
            for note in (
                *_errors(name, results),
                *_init_cut(name, results),
                *_too_little_memory(name, order, results),
                *_computes_at_once(name, order, results),
            )
        ),
        *_not_told(order, results),
        *_about_the_machine(results, machine),
    )


def _how_it_was_taken(order: BenchOrder) -> list[str]:
    prices, size = order.prices, order.size
    sources = f" ({', '.join(prices.sources)})" if prices.sources else ""
    return [
        ROUNDS.format(
            counted(size.rounds, "round"), size.crash_rounds, RATIOS if order.peer else ""
        ),
        # What is measured inherits the variable from this process.
        BUSY_WAIT.format(os.environ.get("OKIBI_BUSY_WAIT_US") or "300"),
        COSTS.format(prices.region, prices.taken, sources),
    ]


def _errors(name: str, results: Results) -> list[str]:
    many = [run for found in results.many.values() for run in found.get(name, ())]
    kinds = sorted({kind for run in (*results.functions[name], *many) for kind in run.errors})
    return [ERRORS.format(name, ", ".join(kinds))] if kinds else []


def _init_cut(name: str, results: Results) -> list[str]:
    seconds = max(run.first_next_ms for run in results.functions[name]) / 1000
    return [INIT_CUT.format(name, seconds, INIT_LIMIT)] if seconds > INIT_LIMIT else []


def _too_little_memory(name: str, order: BenchOrder, results: Results) -> list[str]:
    given, most = order.memory_mb, measured_mb(results.functions[name])
    if given is None or most is None or most <= given:
        return []
    return [TOO_LITTLE_MEMORY.format(name, most, given)]


def _computes_at_once(name: str, order: BenchOrder, results: Results) -> list[str]:
    load = load_of(order, results, name)
    times = load.cpu_ms / statistics.mean(load.busy_ms)
    share = load.memory_mb / order.prices.functions.full_core_mb
    if times <= max(SEVERAL_CORES, share):
        return []
    return [COMPUTES_AT_ONCE.format(name, times, load.memory_mb, share)]


def _not_told(order: BenchOrder, results: Results) -> list[str]:
    runs = results.one_at_a_time
    if all(run.cpu_us is not None and run.peak is not None for run in runs):
        return []
    return [NOT_TOLD.format(memory_of(order, runs))]


def _about_the_machine(results: Results, machine: Machine) -> list[str]:
    many = results.many_at_once
    found: list[str] = []
    if machine.cores == 1:
        found.append(ONE_CORE)
    if any(run.server_share > BUSY_SERVER for run in many):
        found.append(BUSY)
    waited = [run.server_waited for run in (*results.one_at_a_time, *many)]
    known = [share for share in waited if share is not None]
    # The median: one unlucky run says nothing of the others.
    if known and (usual := statistics.median(known)) > QUIET:
        found.append(OTHERS.format(usual))
    return found
