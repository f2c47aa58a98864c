"""A streamed response as the invoker sees it, on the local server.

Measured are the time to the first byte compared with the handler's whole time, an error midway, and
the memory of the runtime and of the server (this process) during a stream of 100 MB.
"""

import json
import os
import statistics
import sys
from pathlib import Path

import trio

from okibi.bench.measured_runtime import OKIBI_COMMAND
from okibi.local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda

from .contenders import FUNCTIONS

ROUNDS = 5
PIECES, PAUSE = 10, 0.1
MEGABYTES = 100
# Bars: a share of the whole time, and megabytes.
FIRST_BYTE_BAR, GROWTH_BAR = 0.1, 8.0


def memory(pid: int, what: str) -> float:
    """Return a line of /proc/PID/status in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    """Reset the peak memory of a process."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def read(function: LocalLambda, **event: object) -> tuple[float, float, int, InvokeResult]:
    """Read a stream; return seconds to the first byte, total seconds, bytes, and the result."""
    began, first, size = trio.current_time(), 0.0, 0
    async with function.stream(json.dumps(event).encode()) as answer:
        async for piece in answer:
            first = first or trio.current_time() - began
            size += len(piece)
        result = await answer.result()
    return first, trio.current_time() - began, size, result


async def first_byte(function: LocalLambda) -> bool:
    """Measure the time to the first byte."""
    runs = [await read(function, pieces=PIECES, pause=PAUSE) for _ in range(ROUNDS)]
    first = statistics.median(run[0] for run in runs)
    whole = statistics.median(run[1] for run in runs)
    print(
        f"first byte after {first * 1000:.1f} ms of {whole * 1000:.0f} ms: {first / whole:.3f}"
        f" (bar {FIRST_BYTE_BAR}; median of {ROUNDS})"
    )
    return first / whole <= FIRST_BYTE_BAR


async def error_in_the_middle(function: LocalLambda) -> bool:
    """Check the result of a stream that fails midway."""
    _, _, size, result = await read(function, pieces=3, pause=0, fails=True)
    told = json.loads(result.payload)
    kind, message = told["errorType"], told["errorMessage"]
    print(f"an error after {size} bytes arrives as {result.error_type}: {kind}: {message}")
    return (size, result.error_type, message) == (6, "Function.ValueError", "in the middle")


async def flat_memory(function: LocalLambda) -> bool:
    """Measure the memory growth of both processes during a long stream."""
    good = True
    assert function.pid is not None
    await read(function, megabytes=5)
    processes = {"the runtime": function.pid, "the server": os.getpid()}
    before = {name: memory(pid, "VmRSS") for name, pid in processes.items()}
    for pid in processes.values():
        forget_peak(pid)
    _, took, size, result = await read(function, megabytes=MEGABYTES)
    print(f"{size >> 20} MB in {took:.2f} s, {(size >> 20) / took:.0f} MB/s")
    for name, pid in processes.items():
        peak, after = memory(pid, "VmHWM"), memory(pid, "VmRSS")
        growth = peak - before[name]
        print(
            f"  {name}: {before[name]:.1f} MB before, {peak:.1f} at its peak, {after:.1f} after"
            f" (bar {GROWTH_BAR:g} more)"
        )
        good = good and growth <= GROWTH_BAR
    return good and size == MEGABYTES << 20 and result.error_type is None


async def main() -> int:
    settings = FunctionSettings(
        "streams.handler",
        command=OKIBI_COMMAND,
        task_root=FUNCTIONS,
        timeout=60.0,
        environment={"PYTHONPATH": str(Path.cwd())},
    )
    async with open_local_lambda(settings, output=lambda _: None) as function:
        await read(function, pieces=1, pause=0)
        checks = (first_byte, error_in_the_middle, flat_memory)
        good = [await check(function) for check in checks]
        good.append(function.starts == 1)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
