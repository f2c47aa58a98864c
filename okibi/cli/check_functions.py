"""`okibi check`: explain all mistakes of a function; show what its start imports."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..local import FunctionSettings
from ..project.probe.connections import describe_connections
from ..project.probe.entity_stores import COST, NO_TABLE
from ..project.probe.import_times import (
    PackageTime,
    median_times,
    parse_import_times,
    sum_by_package,
)
from ..project.probe.lazy_imports import LazyImport, find_lazy_imports
from ..project.probe.load_function import load_function
from ..project.probe.load_probe import USER_CODE_BEGINS
from ..project.start_errors import ErrorResponse, describe_load_error, find_user_frames
from .output import write_err, write_text

GOOD, FUNCTION_ERROR = 0, 1
OUTPUT = "the report"
RUNS = 3
# Milliseconds. Packages that take less are one row; to import them later would gain nothing.
LEAST = 1.0
TITLES = ("package", "own ms", "total ms", "modules", "imported by")


async def check_functions(
    functions: Sequence[FunctionSettings], imports: bool, sandboxes: int
) -> int:
    """Check functions, and print the report.

    Args:
        functions: the settings of the functions.
        imports: whether to show the times of the imports, and which could be lazy.
        sandboxes: how many of each function run at once, for the connections of its resources.

    Returns:
        The exit code: 0 if each function loads and has no mistake, 1 if one does not.
    """
    # One after the other, for the times of the imports.
    return max([await _check(settings, imports, sandboxes) for settings in functions])


async def _check(settings: FunctionSettings, imports: bool, sandboxes: int) -> int:
    # The first load also compiles, so the timed loads find bytecode.
    report, _ = await load_function(settings)
    if report.error is not None:
        write_err(describe_failed_load(settings, report.error))
        return FUNCTION_ERROR
    for mistake in report.mistakes:
        write_err(f"okibi: {settings.handler}: {mistake}")
    for warning in report.warnings:
        write_err(f"okibi: {settings.handler}: warning: {warning}")
    if report.mistakes:
        return FUNCTION_ERROR
    lines = [f"{settings.handler} loads: {report.kind}"]
    for resource in report.connections:
        line, fits = describe_connections(resource, sandboxes)
        if fits:
            lines.append(f"  {line}")
        else:
            write_err(f"okibi: {settings.handler}: warning: {line}")
    if report.needs_entity_table:
        lines.append(f"  {COST}")
        if "OKIBI_ENTITIES" not in settings.environment:
            write_err(f"okibi: {settings.handler}: warning: {NO_TABLE}")
    if imports:
        logs = [(await load_function(settings, timed=True))[1] for _ in range(RUNS)]
        lines += ["", *describe_imports(logs, report.lines)]
        packages = _packages_of_user(logs)
        lines += describe_lazy(find_lazy_imports(_read(report.files)), packages)
    write_text("".join(f"{line}\n" for line in lines), OUTPUT)
    return GOOD


def describe_failed_load(settings: FunctionSettings, error: ErrorResponse) -> str:
    """Describe an init error in one line, and below it the user's frames if there are several."""
    frames = find_user_frames(error.stackTrace)
    lines = [f"okibi: {describe_load_error(settings, error)}"]
    return "\n".join([*lines, *(frames if len(frames) > 1 else ())])


def _packages_of_user(logs: Sequence[str]) -> list[PackageTime]:
    """Return the packages that the user's code imports, by the logs of some runs."""
    after = (log.rpartition(USER_CODE_BEGINS)[2] for log in logs)
    return median_times(sum_by_package(parse_import_times(log)) for log in after)


def describe_imports(logs: Sequence[str], lines: Mapping[str, str]) -> list[str]:
    """Make the table of the packages that a start imports.

    Args:
        logs: the logs of `-X importtime`, one per run.
        lines: the user's line that imports each package, by package.
    """
    before = [parse_import_times(log.rpartition(USER_CODE_BEGINS)[0]) for log in logs]
    okibi = median_times(
        {"okibi": PackageTime("okibi", own, own, len(modules))}
        for modules in before
        for own in [sum(module.own for module in modules) / 1000]
    )
    packages = _packages_of_user(logs)
    rows = [_row(each, "Python and okibi, before your code") for each in okibi]
    rows += [
        _row(each, lines.get(each.name) or "the handler")
        for each in packages
        if each.total >= LEAST
    ]
    small = [each for each in packages if each.total < LEAST]
    if small:
        own, modules = sum(each.own for each in small), sum(each.modules for each in small)
        names = "1 other" if len(small) == 1 else f"{len(small)} others"
        rows.append(_row(PackageTime(names, own, own, modules), f"less than {LEAST:g} ms each"))
    return [f"imports of a start, median of {len(logs)} runs", "", *_align([TITLES, *rows])]


def _row(time: PackageTime, imported_by: str) -> tuple[str, ...]:
    return time.name, f"{time.own:.1f}", f"{time.total:.1f}", str(time.modules), imported_by


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the first and the last column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for first, *numbers, last in rows:
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=False)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, last]).rstrip())
    return lines


def describe_lazy(found: Sequence[LazyImport], packages: Sequence[PackageTime]) -> list[str]:
    """Describe the imports that could be lazy.

    Args:
        found: the imports.
        packages: the packages of the user's code with their times.
    """
    totals = {each.name: each.total for each in packages if each.total >= LEAST}
    lazy = sorted(
        (each for each in found if each.package in totals), key=lambda each: -totals[each.package]
    )
    if not lazy:
        return []
    rows = [
        (f"  {each.file}:{each.line}", f"{totals[each.package]:.1f} ms", each.statement)
        for each in lazy
    ]
    statement = lazy[0].statement
    return [
        "",
        "could be lazy: imported at the top level, used only inside functions",
        *_align(rows),
        "Import it inside the functions that use it. On Python 3.15 you can also write",
        f"`lazy {statement}`, or list the module in __lazy_modules__.",
        "A start then saves the time. The first event that uses the package waits for the import.",
    ]


def _read(files: Sequence[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for file in files:
        try:
            sources[file] = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            # A module in a zip, or in another encoding, is left out.
            continue
    return sources
