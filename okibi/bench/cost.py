# Assumptions of the estimate:
#
# * Lambda bills each request, and each event's duration, rounded up to milliseconds, times the
#   memory. The measured function had a whole core. With less memory a function has a share of a
#   core: its computing takes longer in proportion, its waiting does not.
# * An always-on server is as many machines as the mean rate needs, at least one. Peaks and fault
#   tolerance need more. A core of the server is as fast as the measured one. The events per core
#   follow from the processor time per event: with many events at once, if measured, because no
#   process sleeps and wakes between two events. For Lambda it is one event at a time.
#   A server is not loaded completely, or events would queue without limit.
#   Each core needs a process of the measured memory. Each further event in flight needs its
#   measured memory, in the same process or another. Memory, too, is used only partly.
# * Neither includes the free tier, cold starts, logs, traffic, load balancers, operation.
"""Estimate the cost of a month at a given rate: Lambda and always-on servers. Pure arithmetic."""

import math
import statistics
from collections.abc import Sequence

import attrs

from ..local.limits import MAX_MEMORY, MIN_MEMORY
from .prices import Prices, ServerPrice

# The mean load of a server's cores.
LOADED = 0.7


@attrs.frozen
class MonthlyLoad:
    """The load of a month.

    Args:
        monthly: requests per month.
        busy_ms: samples of milliseconds from the event until the runtime asks for the next one.
        cpu_ms: mean processor time of an event, one at a time.
        memory_mb: configured memory of the function on Lambda.
        process_mb: memory of one process.
        memory_per_event_mb: memory of each further event in flight; None if not measured.
        many_cpu_ms: processor time of an event with many at once; None if not measured.
    """

    monthly: float
    busy_ms: Sequence[float]
    cpu_ms: float
    memory_mb: int
    process_mb: float
    memory_per_event_mb: float | None = None
    many_cpu_ms: float | None = None


@attrs.frozen
class Estimate:
    """The cost of one way to serve the load.

    Args:
        where: Lambda and the architecture, or the type of the machines.
        monthly: US dollars per month; None if the load cannot be served this way.
        how: the numbers behind the estimate.
    """

    where: str
    monthly: float | None
    how: str


def clamp_memory(peak_mb: float | None) -> int:
    """Return the memory to configure for a measured memory, within Lambda's limits."""
    return min(max(MIN_MEMORY, math.ceil(peak_mb or 0)), MAX_MEMORY)


def estimate(load: MonthlyLoad, prices: Prices) -> tuple[Estimate, ...]:
    """Estimate the cost of the load on Lambda and on each server of the price list."""
    functions = prices.functions
    billed = billed_ms(load, functions.full_core_mb)
    how = f"{load.memory_mb} MB, {billed:,.1f} ms billed"
    events = {
        architecture: functions.requests_per_million / 1e6
        + billed / 1000 * load.memory_mb / 1024 * gb_second
        for architecture, gb_second in functions.gb_second.items()
    }
    on_lambda = [Estimate(f"Lambda, {architecture}", load.monthly * event, how)
                 for architecture, event in events.items()]  # fmt: skip
    cheapest = min(events.values())
    servers = (_estimate_server(load, prices, server, cheapest) for server in prices.servers)
    return (*on_lambda, *servers)


def billed_ms(load: MonthlyLoad, full_core_mb: float) -> float:
    """Return the mean billed duration: each event's duration, rounded up to milliseconds."""
    slower = max(1.0, full_core_mb / load.memory_mb)
    most = _max_compute_ms(load.busy_ms, load.cpu_ms)
    stretched = (each + min(most, each) * (slower - 1) for each in load.busy_ms)
    return sum(math.ceil(round(each, 6)) for each in stretched) / len(load.busy_ms)


def _max_compute_ms(busy_ms: Sequence[float], mean: float) -> float:
    """Return the computing time of the long events; shorter events compute for their whole time.

    Distributes the total processor time: time that exceeds a short event goes to longer ones.
    Otherwise a function that computes in every tenth event would be billed for almost nothing.
    """
    left = mean * len(busy_ms)
    for shorter, each in enumerate(sorted(busy_ms)):
        longer = len(busy_ms) - shorter
        if each * longer >= left:
            return left / longer
        left -= each
    return math.inf


def _estimate_server(
    load: MonthlyLoad, prices: Prices, server: ServerPrice, event: float
) -> Estimate:
    """Estimate the needed machines, their cost, and the rate below which Lambda is cheaper.

    Args:
        load: the load of a month.
        prices: the price list, with the hours of a month.
        server: the machine.
        event: the lowest cost of an event on Lambda.
    """
    where = f"{server.name}, always on"
    processes = int(server.memory_gb * 1024 / load.process_mb)
    if not processes:
        needs = f"needs {math.ceil(load.process_mb):,} MB"
        return Estimate(where, None, f"has {server.memory_gb:g} GB, {needs}")
    capacity = _capacity(load, server, processes)
    count = max(1, math.ceil(round(load.monthly / (prices.hours_a_month * 3600) / capacity, 6)))
    one = server.hourly * prices.hours_a_month
    dearer = _describe_break_even(count, one / event, capacity * prices.hours_a_month * 3600)
    return Estimate(where, one * count, f"{count} of {_format_count(capacity)}/s; {dearer}")


def _describe_break_even(count: int, even: float, most: float) -> str:
    """Describe the rate below which these machines cost more than Lambda.

    The cost of machines is a staircase: a rate that needs one more machine may cost more than
    Lambda again. From some number of machines on, each step starts below Lambda's cost.

    Args:
        count: the number of machines.
        even: requests per month that cost on Lambda as much as one machine.
        most: requests per month that one machine serves.
    """
    if even >= most:
        return "dearer at any rate"
    # n machines are needed above (n - 1) * most. For larger n that exceeds n * even.
    many = min(count, max(1, math.ceil(most / (most - even)) - 1))
    text = f"{many} dearer below" if many > 1 else "dearer below"
    return f"{text} {_format_count(many * even)}"


def _capacity(load: MonthlyLoad, server: ServerPrice, processes: int) -> float:
    """Return the events per second of a server with memory for this many processes."""
    share = min(server.sustained, LOADED)
    computed = min(server.cores, processes) * 1000 / (load.many_cpu_ms or load.cpu_ms) * share
    in_flight = _in_flight(load, server, processes)
    return min(computed, in_flight * 1000 / statistics.mean(load.busy_ms) * LOADED)


def _in_flight(load: MonthlyLoad, server: ServerPrice, processes: int) -> float:
    """Return how many events in flight fit into the server's memory."""
    if not load.memory_per_event_mb:
        return math.inf
    used = min(server.cores, processes)
    return used + (server.memory_gb * 1024 - used * load.process_mb) / load.memory_per_event_mb


def _format_count(number: float) -> str:
    """Format a number with three digits.

    >>> [_format_count(number) for number in (12.34, 999.4, 999.6, 68_400_000, 1.5e12)]
    ['12.3', '999', '1k', '68.4M', '1,500G']
    """
    # Round first: 999.6 is 1k.
    rounded = float(f"{number:.3g}")
    for letter, times in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if rounded >= times:
            return f"{rounded / times:,.9g}{letter}"
    return f"{rounded:g}"
