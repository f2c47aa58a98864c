"""`make bench`: okibi's ratios, measured in one run on this machine.

Contenders take turns (A B C A B C ...), so a machine that slows down slows all of them; a row is
the median of its rounds' ratios, with the smallest and the largest beside it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from .actors import measure_actors
from .peers.table import measure_peers

FUNCTIONS = Path(__file__).parent / "functions"
PAYLOADS = {"20 B": '{"message": "hello"}', "2.6 KB": json.dumps({"body": "x" * 2600})}
Run = dict[str, float]


@attrs.frozen
class Contender:
    """One runtime in a run."""

    name: str
    arguments: tuple[str, ...]
    handler: str

    def settings(self, payload: str, count: int) -> str:
        """What its server is told."""
        environment = {
            "_HANDLER": self.handler,
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "PYTHONPATH": os.pathsep.join([str(FUNCTIONS), str(Path.cwd())]),
            "AWS_LAMBDA_FUNCTION_NAME": "echo",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/echo",
            "AWS_LAMBDA_LOG_STREAM_NAME": "echo",
        }
        return json.dumps(
            {
                "command": [sys.executable, *self.arguments],
                "environment": environment,
                "payload": payload,
                "warmup": 500,
                "count": count,
            }
        )


OFFICIAL = Contender("awslambdaric", ("-m", "awslambdaric", "app.plain"), "app.plain")
FLOOR = Contender("floor", ("-m", "benchmarks.floor"), "app.plain")
ASYNC = Contender("okibi, async def", ("-P", "-m", "runtime"), "app.echo")
PLAIN = Contender("okibi, plain def", ("-P", "-m", "runtime"), "app.plain")
CONTENDERS = (OFFICIAL, ASYNC, PLAIN, FLOOR)

Figure = Callable[[dict[Contender, Run]], float]


def against(one: Contender, other: Contender, what: str) -> Figure:
    """The ratio of one figure of two contenders in the same round."""
    return lambda runs: runs[one][what] / runs[other][what]


ROWS: tuple[tuple[str, float, Figure], ...] = (
    ("warm overhead, async def, against awslambdaric", 0.75, against(ASYNC, OFFICIAL, "cycle_us")),
    ("warm overhead, plain def, against awslambdaric", 0.75, against(PLAIN, OFFICIAL, "cycle_us")),
    ("CPU of the runtime's process, async def", 1.0, against(ASYNC, OFFICIAL, "cpu_us")),
    ("event to answer, async def", 1.0, against(ASYNC, OFFICIAL, "answer_us")),
    ("against the floor, async def", 1.8, against(ASYNC, FLOOR, "cycle_us")),
)


def run(contender: Contender, payload: str, count: int) -> Run:
    """One run of one contender, in processes of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.server", contender.settings(payload, count)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{contender.name} did not run:\n{done.stderr[-2000:]}")
    measured: Run = json.loads(done.stdout)
    return measured


def report(size: str, rounds: list[dict[Contender, Run]]) -> None:
    """Print the medians of every contender, and the ratios with their spread."""
    print(f"\nevent of {size}          us a cycle   event to answer   CPU   server's CPU")
    for contender in CONTENDERS:
        columns = ("cycle_us", "answer_us", "cpu_us", "server_us")
        medians = [statistics.median(r[contender][c] for r in rounds) for c in columns]
        print("  {:20} {:10.1f} {:14.1f} {:9.1f} {:11.1f}".format(contender.name, *medians))
    for name, bar, figure in ROWS:
        ratios = sorted(figure(r) for r in rounds)
        median = statistics.median(ratios)
        verdict = "met" if median <= bar else "MISSED"
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"  {name:50} {median:5.2f}  ({spread})  bar {bar:.2f}: {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=3000)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"Python {platform.python_version()}, {platform.machine()}, {cores} cores;", end=" ")
    print(f"{options.rounds} rounds of {options.count} invocations after 500, interleaved")
    for size, payload in PAYLOADS.items():
        rounds = [
            {contender: run(contender, payload, options.count) for contender in CONTENDERS}
            for _ in range(options.rounds)
        ]
        report(size, rounds)
    measure_actors(options.rounds)
    measure_peers(options.rounds)


if __name__ == "__main__":
    main()
