"""The cold start: from a process's start to its first GET /next, bytecode compiled.

okibi, the official client, a process that imports trio and then asks for /next as they do, and one
that asks without it: the same code starts, pins and times all four. What counts is the median of
the rounds' ratios and differences: one round is slower than another, but for all four.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

from .contenders import FUNCTIONS, OFFICIAL, PLAIN, Absent, Contender
from .reporting.rows import Row, ratios
from .requests import Closed, Requests
from .server import Portal

# A round takes a third of a second.
LEAST_ROUNDS = 31
# Milliseconds that a start takes beyond trio, whichever of the two is taken for that.
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
    """A process of the contender's that has asked for its first event, and is killed after this.

    Args:
        contender: what is started.
        said: takes its standard error; None for this process's own.

    Returns:
        Milliseconds from its start until then.

    Raises:
        Absent: it does not ask.
    """
    cores = sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {**os.environ, **contender.environment(), "AWS_LAMBDA_RUNTIME_API": address}
        # What it starts inherits this.
        os.sched_setaffinity(0, {cores[0]})
        began = time.perf_counter()
        process = subprocess.Popen(contender.command, env=environment, cwd=FUNCTIONS, stderr=said)
        connection = None
        try:
            os.sched_setaffinity(0, {cores[-1]})
            connection = Portal(listener, process).runtime()
            requests = Requests(0)
            requests.attach(connection)
            requests.until_next()
            yield (time.perf_counter() - began) * 1000
        except (Closed, OSError):
            raise Absent(f"{contender.name} has not come to its first /next") from None
        finally:
            # Before its connection is closed, of which it would complain.
            process.kill()
            process.wait()
            if connection is not None:
                connection.close()
            os.sched_setaffinity(0, cores)


def to_first_next(contender: Contender) -> float:
    """Milliseconds."""
    with started(contender) as taken:
        return taken


Taken = dict[Contender, list[float]]
"""Of each, milliseconds in each round."""


def starts(rounds: int) -> list[Row]:
    """okibi, the official client, and what imports trio and what does not, in turn."""
    contenders = [PLAIN, OFFICIAL, TRIO, BARE]
    for contender in contenders:
        to_first_next(contender)  # compiles
    taken: Taken = {each: [] for each in contenders}
    for _ in range(max(rounds, LEAST_ROUNDS)):
        for contender in contenders:
            taken[contender].append(to_first_next(contender))
        # Nobody comes after the same one each time.
        contenders.append(contenders.pop(0))
    print("\ncold start to the first GET /next, bytecode compiled, ms")
    for contender, each in taken.items():
        print(f"  {contender.name:22}{statistics.median(each):8.1f}")
    return rows_of(taken)


def rows_of(taken: Taken) -> list[Row]:
    """In all, and by two readings of what is trio's: a whole process, which has an interpreter, a
    socket and a GET of its own as well, or what the import takes of that.
    """
    ours, theirs = taken[PLAIN], taken[OFFICIAL]
    told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} ms"
    imports = [one - other for one, other in zip(taken[TRIO], taken[BARE], strict=True)]
    return [
        Row("cold start", "to the first GET /next / awslambdaric", ratios(ours, theirs), told=told),
        _beyond(ours, taken[TRIO], "a process that imports trio"),
        _beyond(ours, imports, "trio's own import"),
    ]


def _beyond(ours: list[float], trios: list[float], what: str) -> Row:
    less = [one - other for one, other in zip(ours, trios, strict=True)]
    shares = tuple(each / BAR for each in less)
    told = f"{statistics.median(less):.1f} ms"
    return Row("cold start", f"less {what} / {BAR:g} ms", shares, 1.0, GOAL / BAR, told)
