"""`okibi bench`: measure a function of the current folder, print and write the report."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from ..bench.machine import this_machine
from ..bench.measure import measure
from ..bench.options import BenchOptions
from ..bench.report import BenchReport, make_report
from ..bench.tables import render_markdown
from ..bench.terminal import render_table, show_progress
from ..project.bad_input import BadInput
from .output import write_text
from .until_signal import run_command

GOOD, FUNCTION_ERROR = 0, 1


def bench(parse: Callable[[], BenchOptions]) -> int:
    """Measure a function of the current folder.

    Args:
        parse: parses the options.

    Returns:
        The exit code: 0 if all answers are good, 1 after a function error (0 with allow_errors), 2
        if the function cannot be measured, 130 after Ctrl-C.
    """
    return run_command("the report", lambda: partial(_bench, parse()))


async def _bench(options: BenchOptions) -> int:
    machine = this_machine()
    with show_progress() as on_step:
        results = await measure(options, on_step)
    report = make_report(options, results, machine)
    # The measurement took minutes: if one output fails, write the others.
    try:
        write_text(render_table(report), "the report")
    finally:
        _write_files(options, report)
    runs = (*results.one_at_a_time, *results.many_at_once)
    return FUNCTION_ERROR if any(run.errors for run in runs) and not options.allow_errors else GOOD


def _write_files(options: BenchOptions, report: BenchReport) -> None:
    """Write all requested files.

    Raises:
        BadInput: a file cannot be written; the others have been written.
    """
    failed: list[str] = []
    for path, write in (
        (options.json, _write_json),
        (options.markdown, _write_markdown),
        (options.plots, _draw_plots),
    ):
        try:
            if path is not None:
                write(report, path)
        except OSError as error:
            # On a full disk, the error has no filename.
            failed.append(f"{error.filename or path}: cannot be written ({error.strerror})")
    if failed:
        raise BadInput("; ".join(failed))


def _write_json(report: BenchReport, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


def _write_markdown(report: BenchReport, path: Path) -> None:
    path.write_text(render_markdown(report), "utf-8")


def _draw_plots(report: BenchReport, folder: Path) -> None:
    from ..bench.plots import draw

    folder.mkdir(parents=True, exist_ok=True)
    draw(report, folder)
