"""Sentences without which a report's figures could be misread."""

import os
import statistics
from collections.abc import Sequence

from runtime.cli.bench.cost import LOADED
from runtime.cli.bench.figures import counted
from runtime.cli.bench.loads import event_mb, load_of, measured_mb, memory_of
from runtime.cli.bench.machine import Machine
from runtime.cli.bench.order import BenchOrder
from runtime.cli.bench.record import TIMED_OUT, Results, Run
from runtime.cli.given import number_of
from runtime.local.sandbox import INIT_LIMIT

__all__ = ["notes"]

BUSY_SERVER = 0.9
"""A share of a core from which on the server may be what is measured."""
ALIKE = 0.1, 1024
"""Answers are alike that differ by less than this share of the larger one, or by so many bytes."""
QUIET = 0.1
"""A share of the time that the server needs its core, up to which others have it anywhere."""
AT_ONCE_ON_CORES = 1.5
"""Times what an event lasts, from which on it computes on more cores than one. What the runtime
does between two events counts as its processor time, too."""
ENOUGH = 1000
"""Cycles of a round, of which one lies past p99.9."""

ROUNDS = "Each figure is the median of {}, of crashes {}, with the smallest and the largest{}."
RATIOS = "; a ratio is okibi's to the peer's, taken within a round"
SHARES = (
    "The runtime's and the server's part of a cycle's p50 is the p50 of the same function with a"
    " handler in its place that only returns the same answer, measured in turn with it; the rest is"
    " the handler's, and has no figure where that is not more than nothing: noise is more then."
)
SIZES = (
    "On {} an answer has {:,} bytes in the median, but the first one has {:,}, and the handler in"
    " its place answers with that: what p50 is made of is not to be trusted; give an event that is"
    " answered alike each time."
)
MEMORY = (
    "Memory at the end is what all processes would have (PSS) if no others were on the machine; at"
    " most is the peak of each process (VmHWM, as `okibi invoke` reports it), with all that it"
    " shares, and what the costs are reckoned from. Of several processes it counts that more than"
    " once, so it has no ratio; what each further one takes is reckoned from what is there at the"
    " end."
)
NO_MEMORY = (
    "The system does not tell of memory: the costs are reckoned from {} MB; --memory-size says"
    " another."
)
COSTS = (
    "Costs are estimates, from list prices of {}, {}, that you must check{}; without free tier,"
    " cold starts, traffic and disks. With less memory than a core's, what computes is taken to"
    " last longer in proportion. Lambda's cores, of either architecture, are taken to be as quick"
    " as this machine's. A server's cores are taken to do what one does here{}, under the"
    " runtime's own loop, and to be used to {:.0%} at most; there is to be room for processes as"
    " large as was measured, one for each core."
)
AT_ONCE = " with {} events at once"
SLEEPS = (
    "A server's processor time is that of a process that {}sleeps between its events; --concurrency"
    " measures it of a busy one."
)
LOOKS = "looks for its next event for a moment and "
AT_ONCE_AGAIN = (
    "With one event at a time each follows upon the last one's answer at once, and okibi looks for"
    " it for OKIBI_BUSY_WAIT_US ({}) before it sleeps, which is part of its processor time{}. With"
    " that at 0 it is measured as it is where events are further apart."
)
ASLEEP = (
    "With one event at a time each follows upon the last one's answer at once; OKIBI_BUSY_WAIT_US"
    " is 0, so okibi sleeps before it all the same, as where events are further apart{}."
)
PEER_SLEEPS = "; the peer sleeps each time"
IN_FLIGHT = (
    "A server of {}'s is to have room for {:.1f} MB for each event in flight beside the first, as"
    " measured with {} at once."
)
NOT_COUNTED = (
    "What more than one event in flight takes on a server of {} is not counted, and may be what"
    " fills it{}."
)
MEASURES = "; --concurrency measures it"
CRASHES = (
    "Your handler cannot be made to fail: a small one that comes with okibi does, on the same"
    " runtime, beside a server on the same cores; from the start of the bad event, or from the end"
    " of its time, until the next one is answered. What two good events take there has a row of its"
    " own, and is the server's for the most part; what a crash takes more is the crash's. At a"
    " time-out okibi answers OKIBI_DEADLINE_MARGIN_MS ({}) before it, at half of its time at the"
    " earliest. A warm restart, which okibi alone has, is the same of a `Handler` that raises: a"
    " new instance, with an `init` of its own, takes its place in the same process. A crash that"
    " ends the process costs a cold start, which counts from the start of the new one."
)
UNKNOWN = (
    "The system does not tell of processor time: an event is taken to compute for as long as it"
    " lasts."
)
CUT = (
    "On {} the start took {:.1f} s to the first GET /next: Lambda cuts it at {:g} s and begins anew"
    " in the first event's own time, so a cold start there takes longer than this, or runs out of"
    " time; let its import and its init take less."
)
TOO_LITTLE = (
    "On {} {:.0f} MB were measured, more than --memory-size {}: it would not run in that; give it"
    " more."
)
FEW = (
    "A round had {}: a percentile above p50 that leaves less than one of them past it is not shown;"
    " give --duration more."
)
SEVERAL_CORES = (
    "On {} an event computes for {:.1f} times as long as it lasts, on several cores at once: with"
    " {:,} MB a function has {:.2g} of a core, so it lasts longer on Lambda than is reckoned, and"
    " costs more; that is not counted."
)
ONE_CORE = "There is one core: the server takes time of the runtime."
ERRORS = (
    "On {} some answers are errors: {}. The handler in its place makes none, so what they cost the"
    " runtime counts as the handler's."
)
TIME_OUTS = (
    "On {} some events passed their time-out of {:g} s: with one at a time the process was killed"
    " then, as on Lambda, and the next event waited for a new one; with many at once it lived on."
)
CHILDREN_ENDED = (
    "On {} processes were started that ended with their event: the memory at most has the largest"
    " of them, if it was clearly larger than the runtime's; what others took beside it is not"
    " counted."
)
BUSY = (
    "With many at once the server was busy most of the time: what is measured there is its limit,"
    " not the runtime's."
)

