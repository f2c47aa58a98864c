# An estimate, and what it stands on:
#
# * Lambda bills each event's duration, rounded up to whole milliseconds, times its memory, and each
#   request. What was measured here had a whole core. With less memory than a core's a function has
#   a share of one, so what it computes takes longer in proportion; what it waits for does not.
# * An always-on server is as many machines as the mean rate needs, and at least one: a peak needs
#   more, and so does who wants to survive one machine's end. A core serves what the processor time
#   of an event leaves room for.
# * Left out of both: the free tier, cold starts, logs, traffic, load balancers, whoever looks after
#   the server.
"""What a month costs at a given rate: Lambda against an always-on server. Pure arithmetic."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from runtime.cli.given import BadInput, number_of

__all__ = [
    "Estimate",
    "Load",
    "Prices",
    "estimate",
    "memory_for",
    "read_prices",
    "read_rate",
]

OWN = Path(__file__).parent / "prices.toml"
SMALLEST, LARGEST = 128, 10_240
"""MB that a function may have."""
SECONDS = {"s": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86_400.0}
TIMES = {"k": 1e3, "M": 1e6, "G": 1e9}


@attrs.frozen
class LambdaPrices:
    """What Lambda asks.

    Args:
        requests_per_million: for a million requests.
        full_core_mb: MB at which a function has one whole core.
        gb_second: for a GB-second, by architecture.
    """

    requests_per_million: float
    full_core_mb: float
    gb_second: Mapping[str, float]


@attrs.frozen
class Server:
    """A machine that is always on.

    Args:
        name: the instance type.
        hourly: for an hour.
        cores, memory_gb: what it has.
        sustained: the share of its cores that may be used all the time.
    """

    name: str
    hourly: float
    cores: int
    memory_gb: float
    sustained: float = 1.0


@attrs.frozen
class Prices:
    """What is asked for, in US dollars.

    Args:
        taken: when the prices were looked up.
        region: where they hold.
        sources: where they stand.
        hours_a_month: of a server.
        functions: Lambda's.
        servers: of machines.
    """

    taken: str
    region: str
    sources: Sequence[str]
    hours_a_month: float
    functions: LambdaPrices
    servers: Sequence[Server]

    def __attrs_post_init__(self) -> None:
        asked = self.functions
        numbers = [self.hours_a_month, asked.full_core_mb, *asked.gb_second.values()]
        for server in self.servers:
            numbers += [server.hourly, server.cores, server.memory_gb, server.sustained]
        known = all(0 < number < math.inf for number in numbers)
        if not asked.gb_second or not known or not 0 <= asked.requests_per_million < math.inf:
            raise ValueError("a price, a size or a number of hours that has to be more than 0")


@attrs.frozen
class Load:
    """What is to be paid for.

    Args:
        monthly: requests a month.
        busy_ms: of some events, milliseconds from the event until the runtime has come back for the
            next one.
        cpu_ms: processor time of an event, in the mean.
        memory_mb: of the function.
        core_rate: events a second that one core serves.
    """

    monthly: float
    busy_ms: Sequence[float]
    cpu_ms: float
    memory_mb: int
    core_rate: float


@attrs.frozen
class Estimate:
    """One way to serve the load.

    Args:
        where: Lambda with its architecture, or the number and the type of the machines.
        monthly: US dollars.
        how: what it was reckoned from.
    """

    where: str
    monthly: float
    how: str


def read_prices(path: Path | None = None) -> Prices:
    """The prices of a file; okibi's own without one.

    Raises:
        BadInput: it cannot be read, or is not of that form.
    """
    try:
        text = (path or OWN).read_bytes()
        told = msgspec.toml.decode(text, type=dict[str, object])
        # `lambda` is a word of Python's.
        if "lambda" in told:
            told["functions"] = told.pop("lambda")
        return msgspec.convert(told, Prices)
    except OSError as error:
        raise BadInput(f"--prices {path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, ValueError) as error:
        words = str(error).replace("$.functions", "$.lambda").replace("`functions`", "`lambda`")
        raise BadInput(
            f"--prices {path}: {words}; write a file like okibi's own, which is {OWN}"
        ) from error


def read_rate(text: str, hours_a_month: float) -> float:
    """Requests a month out of what a user writes: `10/s`, `1M/month`, `20000/day`.

    Raises:
        BadInput: it is no number of requests in a time.

    >>> read_rate("10/s", 730)
    26280000.0
    """
    number, slash, unit = text.replace(" ", "").partition("/")
    times = TIMES.get(number[-1:], 1.0)
    count = number_of(number[:-1] if number[-1:] in TIMES else number)
    month = hours_a_month * 3600.0
    seconds = {**SECONDS, "month": month}.get(unit)
    monthly = count * times * month / (seconds or 1.0)
    # Of a number that is finite so many times may be none.
    if not slash or seconds is None or not 0 < monthly < math.inf:
        raise BadInput(
            f"--rate {text}: give a number of requests in a time, as 10/s, 20k/day or 3M/month"
        )
    return monthly


def memory_for(measured_mb: float | None) -> int:
    """The memory that a function is given which was measured to take so many MB."""
    return min(max(SMALLEST, math.ceil(measured_mb or 0)), LARGEST)


def estimate(load: Load, prices: Prices) -> tuple[Estimate, ...]:
    """What the load costs in each way there is a price for."""
    functions = [_on_lambda(load, prices, architecture) for architecture in
                 prices.functions.gb_second]  # fmt: skip
    cheapest = min(functions, key=lambda each: each.monthly)
    servers = [_on_server(load, prices, server, cheapest) for server in prices.servers]
    return (*functions, *servers)


def billed_ms(load: Load, full_core_mb: float) -> float:
    """What is billed of an event in the mean: each one's duration, rounded up to milliseconds."""
    mean = sum(load.busy_ms) / len(load.busy_ms)
    computed = min(load.cpu_ms, mean)
    slower = max(1.0, full_core_mb / load.memory_mb)
    stretched = (mean - computed + computed * slower) / mean
    return sum(math.ceil(round(each * stretched, 6)) for each in load.busy_ms) / len(load.busy_ms)


def _on_lambda(load: Load, prices: Prices, architecture: str) -> Estimate:
    asked = prices.functions
    each = billed_ms(load, asked.full_core_mb)
    gb_seconds = load.monthly * each / 1000 * load.memory_mb / 1024
    cost = (
        load.monthly / 1e6 * asked.requests_per_million + gb_seconds * asked.gb_second[architecture]
    )
    how = f"{load.memory_mb} MB, {each:.1f} ms billed an event, {gb_seconds:,.0f} GB-s"
    return Estimate(f"Lambda, {architecture}", cost, how)


def _on_server(load: Load, prices: Prices, server: Server, function: Estimate) -> Estimate:
    """What so many machines cost as the load needs, and up to what rate Lambda is cheaper.

    Args:
        load: to be served.
        prices: for the length of a month.
        server: the machine.
        function: the same load on Lambda.
    """
    month = prices.hours_a_month * 3600.0
    capacity = load.core_rate * server.cores * server.sustained
    count = max(1, math.ceil(round(load.monthly / month / capacity, 6)))
    one = server.hourly * prices.hours_a_month
    even = one / (function.monthly / load.monthly)
    how = f"{_count(capacity)}/s each; Lambda is cheaper up to {_count(even)}/month"
    return Estimate(f"{count} x {server.name}, always on", one * count, how)


def _count(number: float) -> str:
    for letter, times in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= times:
            return f"{number / times:.3g}{letter}"
    return f"{number:.3g}"
