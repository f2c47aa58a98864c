"""Command line, timing and output of the contenders written in Python."""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import NamedTuple


class OperationCounts(NamedTuple):
    """The number of each operation; `warmup` operations run before, unmeasured."""

    warmup: int
    calls: int
    casts: int
    starts: int


def read_counts() -> OperationCounts:
    """Read the counts from the command line."""
    return OperationCounts(*map(int, sys.argv[1:5]))


async def each(loop: Callable[[int], Awaitable[object]], warmup: int, count: int) -> float:
    """Return microseconds per operation of a loop."""
    await loop(warmup)
    began = time.perf_counter()
    await loop(count)
    return (time.perf_counter() - began) / count * 1e6


def each_blocking(loop: Callable[[int], object], warmup: int, count: int) -> float:
    """Like `each`, for a loop that blocks its thread."""
    loop(warmup)
    began = time.perf_counter()
    loop(count)
    return (time.perf_counter() - began) / count * 1e6


def tell(call: float, cast: float, start: float, *distributions: str) -> None:
    """Print the line of JSON that `table` reads, with the versions of the distributions."""
    python = ".".join(map(str, sys.version_info[:3]))
    versions = [*(f"{name} {version(name)}" for name in distributions), f"Python {python}"]
    measured = {"call": call, "cast": cast, "start": start, "versions": ", ".join(versions)}
    print(json.dumps(measured))