OTHERS = (
    "Others wanted the cores: of the time that the server needed its own it waited {:.0%} for them."
    " What they took of it, and of the runtime's, is in the figures; measure anew on a quiet"
    " machine."
)


def notes(order: BenchOrder, results: Results, machine: Machine) -> tuple[str, ...]:
    """Sentences without which the figures could be misread."""
    prices = order.prices
    runs, many = results.one_at_a_time, results.many_at_once
    served = [run for those in results.functions.values() for run in those]
    busy_wait = _variable("OKIBI_BUSY_WAIT_US", "300")
    looks, asleep = number_of(busy_wait) > 0, PEER_SLEEPS if order.peer else ""
    rounds = counted(order.size.rounds, "round")
    said = [
        ROUNDS.format(rounds, order.size.crash_rounds, RATIOS if order.peer else ""),
        SHARES,
        AT_ONCE_AGAIN.format(busy_wait, asleep) if looks else ASLEEP.format(asleep),
        CRASHES.format(_variable("OKIBI_DEADLINE_MARGIN_MS", "100")),
        MEMORY if measured_mb(served) else NO_MEMORY.format(memory_of(order, served)),
        COSTS.format(
            prices.region,
            prices.taken,
            f" ({', '.join(prices.sources)})" if prices.sources else "",
            AT_ONCE.format(max(results.many)) if results.many else "",
            LOADED,
        ),
        *_in_flight(results),
    ]
    if any(run.cpu_us is None for run in runs):
        said.append(UNKNOWN)
    elif not many:
        said.append(SLEEPS.format(LOOKS if looks else ""))
    said += _several_cores(order, results)
    said += _few(runs)
    said += _sizes(results)
    said += _cut(results)
    said += _errors(results)
    said += _children_ended(results)
    said += _time_outs(results, order.settings.timeout)
    said += _busy(many, machine)
    said += _others([*runs, *many])
    said += _too_little(results, order.memory_mb)
    return tuple(said)


