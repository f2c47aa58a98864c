"""The time from saving a file to the new sandbox's /next, beside a bare start of a sandbox.

`python -m benchmarks.dev_reload` exits with 1 if the difference of the medians is above 300 ms. The
two are measured in turn. A bare start has no watcher and no pool: from the request for a process
until its runtime asks for an event.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from okibi.dev.dev_function import DevFunction
from okibi.dev.invocation_events import DevEvent, Reloaded, SandboxEnded
from okibi.dev.sandbox_pool import SandboxPool, open_sandbox_pool
from okibi.dev.source_changes import watch_sources
from okibi.local import FunctionSettings
from okibi.local.local_lambda import open_sandbox
from okibi.local.sandbox.sandbox import SandboxOptions

LIMIT = 300.0
"""Milliseconds that a save may take beyond a bare start."""

ROUNDS = 50

HANDLER = "def handler(event, context):\n    return {round}\n"


class _Reloads:
    """Waits for reloads, and for the end of the old sandbox."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[DevEvent](1000)

    def report(self, happened: DevEvent) -> None:
        if isinstance(happened, Reloaded | SandboxEnded):
            self._send.send_nowait(happened)

    async def wait_for(self, kind: type[DevEvent]) -> None:
        while not isinstance(await self._receive.receive(), kind):
            pass


async def measure(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of the reloads, and those of the bare starts.

    Args:
        folder: an empty folder for the function.
        rounds: the number of reloads, and of bare starts.
    """
    code = folder / "app.py"
    code.write_text(HANDLER.format(round=0))
    settings = FunctionSettings("app.handler", task_root=folder)
    seen = _Reloads()
    saved: list[float] = []
    bare: list[float] = []
    async with (
        open_sandbox_pool(DevFunction(settings), report=seen.report) as pool,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(_watch, pool)
        for number in range(1, rounds + 1):
            bare.append(await start_bare(settings))
            saved.append(await save(code, number, seen))
        nursery.cancel_scope.cancel()
    return saved, bare


async def _watch(pool: SandboxPool, task_status: trio.TaskStatus[None]) -> None:
    await watch_sources([pool], on_start=task_status.started)


async def save(code: Path, number: int, seen: _Reloads) -> float:
    """Save the file as editors do, by renaming; return the milliseconds until the new /next."""
    draft = code.with_name(".draft")
    draft.write_text(HANDLER.format(round=number))
    began = time.perf_counter()
    draft.rename(code)
    await seen.wait_for(Reloaded)
    took = (time.perf_counter() - began) * 1000
    # The old sandbox must not use the processor during the next measurement.
    await seen.wait_for(SandboxEnded)
    return took


async def start_bare(settings: FunctionSettings) -> float:
    """Start a sandbox alone; return the milliseconds until its /next."""
    options = SandboxOptions(output=lambda _: None, freeze=True)
    async with open_sandbox(settings, options) as sandbox:
        began = time.perf_counter()
        sandbox.start()
        await sandbox.wait_initialised()
        return (time.perf_counter() - began) * 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as folder:
        saved, bare = trio.run(measure, Path(folder), rounds)
    beyond = statistics.median(saved) - statistics.median(bare)
    print(f"save to /next:   median {describe(saved)}")
    print(f"bare start:      median {describe(bare)}")
    print(f"beyond a start:  {beyond:.0f} ms (limit {LIMIT:.0f} ms)")
    return int(beyond > LIMIT)


def describe(times: Sequence[float]) -> str:
    """Return the median with the middle half."""
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle:.0f} ms ({low:.0f} to {high:.0f}) of {len(times)}"


if __name__ == "__main__":
    sys.exit(main())
