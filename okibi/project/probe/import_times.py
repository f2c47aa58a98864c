"""Read the times of `python -X importtime`, and sum them by top-level package."""

import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import attrs

# A module's own time, its time with the modules that it imports, its depth, its name. Python writes
# a line when an import has ended, so the modules that it imports stand above it.
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)$", re.MULTILINE)


@attrs.frozen
class ModuleTime:
    """The import of one module, in microseconds.

    Args:
        name: the module.
        depth: the number of imports that it is part of, times two.
        own: the time of the module itself, without its imports.
        total: the time with its imports.
    """

    name: str
    depth: int
    own: float
    total: float


@attrs.frozen
class PackageTime:
    """The imports of one top-level package, in milliseconds.

    Args:
        name: the package.
        own: the time of the package itself, without other packages.
        total: the time with the packages that it imports first.
        modules: number of modules of the package.
    """

    name: str
    own: float
    total: float
    modules: int


def parse_import_times(log: str) -> list[ModuleTime]:
    """Find the lines of `-X importtime` in a log, in their order."""
    return [
        ModuleTime(found[4], len(found[3]), int(found[1]), int(found[2]))
        for found in _LINE.finditer(log)
    ]


def sum_by_package(modules: Sequence[ModuleTime]) -> dict[str, PackageTime]:
    """Sum the times by top-level package.

    The total of a package counts each of its imports once: not those inside another import of the
    same package.

    >>> log = '''import time: 10 | 10 |     b
    ... import time: 30 | 40 |   a.c
    ... import time: 20 | 60 | a'''
    >>> sum_by_package(parse_import_times(log))["a"]
    PackageTime(name='a', own=0.05, total=0.06, modules=2)
    """
    own: dict[str, float] = {}
    total: dict[str, float] = {}
    count: dict[str, int] = {}
    # From the last line to the first, an import stands before the imports that it contains.
    around: list[tuple[int, str]] = []
    for module in reversed(modules):
        while around and around[-1][0] >= module.depth:
            around.pop()
        package = module.name.partition(".")[0]
        own[package] = own.get(package, 0) + module.own / 1000
        count[package] = count.get(package, 0) + 1
        inside = any(outer == package for _, outer in around)
        total[package] = total.get(package, 0) + (0 if inside else module.total / 1000)
        around.append((module.depth, package))
    return {
        name: PackageTime(name, round(own[name], 3), round(total[name], 3), count[name])
        for name in own
    }


def median_times(runs: Iterable[Mapping[str, PackageTime]]) -> list[PackageTime]:
    """Return for each package the median of all runs, the largest total first."""
    found: dict[str, list[PackageTime]] = {}
    for run in runs:
        for name, time in run.items():
            found.setdefault(name, []).append(time)
    medians = [
        PackageTime(
            name,
            median(time.own for time in times),
            median(time.total for time in times),
            round(median(time.modules for time in times)),
        )
        for name, times in found.items()
    ]
    return sorted(medians, key=lambda time: -time.total)
