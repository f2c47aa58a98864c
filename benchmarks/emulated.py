"""One event at a time on AWS's own emulator: a server that none of okibi's is behind.

Most of a cycle is the emulator's: it starts and ends each invocation, and says so. So the ratio is
nearer to 1 than on a server that is there at once, and the processor time of the runtime's process
is told beside it.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from okibi.local.processes import cpu_seconds, descendants
from tests.conformance.runtime_api.peer import Peer, request
from tests.support.emulator import NoEmulatorError, emulating, emulator

from .contenders import ASYNC, FUNCTIONS, OFFICIAL, PLAIN, Absent, Contender
from .reporting.rows import Row, ratios

BODY = b'{"message": "hello"}'
SAME = b"".join(BODY.split())
REQUEST = request("POST", "/2015-03-31/functions/function/invocations", BODY)
CONTENDERS = (OFFICIAL, ASYNC, PLAIN)
Figures = tuple[float, float]
"""Microseconds: of an invocation, the median, and of the runtime's processor in it, the mean."""


@contextmanager
def _served(executable: Path, contender: Contender) -> Generator[tuple[Peer, int]]:
    command = list(contender.command)
    if contender is not OFFICIAL:
        # The last argument is the handler's name; the official client's has it already.
        command.append(contender.handler)
    environment = {**os.environ, **contender.environment()}
    with (
        tempfile.TemporaryFile() as log,
        emulating(executable, command, FUNCTIONS, environment, log) as (port, pid),
    ):
        yield Peer(("127.0.0.1", port)), pid


def run(executable: Path, contender: Contender, count: int) -> Figures:
    """One run of one contender.

    Raises:
        Absent: it answers otherwise than with its event.
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


def emulated(rounds: int, count: int) -> list[Row]:
    """Both of okibi's and the official client, in turn.

    Raises:
        Absent: there is no emulator here.
    """
    try:
        executable = emulator()
    except NoEmulatorError as why:
        raise Absent(f"one at a time on AWS's emulator: {why}") from None
    found: dict[Contender, list[Figures]] = {each: [] for each in CONTENDERS}
    for _ in range(rounds):
        for each, figures in found.items():
            figures.append(run(executable, each, count))
    print("\none at a time on AWS's emulator    us an invocation   CPU of the runtime")
    for each, figures in found.items():
        whole, cpu = (statistics.median(one[n] for one in figures) for n in (0, 1))
        print(f"  {each.name:22}{whole:25.1f} {cpu:16.1f}")
    rows: list[Row] = []
    for each, name in ((ASYNC, "async def"), (PLAIN, "plain def")):
        for n, what in ((0, name), (1, f"CPU, {name}")):
            ours, theirs = ([one[n] for one in found[c]] for c in (each, OFFICIAL))
            told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} us"
            made = ratios(ours, theirs)
            rows.append(Row("AWS's emulator", f"{what} / awslambdaric", made, told=told))
    return rows
