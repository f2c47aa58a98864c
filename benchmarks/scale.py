"""Many actors alive at once: does each cost the same, and how much memory does it take?

N children are started under one DynamicSupervisor, each is called once, and the supervisor is
stopped while all of them are alive. Each N runs in a new process, so that no run reuses memory
freed by another, and the Ns take turns. The bar applies to the ratio of the largest N to the
smallest, per child and phase.

The garbage collector's part of the time is reported too. With Python's threshold of 700 (2000)
objects, it traverses all living objects again and again while their number grows. That happens to
every program with a hundred thousand objects, and a library must not change it. Therefore there are
three measurements: with Python's threshold; with the threshold that docs/supervisors.md recommends
for so many actors; and for bare trio tasks, each started with `nursery.start` in its own scope.

Memory is reported twice. RSS growth of the process comes from an untraced run; for small N it is
too low, because memory of the warm-up is reused. The memory allocated by Python (`tracemalloc`)
comes from a separate run, because tracing is slow.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence

import trio
import trio.testing

from okibi.actors import Ref
from okibi.bench.machine import this_machine
from okibi.bench.turns import measure_in_turn

from .pool import Echo, Pool, open_pool
from .reporting.rows import at_least_one, compare

SIZES = (1_000, 10_000, 100_000)
PHASES = ("start", "call", "stop")
BAR = 1.5
ADVISED = 20_000
WARMUP = 100
# Bytes per actor do not depend on the number of actors.
TRACED = 1_000

Figures = dict[str, float]
Rounds = list[dict[int, Figures]]


# -- one run, in a new process


class Collector:
    """Sums up the seconds of garbage collections."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


class PhaseClock:
    """Times phases, and the garbage collector's part of each."""

    def __init__(self, size: int) -> None:
        self.figures: Figures = {}
        self._each = 1e6 / size
        self._collector = Collector()
        self.start()

    def start(self) -> None:
        self._began, self._collected = time.perf_counter(), self._collector.seconds

    def note(self, phase: str) -> None:
        """End the current phase, in microseconds per child, and start the next."""
        self.figures[phase] = (time.perf_counter() - self._began) * self._each
        collected = self._collector.seconds - self._collected
        self.figures[f"{phase}, collector"] = collected * self._each
        self.start()


MEMORY = "/proc/self/statm"


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    with open(MEMORY) as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


async def _alive(pool: Pool, size: int) -> list[Ref[Echo]]:
    return [await pool.start_child() for _ in range(size)]


async def _call_each(children: Sequence[Ref[Echo]]) -> None:
    for child in children:
        if await child.call(Echo.echo, 1) != 1:
            raise RuntimeError(f"{child} gave a wrong answer")


async def _warm_up() -> None:
    async with open_pool() as pool:
        await _call_each(await _alive(pool, WARMUP))


async def costs(size: int) -> Figures:
    """Return the cost of a child: microseconds per phase, and bytes of RSS while all are alive."""
    await _warm_up()
    gc.collect()
    clock, before = PhaseClock(size), resident()
    async with open_pool() as pool:
        clock.start()
        children = await _alive(pool, size)
        clock.note("start")
        await _call_each(children)
        clock.note("call")
        held = resident() - before
        clock.start()
    clock.note("stop")
    if any(child.alive for child in children):
        raise RuntimeError("a child outlived its supervisor")
    return {**clock.figures, "rss": held / size}


async def bare(size: int) -> Figures:
    """Return the cost of a bare task, started in a scope and cancelled with the others."""

    async def idle(task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope():
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for _ in range(WARMUP):
            await nursery.start(idle)
        gc.collect()
        clock, before = PhaseClock(size), resident()
        for _ in range(size):
            await nursery.start(idle)
        clock.note("start")
        held = resident() - before
        nursery.cancel_scope.cancel()
        clock.start()
    clock.note("stop")
    return {**clock.figures, "rss": held / size}


async def allocated(size: int) -> Figures:
    """Return the bytes that Python allocates per child that has been called once."""
    await _warm_up()
    async with open_pool() as pool:
        children: list[Ref[Echo]] = []
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        children += await _alive(pool, size)
        await _call_each(children)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return {"bytes": (after - before) / size}


# -- all runs


def run(size: int, *more: str) -> Figures:
    """Run once in a new process."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", str(size), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{size} actors: the run ended with exit code {done.returncode}")
    figures: Figures = json.loads(done.stdout)
    return figures


def _median(rounds: Rounds, size: int, what: str) -> float:
    return statistics.median(one[size][what] for one in rounds)


def report(rounds: Rounds) -> None:
    """Print a row per N, and the ratios of the largest to the smallest."""
    small, *_, large = sizes = sorted(rounds[0])
    phases = [phase for phase in PHASES if phase in rounds[0][small]]
    print(f"{'us each':>10}", end="")
    print("".join(f"{f'{phase} (collector)':>20}" for phase in phases), f"{'RSS of one':>15}")
    for size in sizes:
        row = f"{size:10,}"
        for phase in phases:
            each = _median(rounds, size, phase)
            row += f"{each:12.1f} ({_median(rounds, size, f'{phase}, collector'):5.1f})"
        print(f"{row}{_median(rounds, size, 'rss'):14,.0f} B")
    for phase in phases:
        collected = f"{phase}, collector"
        whole = [[one[size][phase] for one in rounds] for size in (large, small)]
        rest = [[one[size][phase] - one[size][collected] for one in rounds]
                for size in (large, small)]  # fmt: skip
        print(compare("scale", f"{phase}, {large:,} / {small:,}", whole, "us", (BAR, None)))
        print(compare("scale", "the same, less the collector", rest, "us"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument(
        "--sizes", type=at_least_one, nargs="+", default=SIZES, help="how many actors"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5)
    parser.add_argument("--threshold", type=int, help="for gc.set_threshold; default: Python's")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--what", choices=WHAT, default="costs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if len(set(options.sizes)) < 2:
        parser.error("--sizes needs at least two values")
    if options.threshold is not None:
        gc.set_threshold(options.threshold)
    if options.one is not None:
        print(json.dumps(trio.run(WHAT[options.what], options.one)))
        return
    if not os.path.exists(MEMORY):
        parser.error(f"{MEMORY} is missing: this benchmark needs Linux")
    print(f"{this_machine().describe()}; {options.rounds} rounds, interleaved")
    threshold = ADVISED if options.threshold is None else options.threshold
    rows = {
        "children of one DynamicSupervisor, Python's own collector": (),
        f"the same, after gc.set_threshold({threshold})": ("--threshold", str(threshold)),
        "bare trio tasks, Python's own collector": ("--what", "bare"),
    }
    found = measure_in_turn(
        rows, options.rounds, lambda row: {size: run(size, *rows[row]) for size in options.sizes}
    )
    for row, rounds in found.items():
        print(f"\n{row}")
        report(rounds)
    held = run(TRACED, "--what", "allocated")["bytes"]
    print(f"\n{held:,.0f} B allocated by Python for each actor, idle, called once")


WHAT: dict[str, Callable[[int], Awaitable[Figures]]] = {
    "costs": costs,
    "allocated": allocated,
    "bare": bare,
}


if __name__ == "__main__":
    main()
