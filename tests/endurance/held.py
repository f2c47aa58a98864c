"""C code that holds the GIL past the deadline in a warm sandbox: when does it end?

    python -m tests.endurance.held [RUNS]

Starts a process, lets it answer one event per slot, and then lets it run code that never releases
the GIL. Measures the time from the deadline until the process has ended or each event is answered:
`make held`. The played platform has no time-out.
"""

import itertools
import json
import os
import statistics
import sys
import time

import trio

from okibi.local import EntryKind
from tests.support.sandbox import PLATFORM, process_of

CODES = ("a regular expression", "a power", "a ctypes.PyDLL call")
HANDLERS = ("plain", "asynchronous", "streamed")
SLOTS = (1, 8)
# The time-out of an event in seconds, and the seconds allowed from its deadline to the end.
TIMEOUT, ALLOWED = 1.0, 0.2


async def held(handler: str, code: str, slots: int = 1, module: str = "holds") -> tuple[float, str]:
    """Hold the GIL with an event in each slot.

    Args:
        handler: a handler of the module.
        code: one of CODES.
        slots: events at once.
        module: a module in `functions/`.

    Returns:
        Seconds from the first deadline to the end, negative if the process ended before; and the
        output of the process.
    """
    concurrency = None if slots == 1 else slots
    async with process_of(
        f"{module}.{handler}",
        max_concurrency=concurrency,
        # The deadline of the event follows TIMEOUT; the platform waits longer.
        wall_clock=lambda: time.time() - PLATFORM + TIMEOUT,
    ) as (process, api, said):
        answered, over = 0, trio.Event()

        async def invoke(event: object) -> None:
            nonlocal answered
            await api.invoke(json.dumps(event).encode())
            answered += 1
            if answered == 2 * slots:
                over.set()

        async with trio.open_nursery() as nursery:
            for _ in range(slots):
                nursery.start_soon(invoke, {})
            while answered < slots:  # noqa: ASYNC110, no event to wait for
                await trio.sleep(0.001)
            for _ in range(slots):
                nursery.start_soon(invoke, {"by": code})

            async def until_ended() -> None:
                await process.wait()
                over.set()

            nursery.start_soon(until_ended)
            with trio.move_on_after(TIMEOUT + 5):
                await over.wait()
            ended = trio.current_time()
            began = api.journal.times(EntryKind.DELIVERED)[slots]
            nursery.cancel_scope.cancel()
        process.kill()
        await process.wait()
    return ended - began - TIMEOUT, b"".join(said).decode(errors="replace")


def _row(name: str, times: list[float]) -> str:
    median, worst = (
        f"{seconds * 1000:+.0f} ms" for seconds in (statistics.median(times), max(times))
    )
    in_time = sum(seconds <= ALLOWED for seconds in times)
    return f"{name:42} {in_time} of {len(times)}   median {median}, worst {worst}"


async def _main(runs: int) -> int:
    print(
        f"warm, C code holds the GIL; {TIMEOUT:g} s to the deadline, ended or answered"
        f" within {ALLOWED * 1000:g} ms of it:"
    )
    late = 0
    for slots in SLOTS:
        kinds = itertools.cycle(itertools.product(CODES, HANDLERS))
        times = dict[str, list[float]]()
        for code, handler in itertools.islice(kinds, runs):
            seconds, _ = await held(handler, code, slots)
            times.setdefault(f"{code}, {handler}", []).append(seconds)
        every = list(itertools.chain(*times.values()))
        late += sum(seconds > ALLOWED for seconds in every)
        for name, each in sorted(times.items()):
            print(f"  {_row(name, each)}")
        print(_row(f"{slots} at once", every), flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(trio.run(_main, int(sys.argv[1]) if len(sys.argv) > 1 else 100))
