"""The cold start: from the start of a process to its first GET /next, with compiled bytecode.

Compared are okibi, the official client, a process that imports trio and then calls /next, and one
that calls /next without trio. The same code starts, pins and times all four. The median of the
rounds' ratios and differences counts, because a slow round is slow for all four.
"""

import os
import statistics
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import IO

from okibi.bench.turns import measure_in_turn

from .contenders import FUNCTIONS, OFFICIAL, PLAIN, Absent, Contender
from .reporting.rows import RatioRow, compare
from .requests import ConnectionClosed, Requests
from .server import start_runtime

# A round takes a third of a second.
LEAST_ROUNDS = 31
# Milliseconds that okibi may take beyond trio, by either reading.
BAR, GOAL = 40.0, 25.0
ASK = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n"
JUST_ASK = f"""
import os, socket
host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
with socket.create_connection((host, int(port))) as connection:
    connection.sendall({ASK!r})
    connection.recv(1)
"""
IMPORT_AND_ASK = f"import trio{JUST_ASK}"
TRIO = Contender("import trio alone", (sys.executable, "-P", "-c", IMPORT_AND_ASK))
BARE = Contender("the same without trio", (sys.executable, "-P", "-c", JUST_ASK))


@contextmanager
def started(contender: Contender, said: IO[bytes] | None = None) -> Generator[float]:
    """Start a contender, wait for its first GET /next, and kill it after the block.

    Args:
        contender: the contender to start.
        said: receives its standard error; None for this process's own.

    Returns:
        Milliseconds from the start of the process to its first GET /next.

    Raises:
        Absent: the contender does not call /next.
    """
    environment = {**os.environ, **contender.environment()}
    with (
        # Closed last: the process would complain about its closed connection.
        ExitStack() as connections,
        start_runtime(contender.command, environment, cwd=FUNCTIONS, stderr=said) as listener,
    ):
        try:
            connection = connections.enter_context(listener.runtime())
            requests = Requests(0)
            requests.attach(connection)
            requests.until_next()
            yield (time.perf_counter() - listener.began) * 1000
        except (ConnectionClosed, OSError):
            raise Absent(f"{contender.name} did not call /next") from None


def to_first_next(contender: Contender) -> float:
    """Return milliseconds to the first GET /next."""
    with started(contender) as taken:
        return taken


Taken = dict[Contender, list[float]]
"""Milliseconds of each round."""


def starts(rounds: int) -> list[RatioRow]:
    """Measure the four processes in turn."""
    contenders = [PLAIN, OFFICIAL, TRIO, BARE]
    for contender in contenders:
        to_first_next(contender)  # compiles
    taken = measure_in_turn(contenders, max(rounds, LEAST_ROUNDS), to_first_next)
    print("\ncold start to the first GET /next, bytecode compiled, ms")
    for contender, each in taken.items():
        print(f"  {contender.name:22}{statistics.median(each):8.1f}")
    return rows_of(taken)


def rows_of(taken: Taken) -> list[RatioRow]:
    """Build the rows: the ratio, and two readings of the time beyond trio.

    One reading subtracts a whole process that imports trio, with its interpreter, socket and GET.
    The other subtracts trio's own import only.
    """
    ours, theirs = taken[PLAIN], taken[OFFICIAL]
    imports = [one - other for one, other in zip(taken[TRIO], taken[BARE], strict=True)]
    return [
        compare("cold start", "to the first GET /next / awslambdaric", (ours, theirs), "ms"),
        _beyond(ours, taken[TRIO], "a process that imports trio"),
        _beyond(ours, imports, "trio's own import"),
    ]


def _beyond(ours: list[float], trios: list[float], what: str) -> RatioRow:
    less = [one - other for one, other in zip(ours, trios, strict=True)]
    shares = tuple(each / BAR for each in less)
    told = f"{statistics.median(less):.1f} ms"
    return RatioRow("cold start", f"less {what} / {BAR:g} ms", shares, 1.0, GOAL / BAR, told)
