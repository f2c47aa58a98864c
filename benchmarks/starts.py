"""The cold start: from a process's start to its first GET /next, bytecode compiled."""

import os
import socket
import statistics
import subprocess
import sys
import time

from .contenders import FUNCTIONS, OFFICIAL, PLAIN, ROOT, Contender
from .rows import Row, ratios

PATIENCE = 20.0
# Milliseconds that a start takes beyond the import of trio alone.
BAR, GOAL = 40.0, 25.0


def to_first_next(contender: Contender) -> float:
    """Milliseconds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        environment = {**os.environ, **contender.environment(), "AWS_LAMBDA_RUNTIME_API": address}
        # The extension's connection, which comes first, is answered by nobody here.
        environment["OKIBI_GRACEFUL_SHUTDOWN"] = "0"
        began = time.perf_counter()
        process = subprocess.Popen(contender.command, env=environment, cwd=FUNCTIONS)
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE)
                asked = b""
                while b"/runtime/invocation/next" not in asked:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        raise SystemExit(f"{contender.name} has ended before its first /next")
                    asked += piece
                return (time.perf_counter() - began) * 1000
        finally:
            process.kill()
            process.wait()


def import_of_trio() -> float:
    """Milliseconds of a process that does nothing else."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", "import trio"], check=True, cwd=ROOT)
    return (time.perf_counter() - began) * 1000


def starts(rounds: int) -> list[Row]:
    """okibi, the official client, and the import of trio, in turn."""
    to_first_next(PLAIN)  # compiles
    ours, theirs, trio = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        ours.append(to_first_next(PLAIN))
        theirs.append(to_first_next(OFFICIAL))
        trio.append(import_of_trio())
    less = [one - other for one, other in zip(ours, trio, strict=True)]
    medians = [statistics.median(each) for each in (ours, theirs, trio, less)]
    print("\ncold start to the first GET /next, bytecode compiled, ms")
    names = ("okibi", "awslambdaric", "import trio alone", "okibi less that")
    for name, median in zip(names, medians, strict=True):
        print(f"  {name:22}{median:8.1f}")
    told = f"{medians[0]:.1f} of {medians[1]:.1f} ms"
    beyond = tuple(each / BAR for each in less)
    return [
        Row("cold start", "to the first GET /next / awslambdaric", ratios(ours, theirs), told=told),
        Row("cold start", f"less the import of trio / {BAR:g} ms", beyond, 1.0, GOAL / BAR,
            f"{medians[3]:.1f} ms"),
    ]  # fmt: skip
