"""The cold start: from a process's start to its first GET /next, bytecode compiled.

okibi, the official client, and a process that imports trio and then asks for /next as they do: the
same code starts, pins and times all three. What counts is the median of the rounds' ratios and
differences: one round is slower than another, but for all three.
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
from .requests import Closed, Requests
from .rows import Row, ratios
from .server import Door

# A round takes a third of a second.
LEAST_ROUNDS = 31
# Milliseconds that a start takes beyond the import of trio alone.
BAR, GOAL = 40.0, 25.0
ASK = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n"
IMPORT_AND_ASK = f"""
import os, socket, trio
host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
with socket.create_connection((host, int(port))) as connection:
    connection.sendall({ASK!r})
    connection.recv(1)
"""
TRIO = Contender("import trio alone", (sys.executable, "-P", "-c", IMPORT_AND_ASK))


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
            connection = Door(listener, process).runtime()
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


def starts(rounds: int) -> list[Row]:
    """okibi, the official client, and the import of trio, in turn."""
    contenders = [PLAIN, OFFICIAL, TRIO]
    for contender in contenders:
        to_first_next(contender)  # compiles
    taken: dict[Contender, list[float]] = {each: [] for each in contenders}
    for _ in range(max(rounds, LEAST_ROUNDS)):
        for contender in contenders:
            taken[contender].append(to_first_next(contender))
        # Nobody comes after the same one each time.
        contenders.append(contenders.pop(0))
    ours, theirs, trio = taken[PLAIN], taken[OFFICIAL], taken[TRIO]
    less = [one - other for one, other in zip(ours, trio, strict=True)]
    medians = [statistics.median(each) for each in (ours, theirs, trio, less)]
    print("\ncold start to the first GET /next, bytecode compiled, ms")
    names = ("okibi", OFFICIAL.name, TRIO.name, "okibi less that")
    for name, median in zip(names, medians, strict=True):
        print(f"  {name:22}{median:8.1f}")
    told = f"{medians[0]:.1f} of {medians[1]:.1f} ms"
    beyond = tuple(each / BAR for each in less)
    return [
        Row("cold start", "to the first GET /next / awslambdaric", ratios(ours, theirs), told=told),
        Row("cold start", f"less the import of trio / {BAR:g} ms", beyond, 1.0, GOAL / BAR,
            f"{medians[3]:.1f} ms"),
    ]  # fmt: skip
