"""The modules that a production start imports, and the time of each.

Measured with `-X importtime`, in the same process as `make bench`. It slows imports down: use it to
find slow modules, not to time a start.
"""

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence

import attrs

from okibi.project.probe.import_times import parse_import_times

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


def imports() -> dict[str, float]:
    """Return milliseconds per imported module, without its own imports."""
    command = (sys.executable, "-X", "importtime", *PLAIN.command[1:])
    with tempfile.TemporaryFile() as said:
        with started(attrs.evolve(PLAIN, command=command), said):
            pass
        said.seek(0)
        found = parse_import_times(said.read().decode())
    return {each.name: each.own / 1000 for each in found}


def package(module: str) -> str:
    """Return the package of a module. A dependency used only by trio counts as trio."""
    top, _, rest = module.partition(".")
    if top == "okibi":
        return f"okibi: {rest.partition('.')[0]}" if rest else "okibi"
    return "standard library" if top.lstrip("_") in STANDARD else WHOSE.get(top, top)


def table(rounds: Sequence[dict[str, float]], rows: int) -> str:
    """Build the table: the median per package, and the slowest modules.

    Args:
        rounds: the milliseconds of each module, for one or more rounds.
        rows: the number of slowest modules in the table.
    """
    taken = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    packages: defaultdict[str, list[float]] = defaultdict(list)
    for name, each in taken.items():
        packages[package(name)].append(each)
    sums = sorted(((sum(each), len(each), name) for name, each in packages.items()), reverse=True)
    slowest = sorted(((each, name) for name, each in taken.items()), reverse=True)
    return "\n".join(
        [
            "    ms modules",
            *(f"{total:6.1f} {count:7}  {name}" for total, count, name in sums),
            f"{sum(taken.values()):6.1f} {len(taken):7}  total",
            "\n    ms the slowest modules, without their own imports",
            *(f"{each:6.2f}  {name}" for each, name in slowest[:rows]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.imports", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=7)
    parser.add_argument("--rows", type=at_least_one, default=20, help="how many modules")
    options = parser.parse_args()
    imports()  # compiles the modules
    print(table([imports() for _ in range(options.rounds)], options.rows))


if __name__ == "__main__":
    main()
