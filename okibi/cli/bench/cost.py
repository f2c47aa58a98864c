# An estimate, and what it stands on:
#
# * Lambda bills each event's duration, rounded up to whole milliseconds, times its memory, and each
#   request. What was measured here had a whole core. With less memory than a core's a function has
#   a share of one, so what it computes takes longer in proportion; what it waits for does not.
# * An always-on server is as many machines as the mean rate needs, and at least one: a peak needs
#   more, and so does who wants to survive one machine's end. A core is taken to do what one did
#   here, under this runtime's loop, and serves what the processor time of an event leaves room for:
#   of one among many at once where that was measured, since there no process sleeps and wakes
#   between two events. Lambda's is that of one at a time, as it serves them.
#   It is not loaded to the brim: nobody runs a server so, since events would wait without end.
#   Each core needs a process, of the memory that was measured; each event in flight beside the
#   first needs what it was measured to take, in the same process or in one of its own. Of the
#   memory, as of the cores, a part is used in the mean.
# * Left out of both: the free tier, cold starts, logs, traffic, load balancers, whoever looks after
#   the server.
"""What a month costs at a given rate: Lambda against an always-on server. Pure arithmetic."""

import math
import statistics
from collections.abc import Sequence

import attrs

from .prices import Prices, Server

__all__ = ["Estimate", "Load", "billed_ms", "estimate", "memory_for"]

SMALLEST, LARGEST = 128, 10_240
"""MB that a function may have."""
LOADED = 0.7
"""The share of a server's cores that is used in the mean."""


@attrs.frozen
class Load:
    """What is to be paid for.

    Args:
        monthly: requests a month.
        busy_ms: of some events, milliseconds from the event until the runtime has come back for the
            next one.
        cpu_ms: processor time of an event, in the mean, one at a time.
        memory_mb: of the function, as Lambda is told it.
        process_mb: what one of its processes takes.
        event_mb: what each event in flight takes beside the first; None where nobody has measured
            it.
        many_cpu_ms: processor time of an event among many at once; None as above.
    """

    monthly: float
    busy_ms: Sequence[float]
    cpu_ms: float
    memory_mb: int
    process_mb: float
    event_mb: float | None = None
    many_cpu_ms: float | None = None


@attrs.frozen
class Estimate:
    """One way to serve the load.

    Args:
        where: Lambda with its architecture, or the type of the machines.
        monthly: US dollars; None where it cannot be done.
        how: what it was reckoned from.
    """

    where: str
    monthly: float | None
    how: str


def memory_for(measured_mb: float | None) -> int:
    """The memory that a function is given which was measured to take so many MB."""
    return min(max(SMALLEST, math.ceil(measured_mb or 0)), LARGEST)


def estimate(load: Load, prices: Prices) -> tuple[Estimate, ...]:
    """What the load costs in each way there is a price for."""
    asked = prices.functions
    billed = billed_ms(load, asked.full_core_mb)
    how = f"{load.memory_mb} MB, {billed:,.1f} ms billed"
    events = {
        architecture: asked.requests_per_million / 1e6
        + billed / 1000 * load.memory_mb / 1024 * gb_second
        for architecture, gb_second in asked.gb_second.items()
    }
    functions = [Estimate(f"Lambda, {architecture}", load.monthly * event, how)
                 for architecture, event in events.items()]  # fmt: skip
    least = min(events.values())
    return (*functions, *(_on_server(load, prices, server, least) for server in prices.servers))


def billed_ms(load: Load, full_core_mb: float) -> float:
    """What is billed of an event in the mean: each one's duration, rounded up to milliseconds."""
    slower = max(1.0, full_core_mb / load.memory_mb)
    most = _most_computed(load.busy_ms, load.cpu_ms)
    stretched = (each + min(most, each) * (slower - 1) for each in load.busy_ms)
    return sum(math.ceil(round(each, 6)) for each in stretched) / len(load.busy_ms)


def _most_computed(busy_ms: Sequence[float], mean: float) -> float:
    """What an event computes that lasts for long enough; a shorter one does for all of its time.

    What short ones had no time for the longer ones have computed: else a function that computes on
    each tenth event alone would be billed for next to none of it.
    """
    left = mean * len(busy_ms)
    for shorter, each in enumerate(sorted(busy_ms)):
        longer = len(busy_ms) - shorter
        if each * longer >= left:
            return left / longer
        left -= each
    return math.inf


def _on_server(load: Load, prices: Prices, server: Server, event: float) -> Estimate:
    """What so many machines cost as the load needs, and at what rate they cost more than Lambda.

    Args:
        load: to be served.
        prices: for the length of a month.
        server: the machine.
        event: what one costs on Lambda, where it costs least.
    """
    where = f"{server.name}, always on"
    processes = int(server.memory_gb * 1024 / load.process_mb)
    if not processes:
        needs = f"needs {math.ceil(load.process_mb):,} MB"
        return Estimate(where, None, f"has {server.memory_gb:g} GB, {needs}")
    capacity = _capacity(load, server, processes)
    count = max(1, math.ceil(round(load.monthly / (prices.hours_a_month * 3600) / capacity, 6)))
    one = server.hourly * prices.hours_a_month
    dearer = _dearer(count, one / event, capacity * prices.hours_a_month * 3600)
    return Estimate(where, one * count, f"{count} of {_count(capacity)}/s; {dearer}")


def _dearer(count: int, even: float, most: float) -> str:
    """Below which rate so many machines are dearer than Lambda, or fewer, where so many never are.

    A rate that needs one more may be dearer again, though one less was not, until what one costs is
    little beside what all of them take off Lambda.

    Args:
        count: so many.
        even: requests a month that cost on Lambda what one of them does.
        most: requests a month that one of them serves.
    """
    if even >= most:
        return "dearer at any rate"
    # They are needed from (many - 1) * most on: with more than these that is past many * even.
    many = min(count, max(1, math.ceil(most / (most - even)) - 1))
    words = f"{many} dearer below" if many > 1 else "dearer below"
    return f"{words} {_count(many * even)}"


def _capacity(load: Load, server: Server, processes: int) -> float:
    """Events a second that a server takes which has room for so many processes."""
    share = min(server.sustained, LOADED)
    computed = min(server.cores, processes) * 1000 / (load.many_cpu_ms or load.cpu_ms) * share
    in_flight = _in_flight(load, server, processes)
    return min(computed, in_flight * 1000 / statistics.mean(load.busy_ms) * LOADED)


def _in_flight(load: Load, server: Server, processes: int) -> float:
    """Events for which a server has the memory at once."""
    if not load.event_mb:
        return math.inf
    used = min(server.cores, processes)
    return used + (server.memory_gb * 1024 - used * load.process_mb) / load.event_mb


def _count(number: float) -> str:
    """With three digits.

    >>> [_count(number) for number in (12.34, 999.4, 999.6, 68_400_000, 1.5e12)]
    ['12.3', '999', '1k', '68.4M', '1,500G']
    """
    # Before its letter is chosen: what is nearly a thousand is one.
    rounded = float(f"{number:.3g}")
    for letter, times in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rounded >= times:
            return f"{rounded / times:,.9g}{letter}"
    return f"{rounded:g}"
