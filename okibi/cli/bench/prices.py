"""What Lambda and servers ask for, and at what rate, read out of what a user gives."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from ..arguments import BadInput, number_of

__all__ = ["LambdaPrices", "Prices", "Server", "read_prices", "read_rate"]

OWN = Path(__file__).parent / "prices.toml"
SECONDS = {"s": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86_400.0}
TIMES = {"k": 1e3, "M": 1e6, "G": 1e9}
# 400 million a second; of more there are no columns that would hold the costs.
MOST_MONTHLY = 1e15


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
            if server.sustained > 1:
                raise ValueError(f"sustained of {server.name} is a share of its cores, 1 at most")
        known = all(0 < number < math.inf for number in numbers)
        if not asked.gb_second or not known or not 0 <= asked.requests_per_million < math.inf:
            raise ValueError("a price, a size or a number of hours that has to be more than 0")


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
        prices = msgspec.convert(told, Prices)
        _refuse_unknown(told)
    except OSError as error:
        raise BadInput(f"--prices {path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, ValueError) as error:
        words = str(error).replace("$.functions", "$.lambda").replace("`functions`", "`lambda`")
        raise BadInput(
            f"--prices {path}: {words}; write a file like okibi's own, which is {OWN}"
        ) from error
    return prices


def _refuse_unknown(told: Mapping[str, Any]) -> None:
    """One that is misspelt would be as good as not there.

    Raises:
        ValueError: a key means nothing.
    """
    tables = [(told, Prices, ""), (told["functions"], LambdaPrices, " in [lambda]")]
    tables += [(server, Server, " in [[servers]]") for server in told["servers"]]
    for table, kind, where in tables:
        known = {field.name for field in attrs.fields(kind)}
        for key in table:
            if key not in known:
                raise ValueError(f"`{key}`{where} means nothing")


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
    if monthly > MOST_MONTHLY:
        raise BadInput(f"--rate {text}: is more than {MOST_MONTHLY / 1e9:,.0f}G/month; give less")
    return monthly