def _variable(name: str, otherwise: str) -> str:
    """As all that was measured had it: it inherits what this process has."""
    return os.environ.get(name) or otherwise


def _in_flight(results: Results) -> list[str]:
    found = {name: event_mb(results, name) for name in results.functions}
    said = [
        IN_FLIGHT.format(name, event_mb, max(results.many))
        for name, event_mb in found.items()
        if event_mb is not None
    ]
    if unknown := [f"{name}'s" for name, event_mb in found.items() if event_mb is None]:
        said.append(NOT_COUNTED.format(" or of ".join(unknown), "" if results.many else MEASURES))
    return said


def _several_cores(order: BenchOrder, results: Results) -> list[str]:
    said: list[str] = []
    for name in results.functions:
        load = load_of(order, results, name)
        times = load.cpu_ms / statistics.mean(load.busy_ms)
        share = load.memory_mb / order.prices.functions.full_core_mb
        if times > max(AT_ONCE_ON_CORES, share):
            said.append(SEVERAL_CORES.format(name, times, load.memory_mb, share))
    return said


def _few(runs: Sequence[Run]) -> list[str]:
    fewest = min(len(run.cycles_us) for run in runs)
    return [] if fewest >= ENOUGH else [FEW.format(counted(fewest, "cycle"))]


def _sizes(results: Results) -> list[str]:
    said: list[str] = []
    for name, runs in results.functions.items():
        usual, first = _answer_bytes(runs), _answer_bytes(results.stand_ins[name])
        if usual is not None and first is not None and not _alike(usual, first):
            said.append(SIZES.format(name, usual, first))
    return said


def _answer_bytes(runs: Sequence[Run]) -> int | None:
    known = [run.answer_bytes for run in runs if run.answer_bytes is not None]
    return statistics.median_low(known) if known else None


def _alike(one: int, other: int) -> bool:
    share, least = ALIKE
    return abs(one - other) <= max(share * max(one, other), least)


def _cut(results: Results) -> list[str]:
    longest = {
        name: max(run.first_next_ms for run in runs) / 1000
        for name, runs in results.functions.items()
    }
    return [
        CUT.format(name, seconds, INIT_LIMIT)
        for name, seconds in longest.items()
        if seconds > INIT_LIMIT
    ]


def _errors(results: Results) -> list[str]:
    said: list[str] = []
    for name in results.functions:
        if kinds := _kinds(results, name):
            said.append(ERRORS.format(name, ", ".join(kinds)))
    return said


def _time_outs(results: Results, timeout: float) -> list[str]:
    late = [name for name in results.functions if TIMED_OUT in _kinds(results, name)]
    return [TIME_OUTS.format(name, timeout) for name in late]


def _children_ended(results: Results) -> list[str]:
    return [
        CHILDREN_ENDED.format(name)
        for name in results.functions
        if any(run.children_ended for run in _all_of(results, name))
    ]


def _kinds(results: Results, name: str) -> list[str]:
    """Of a runtime's errors."""
    return sorted({kind for run in _all_of(results, name) for kind in run.errors})


def _all_of(results: Results, name: str) -> list[Run]:
    """A runtime's runs of the function."""
    many = [run for found in results.many.values() for run in found.get(name, ())]
    return [*results.functions[name], *many]


def _busy(runs: Sequence[Run], machine: Machine) -> list[str]:
    said: list[str] = []
    if machine.cores == 1:
        said.append(ONE_CORE)
    if any(run.server_share > BUSY_SERVER for run in runs):
        said.append(BUSY)
    return said


def _others(runs: Sequence[Run]) -> list[str]:
    known = [run.server_waited for run in runs if run.server_waited is not None]
    usual = statistics.median(known) if known else 0.0
    return [OTHERS.format(usual)] if usual > QUIET else []


def _too_little(results: Results, memory_mb: int | None) -> list[str]:
    if memory_mb is None:
        return []
    measured = {name: measured_mb(runs) for name, runs in results.functions.items()}
    return [
        TOO_LITTLE.format(name, most, memory_mb)
        for name, most in measured.items()
        if most is not None and most > memory_mb
    ]
