"""Read the price list and the rate of the cost estimate."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from ..project.arguments import parse_number
from ..project.bad_input import BadInput
from ..project.input_files import MAX_TEXT, read_input

SHIPPED_PRICES = Path(__file__).parent / "prices.toml"
SECONDS = {"s": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "day": 86_400.0}
TIMES = {"k": 1e3, "M": 1e6, "G": 1e9}
# 400 million per second. Higher costs would not fit into the columns of the report.
MAX_MONTHLY = 1e15


@attrs.frozen
class LambdaPrices:
    """The prices of Lambda in US dollars.

    Args:
        requests_per_million: the price of a million requests.
        full_core_mb: the memory at which a function has one whole core.
        gb_second: the price of a GB-second, by architecture.
    """

    requests_per_million: float
    full_core_mb: float
    gb_second: Mapping[str, float]


@attrs.frozen
class ServerPrice:
    """The price and size of an always-on machine.

    Args:
        name: the instance type.
        hourly: US dollars per hour.
        cores, memory_gb: the size of the machine.
        sustained: the share of the cores that may be used permanently.
    """

    name: str
    hourly: float
    cores: int
    memory_gb: float
    sustained: float = 1.0


@attrs.frozen
class Prices:
    """A price list in US dollars.

    Args:
        taken: the month in which the prices were looked up.
        region: the AWS region.
        sources: URLs of the prices.
        hours_a_month: hours of an always-on server.
        functions: the prices of Lambda.
        servers: the prices of machines.
    """

    taken: str
    region: str
    sources: Sequence[str]
    hours_a_month: float
    functions: LambdaPrices
    servers: Sequence[ServerPrice]

    def __attrs_post_init__(self) -> None:
        functions = self.functions
        numbers = [self.hours_a_month, functions.full_core_mb, *functions.gb_second.values()]
        for server in self.servers:
            numbers += [server.hourly, server.cores, server.memory_gb, server.sustained]
            if server.sustained > 1:
                raise ValueError(f"sustained of {server.name} must be a share of its cores, <= 1")
        legal = all(0 < number < math.inf for number in numbers)
        requests = functions.requests_per_million
        if not functions.gb_second or not legal or not 0 <= requests < math.inf:
            raise ValueError("prices, sizes and hours must be > 0")


def read_prices(path: Path | None = None) -> Prices:
    """Read a price list; None for the list shipped with okibi.

    Raises:
        BadInput: the file cannot be read, or has wrong content.
    """
    try:
        text = read_input(path or SHIPPED_PRICES, f"--prices {path}", MAX_TEXT)
        content = msgspec.toml.decode(text, type=dict[str, object])
        # `lambda` is a Python keyword.
        if "lambda" in content:
            content["functions"] = content.pop("lambda")
        prices = msgspec.convert(content, Prices)
        _refuse_unknown(content)
    except OSError as error:
        raise BadInput(f"--prices {path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, ValueError) as error:
        reason = str(error).replace("$.functions", "$.lambda").replace("`functions`", "`lambda`")
        raise BadInput(f"--prices {path}: {reason}; write a file like {SHIPPED_PRICES}") from error
    return prices


def _refuse_unknown(content: Mapping[str, Any]) -> None:
    """Refuse unknown keys, because a misspelt key would be ignored.

    Raises:
        ValueError: a key is unknown.
    """
    tables = [(content, Prices, ""), (content["functions"], LambdaPrices, " in [lambda]")]
    tables += [(server, ServerPrice, " in [[servers]]") for server in content["servers"]]
    for table, kind, where in tables:
        known = {field.name for field in attrs.fields(kind)}
        for key in table:
            if key not in known:
                raise ValueError(f"unknown key `{key}`{where}")


def read_rate(text: str, hours_a_month: float) -> float:
    """Parse a rate, such as `10/s`, `1M/month` or `20000/day`, into requests per month.

    Raises:
        BadInput: the text is no rate, or the rate is too high.

    >>> read_rate("10/s", 730)
    26280000.0
    """
    number, slash, unit = text.replace(" ", "").partition("/")
    times = TIMES.get(number[-1:], 1.0)
    count = parse_number(number[:-1] if number[-1:] in TIMES else number)
    month = hours_a_month * 3600.0
    seconds = {**SECONDS, "month": month}.get(unit)
    monthly = count * times * month / (seconds or 1.0)
    # A finite count can overflow to infinity here.
    if not slash or seconds is None or not 0 < monthly < math.inf:
        raise BadInput(
            f"--rate {text}: must be requests per time, as in --rate 10/s, 20k/day or 3M/month"
        )
    if monthly > MAX_MONTHLY:
        raise BadInput(f"--rate {text}: exceeds {MAX_MONTHLY / 1e9:,.0f}G/month; give a lower rate")
    return monthly
