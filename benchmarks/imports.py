"""`python -m benchmarks.imports`: what a production start imports, and what that takes.

By the interpreter's own `-X importtime`, in the process that `make bench` starts. It makes each
import take longer: it says where to look, not how long it takes.
"""

import argparse
import re
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence

import attrs

from .contenders import PLAIN
from .reporting.rows import at_least_one
from .starts import started

WHOSE = {
    "attr": "attrs",
    "idna": "trio",
    "outcome": "trio",
    "sniffio": "trio",
    "sortedcontainers": "trio",
}
STANDARD = {name.lstrip("_") for name in sys.stdlib_module_names}
LINE = re.compile(rb"import time: +(\d+) \| +\d+ \| +(\S+)")


def imports() -> dict[str, float]:
    """Milliseconds that each module of one start takes, without those that it imports."""
    command = (sys.executable, "-X", "importtime", *PLAIN.command[1:])
    with tempfile.TemporaryFile() as said:
        with started(attrs.evolve(PLAIN, command=command), said):
            pass
        said.seek(0)
        return {name.decode(): int(taken) / 1000 for taken, name in LINE.findall(said.read())}


def package(module: str) -> str:
    """Whose module it is: what is only there for trio counts as trio's."""
    top, _, rest = module.partition(".")
    if top == "okibi":
        return f"okibi: {rest.partition('.')[0]}" if rest else "okibi"
    return "standard library" if top.lstrip("_") in STANDARD else WHOSE.get(top, top)


def table(rounds: Sequence[dict[str, float]], rows: int) -> str:
    """The median of each module over the rounds, by package, and the dearest modules.

    Args:
        rounds: at least one.
        rows: how many modules.
    """
    taken = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    packages: defaultdict[str, list[float]] = defaultdict(list)
    for name, each in taken.items():
        packages[package(name)].append(each)
    sums = sorted(((sum(each), len(each), name) for name, each in packages.items()), reverse=True)
    dearest = sorted(((each, name) for name, each in taken.items()), reverse=True)
    return "\n".join(
        [
            "    ms modules",
            *(f"{total:6.1f} {count:7}  {name}" for total, count, name in sums),
            f"{sum(taken.values()):6.1f} {len(taken):7}  in all",
            "\n    ms the dearest modules, without what they import",
            *(f"{each:6.2f}  {name}" for each, name in dearest[:rows]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.imports", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=7)
    parser.add_argument("--rows", type=at_least_one, default=20, help="of single modules")
    options = parser.parse_args()
    imports()  # compiles
    print(table([imports() for _ in range(options.rounds)], options.rows))


if __name__ == "__main__":
    main()
