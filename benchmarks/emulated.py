"""One event at a time on AWS's own emulator.

Most of a cycle is the emulator's work at the start and end of each invocation. Therefore the ratios
are closer to 1 than with the benchmark's server. The processor time of the runtime's process is
reported too.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from okibi.bench.turns import measure_in_turn
from okibi.local.sandbox.processes import cpu_seconds, descendants
from tests.conformance.runtime_api.peer import Peer, request
from tests.support.emulator import NoEmulatorError, emulating, emulator

from .contenders import ASYNC, FUNCTIONS, OFFICIAL, PLAIN, Absent, Contender
from .reporting.rows import RatioRow, compare

BODY = b'{"message": "hello"}'
SAME = b"".join(BODY.split())
REQUEST = request("POST", "/2015-03-31/functions/function/invocations", BODY)
CONTENDERS = (OFFICIAL, ASYNC, PLAIN)
Figures = tuple[float, float]
"""Microseconds: the median invocation, and the mean processor time of the runtime."""


@contextmanager
def _served(executable: Path, contender: Contender) -> Generator[tuple[Peer, int]]:
    command = list(contender.command)
    if contender is not OFFICIAL:
        # The last argument is the handler's name. The official client's command already has it.
        command.append(contender.handler)
    environment = {**os.environ, **contender.environment()}
    with (
        tempfile.TemporaryFile() as log,
        emulating(executable, command, FUNCTIONS, environment, log) as (port, pid),
    ):
        yield Peer(("127.0.0.1", port)), pid


def run(executable: Path, contender: Contender, count: int) -> Figures:
    """Run one contender.

    Raises:
        Absent: the contender does not echo its event.
    """
    with _served(executable, contender) as (peer, pid):
        times, before = list[float](), 0.0
        for number in range(count + count // 6):
            if number == count // 6:
                before = _cpu(pid)
            began = time.perf_counter()
            answer = peer.ask(REQUEST)
            times.append(time.perf_counter() - began)
            if b"".join(answer.body.split()) != SAME:
                raise Absent(f"{contender.name} on the emulator: {answer.body[:200]!r}")
        spent = (_cpu(pid) - before) / count * 1e6
        peer.close()
    return statistics.median(times[count // 6 :]) * 1e6, spent


def _cpu(emulators: int) -> float:
    return sum(cpu_seconds(pid) for pid in descendants(emulators))


def emulated(rounds: int, count: int) -> list[RatioRow]:
    """Measure both kinds of okibi handlers and the official client, in turn.

    Raises:
        Absent: the emulator is not installed.
    """
    try:
        executable = emulator()
    except NoEmulatorError as why:
        raise Absent(f"one at a time on AWS's emulator: {why}") from None
    found = measure_in_turn(CONTENDERS, rounds, lambda each: run(executable, each, count))
    print("\none at a time on AWS's emulator    us an invocation   CPU of the runtime")
    for each, figures in found.items():
        whole, cpu = (statistics.median(one[n] for one in figures) for n in (0, 1))
        print(f"  {each.name:22}{whole:25.1f} {cpu:16.1f}")
    rows: list[RatioRow] = []
    for each, name in ((ASYNC, "async def"), (PLAIN, "plain def")):
        for n, what in ((0, name), (1, f"CPU, {name}")):
            pair = [[one[n] for one in found[c]] for c in (each, OFFICIAL)]
            rows.append(compare("AWS's emulator", f"{what} / awslambdaric", pair, "us"))
    return rows
