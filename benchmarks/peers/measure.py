"""What the contenders written in Python share: their counts, and how time is taken."""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import NamedTuple


class Counts(NamedTuple):
    """How often each is done; `warmup` times before that it is done and not counted."""

    warmup: int
    calls: int
    casts: int
    starts: int


def counts() -> Counts:
    """What this program is told on its command line."""
    return Counts(*map(int, sys.argv[1:5]))


async def each(loop: Callable[[int], Awaitable[object]], warmup: int, count: int) -> float:
    """Microseconds for one, by a loop that does it so and so often."""
    await loop(warmup)
    began = time.perf_counter()
    await loop(count)
    return (time.perf_counter() - began) / count * 1e6


def each_blocking(loop: Callable[[int], object], warmup: int, count: int) -> float:
    """As `each`, for a loop that blocks its thread."""
    loop(warmup)
    began = time.perf_counter()
    loop(count)
    return (time.perf_counter() - began) / count * 1e6


def tell(call: float, cast: float, start: float, *distributions: str) -> None:
    """Print the line that `table` reads; the versions are those of what was measured."""
    python = ".".join(map(str, sys.version_info[:3]))
    versions = [*(f"{name} {version(name)}" for name in distributions), f"Python {python}"]
    measured = {"call": call, "cast": cast, "start": start, "versions": ", ".join(versions)}
    print(json.dumps(measured))
