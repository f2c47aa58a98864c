"""Shut a process down with an event in flight, and see what happens to it, its actors and the
event.

    python -m tests.endurance.stopping [RUNS [ACTORS]]

Repeats this: `make stopping`, the full size of what a test does once.
"""

import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio

from okibi.local import EntryKind, InvokeResult, RuntimeApi
from tests.support.sandbox import COMMAND, process_of

LONG = 30.0
# Time limits so long that no other load makes the shutdown hurry.
UNHURRIED = """
import sys
from okibi.runtime.process_end import shutdown
from okibi.runtime.bootstrap import main
shutdown.DRAIN, shutdown.HASTE, shutdown.LIMIT, shutdown.STOP_LIMIT = {drain}, 10, 12, 15
sys.exit(main(sys.argv[1:]))
"""


def unhurried(drain: float = 0.06) -> tuple[str, ...]:
    return (sys.executable, "-P", "-c", UNHURRIED.format(drain=drain))


@attrs.define(eq=False)
class Ended:
    """A process that was shut down with an event in flight, and the result of both."""

    code: int = 0
    seconds: float = 0.0
    result: InvokeResult | None = None
    lines: list[str] = attrs.field(factory=list[str])
    asked_for_more: bool = False


@asynccontextmanager
async def told_to_end(
    handler: str,
    event: object,
    number: int = signal.SIGTERM,
    *,
    members: int = 20,
    command: tuple[str, ...] = COMMAND,
    lanes: int = 1,
    response: bool = True,
) -> AsyncIterator[tuple[Ended, trio.Process]]:
    """Send a signal while the process has the event; the block runs while the process ends.

    Without `response`, none is expected for the event.
    """
    ended = Ended()
    async with process_of(
        handler, command=command, MEMBERS=str(members), AWS_LAMBDA_MAX_CONCURRENCY=str(lanes)
    ) as (process, api, said):
        # After the first event the runtime is up, with its signal handlers.
        await api.invoke(b"{}")
        async with trio.open_nursery() as nursery:

            async def invoke() -> None:
                ended.result = await api.invoke(json.dumps(event).encode())

            nursery.start_soon(invoke)
            await until_second(api)
            began = time.perf_counter()
            process.send_signal(number)
            yield ended, process
            ended.code = await process.wait()
            ended.seconds = time.perf_counter() - began
            with trio.move_on_after(1 if response else 0.05):
                while ended.result is None:  # noqa: ASYNC110, the server may still be reading
                    await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
        ended.asked_for_more = bool(api.journal.times(EntryKind.ABANDONED))
    ended.lines += b"".join(said).decode().splitlines()


async def until_second(api: RuntimeApi) -> None:
    # By the journal: a fast event may be answered before anybody looks.
    while len(api.journal.times(EntryKind.DELIVERED)) < 2:
        await trio.lowlevel.checkpoint()
    # The event has been written to the socket; the handler begins soon.
    await trio.sleep(0.02)


# The runtime's share of the shutdown phase (Runtime API).
ALLOWED = 0.3


async def _once(actors: int) -> tuple[float, bool, list[str]]:
    """Return the duration of one shutdown, whether children ended in order, and what was wrong."""
    async with told_to_end("ends.many", {"seconds": LONG}, members=actors) as (ended, _):
        pass
    gone = [line for line in ended.lines if line.startswith("member ")]
    last_first = [f"member {n}" for n in reversed(range(actors))]
    wrong: list[str] = []
    if ended.code != 0:
        wrong.append(f"the exit code was {ended.code}")
    if ended.result is None or ended.result.error_type != "Runtime.Stopped":
        wrong.append("the event was not answered with Runtime.Stopped")
    if sorted(gone) != sorted(last_first):
        wrong.append(f"{len(set(gone))} of {actors} cleaned up")
    return ended.seconds, gone == last_first, wrong


async def _main(runs: int, actors: int) -> int:
    print(
        f"SIGTERM with {actors} actors and an event in flight that takes {LONG:g} s, {runs} times"
    )
    times, faults, in_order = list[float](), 0, 0
    for run in range(runs):
        seconds, reverse, wrong = await _once(actors)
        times.append(seconds)
        faults += bool(wrong)
        in_order += reverse
        for sentence in wrong:
            print(f"run {run}: {sentence}")
    late = sum(seconds >= ALLOWED for seconds in times)
    figures = (statistics.median(times), sorted(times)[int(0.95 * (runs - 1))], max(times))
    median, most, worst = (f"{seconds * 1000:.0f} ms" for seconds in figures)
    print(f"exit code 0, the event answered, each terminate run: {runs - faults} of {runs}")
    print(f"in reverse to the end, without a hurry: {in_order} of {runs}")
    print(f"until the process was gone: median {median}, 95 % within {most}, worst {worst}")
    print(f"within {ALLOWED * 1000:g} ms: {runs - late} of {runs}; load {os.getloadavg()[0]:.1f}")
    return int(faults + late > 0)


if __name__ == "__main__":
    runs, actors = (*map(int, sys.argv[1:]), *(100, 1000)[len(sys.argv) - 1 :])
    sys.exit(trio.run(_main, runs, actors))
