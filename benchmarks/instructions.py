"""Instructions and system calls of an invocation, which other load on the machine does not change.

Instructions are those of the runtime's process in user space (valgrind's callgrind); system calls
are counted by strace. Both are differences between a short and a long run, so start and stop cancel
out. `--where` prints the calls of Python functions per invocation, and their time. The profiler
makes them slower: use it to find slow functions, not to time them.
"""

import argparse
import pstats
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from okibi.bench.measured_runtime import OKIBI_COMMAND

from .canned import serve
from .contenders import ROOT
from .reporting.rows import at_least_one

SHORT, LONG = 300, 800
HANDLERS = {"async def": "app.echo", "plain def": "app.plain", "Handler": "typed.Echo"}
SIZES = {"20 B": 20, "2.6 KB": 2600}
RUNTIME = [*OKIBI_COMMAND]


def instructions(handler: str, size: int) -> int:
    """Return instructions per invocation."""
    with tempfile.TemporaryDirectory() as folder:
        before = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        # The first run compiles; the two measured runs find the same bytecode.
        serve(RUNTIME, handler, 1, size)
        said = [serve([*before, *RUNTIME], handler, count, size) for count in (SHORT, LONG)]
    short, long = (_collected(each) for each in said)
    return (long - short) // (LONG - SHORT)


def _collected(said: str) -> int:
    found = re.search(r"Collected : (\d+)", said)
    if found is None:
        raise SystemExit(f"callgrind reported no count:\n{said[-2000:]}")
    return int(found[1])


def system_calls(handler: str, size: int) -> dict[str, float]:
    """Return system calls per invocation, by name."""
    counts: list[Counter[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (SHORT, LONG):
            out = Path(folder, str(count))
            serve(["strace", "-f", "-o", str(out), *RUNTIME], handler, count, size)
            counts.append(Counter(re.findall(r"^\d+ +(\w+)\(", out.read_text(), re.MULTILINE)))
    short, long = counts
    each = {name: (n - short[name]) / (LONG - SHORT) for name, n in long.items()}
    return {name: n for name, n in sorted(each.items(), key=lambda x: -x[1]) if n >= 0.05}


def where(handler: str, size: int, rows: int) -> None:
    """Print the most expensive Python functions: calls per invocation, and their time."""
    with tempfile.TemporaryDirectory() as folder:
        profiled = [sys.executable, "-P", "-m", "cProfile", "-o", f"{folder}/out", "-m",
                    "okibi.runtime"]  # fmt: skip
        serve(profiled, handler, LONG, size)
        stats: dict[Any, Any] = vars(pstats.Stats(f"{folder}/out"))["stats"]
    each = [
        (own / LONG * 1e6, count / LONG, f"{_short(file)}:{line} {name}")
        for (file, line, name), (_, count, own, *_) in stats.items()
        if count >= LONG / 2
    ]
    print(f"{sum(n for _, n, _ in each):.0f} calls per invocation; us, calls, function")
    for own, count, name in sorted(each, reverse=True)[:rows]:
        print(f"{own:8.2f} {count:6.1f}  {name}")


def _short(file: str) -> str:
    return file.rpartition("site-packages/")[2].removeprefix(f"{ROOT}/")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.instructions", description=__doc__)
    parser.add_argument("--where", metavar="HANDLER", help="such as app.echo")
    parser.add_argument("--rows", type=at_least_one, default=40)
    options = parser.parse_args()
    if options.where:
        where(options.where, SIZES["20 B"], options.rows)
        return
    missing = [tool for tool in ("valgrind", "strace") if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"make instructions needs {' and '.join(missing)} (Debian: apt-get)")
    print("per invocation, of the runtime's process")
    for name, handler in HANDLERS.items():
        for size, length in SIZES.items():
            print(f"  {name}, {size:7} {instructions(handler, length):9,} instructions", flush=True)
    calls = system_calls(HANDLERS["async def"], SIZES["20 B"])
    print("  system calls:", ", ".join(f"{n:.2f} {name}" for name, n in calls.items()))


if __name__ == "__main__":
    main()
